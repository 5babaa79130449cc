-- The record is a log: what was asked, and then everything that was learned, each an entry that is only ever added.
-- Bookkeeping beside it says who looks after which kill. Times are milliseconds since 1970, UTC.

CREATE TABLE kill_log (
    -- The order of recording: 1, 2, 3 … without gaps.
    number  INTEGER NOT NULL PRIMARY KEY,
    -- The kill, a UUIDv7 made when it was asked, so ids sort by time.
    kill_id BLOB    NOT NULL CHECK (length(kill_id) = 16),
    -- 1, 2, 3 … without gaps within a kill; the first one is what was asked.
    seq     INTEGER NOT NULL CHECK (seq > 0),
    -- When, by the gateway's clock.
    at      INTEGER NOT NULL,
    -- recorded, sent, looked, answered, abandoned …
    kind    TEXT    NOT NULL,
    -- Where the kill stands from then on.
    status  TEXT    NOT NULL CHECK (status IN (
        'pending', 'accepted', 'succeeded', 'partial', 'failed', 'refused', 'rate_limited', 'unknown', 'preview')),
    -- The gateway process that held the kill.
    gateway TEXT    NOT NULL,
    -- 1 where nobody looks after the kill any more: no entry follows.
    ends    INTEGER NOT NULL CHECK (ends IN (0, 1)),
    -- JSON: what was asked (asked), and what was learned: sessions, upstream, problem, look, calls and times.
    body    TEXT    NOT NULL CHECK (json_valid(body)),
    UNIQUE (kill_id, seq),
    -- A settled kill has ended, and one that may still be sent has not.
    CHECK (CASE status WHEN 'pending' THEN ends = 0 WHEN 'accepted' THEN 1 WHEN 'unknown' THEN 1 ELSE ends = 1 END)
) STRICT;

-- A row for each kill from its first entry until it is in the index; bookkeeping, no history.
CREATE TABLE kill_leases (
    -- The kill.
    kill_id BLOB    NOT NULL PRIMARY KEY,
    -- The number of its last entry.
    seq     INTEGER NOT NULL,
    -- The gateway process that holds it.
    gateway TEXT    NOT NULL,
    -- 1 where its status is pending: then only the gateway that holds it may send it.
    pending INTEGER NOT NULL CHECK (pending IN (0, 1)),
    -- 1 where nothing of it will change any more: then it only waits to be indexed.
    ended   INTEGER NOT NULL CHECK (ended IN (0, 1)),
    -- From then on any gateway may take it, unless it has ended: a deadline, or the next look.
    due_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX kill_leases_by_due ON kill_leases (due_at);

-- Which kill a caller's key stands for, for a while; the key itself stays in the log.
CREATE TABLE idempotency_keys (
    -- The caller; keys of different callers never meet.
    caller      TEXT    NOT NULL,
    -- The Idempotency-Key header.
    key         TEXT    NOT NULL,
    -- SHA-256 of the request, to tell a repetition from a reused key.
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    -- The kill the key stands for.
    kill_id     BLOB    NOT NULL,
    -- When it was claimed.
    created_at  INTEGER NOT NULL,
    -- From then on it may be claimed anew.
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

-- What was recorded is never changed or removed. INSERT OR REPLACE removes without a DELETE trigger, hence those for INSERT.
CREATE TRIGGER kill_log_is_kept BEFORE DELETE ON kill_log
    BEGIN SELECT RAISE(ABORT, 'kill_log: what was recorded is never removed (append-only)'); END;
CREATE TRIGGER kill_log_stays BEFORE UPDATE ON kill_log
    BEGIN SELECT RAISE(ABORT, 'kill_log: what was recorded is never changed (append-only)'); END;
CREATE TRIGGER kill_log_is_not_replaced BEFORE INSERT ON kill_log
    WHEN EXISTS (SELECT 1 FROM kill_log WHERE kill_id = NEW.kill_id AND seq = NEW.seq)
        OR EXISTS (SELECT 1 FROM kill_log WHERE number = NEW.number)
    BEGIN SELECT RAISE(ABORT, 'kill_log: what was recorded is never changed (append-only)'); END;
CREATE TRIGGER kill_log_is_numbered AFTER INSERT ON kill_log
    WHEN NEW.number < 1 OR NEW.number > 1 AND NOT EXISTS (SELECT 1 FROM kill_log WHERE number = NEW.number - 1)
    BEGIN SELECT RAISE(ABORT, 'kill_log: an entry is recorded after all others (append-only)'); END;

-- A later entry is the next one of a kill that had not ended: whoever adds it has moved the kill's lease on before.
CREATE TRIGGER kill_log_is_in_order BEFORE INSERT ON kill_log
    WHEN NEW.seq > 1 AND NOT EXISTS (SELECT 1 FROM kill_leases WHERE kill_id = NEW.kill_id AND seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT,
        'kill_log: an entry is the next one of an open kill, and a settled or closed kill has no more of them'); END;

-- Which versions of killgate may serve on these tables; one row.
CREATE TABLE serving (
    -- Always 1.
    turn         INTEGER NOT NULL PRIMARY KEY CHECK (turn = 1),
    -- Who knows no migration with this number or a later one may not serve.
    from_version INTEGER NOT NULL,
    -- When a gateway last tried whether anything can be written.
    tried_at     INTEGER NOT NULL DEFAULT 0,
    -- Zeros, as many as a kill may need: there was room for them then.
    room         BLOB
) STRICT;
INSERT INTO serving (turn, from_version) VALUES (1, 5);
