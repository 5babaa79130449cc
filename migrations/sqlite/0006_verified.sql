-- What `killgate audit verify` has found of the record, for whoever looks at it and has not checked. It is a word and no
-- evidence: whoever can write here can say so too, and it is in no block. Only ever added to. Times are milliseconds since
-- 1970, UTC.
CREATE TABLE verifications (
    -- A name of its own.
    id       BLOB    NOT NULL PRIMARY KEY,
    -- When the check was done, by the clock of whoever did it.
    at       INTEGER NOT NULL,
    -- The exit status of the check: 0 where nothing is wrong.
    status   INTEGER NOT NULL CHECK (status BETWEEN 0 AND 255),
    -- How many blocks there were.
    blocks   INTEGER NOT NULL CHECK (blocks >= 0),
    -- How many kills and removals were what was sealed.
    verified INTEGER NOT NULL CHECK (verified >= 0)
) STRICT;
CREATE INDEX verifications_by_time ON verifications (at);

CREATE TRIGGER verifications_are_kept BEFORE DELETE ON verifications
    BEGIN SELECT RAISE(ABORT, 'verifications: what was recorded is never removed (append-only)'); END;
CREATE TRIGGER verifications_stay BEFORE UPDATE ON verifications
    BEGIN SELECT RAISE(ABORT, 'verifications: what was recorded is never changed (append-only)'); END;
CREATE TRIGGER verifications_are_not_replaced BEFORE INSERT ON verifications
    WHEN EXISTS (SELECT 1 FROM verifications WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'verifications: what was recorded is never changed (append-only)'); END;
