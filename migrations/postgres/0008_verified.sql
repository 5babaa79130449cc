-- What `killgate audit verify` has found of the record, for whoever looks at it and has not checked. It is a word and no
-- evidence: whoever can write here can say so too, and it is in no block.

CREATE TABLE verifications (
    id       uuid        PRIMARY KEY,
    at       timestamptz NOT NULL,
    status   integer     NOT NULL CHECK (status BETWEEN 0 AND 255),
    blocks   bigint      NOT NULL CHECK (blocks >= 0),
    verified bigint      NOT NULL CHECK (verified >= 0)
);
CREATE INDEX verifications_by_time ON verifications (at);

COMMENT ON TABLE verifications IS 'What checks of the record have found; only ever added to';
COMMENT ON COLUMN verifications.id IS 'A name of its own';
COMMENT ON COLUMN verifications.at IS 'When the check was done, by the clock of whoever did it';
COMMENT ON COLUMN verifications.status IS 'The exit status of the check: 0 where nothing is wrong';
COMMENT ON COLUMN verifications.blocks IS 'How many blocks there were';
COMMENT ON COLUMN verifications.verified IS 'How many kills and removals were what was sealed';
SELECT guard('verifications');

-- What a role that only serves needs is one table more.
ALTER FUNCTION let_serve(text) RENAME TO let_serve_before_verifications;
CREATE FUNCTION let_serve(gateway text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM let_serve_before_verifications(gateway);
    EXECUTE format('GRANT SELECT, INSERT ON verifications TO %I', gateway);
END $$;
REVOKE EXECUTE ON FUNCTION let_serve FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION let_serve(text) SET search_path = %I, pg_temp', current_schema());
END $$;
