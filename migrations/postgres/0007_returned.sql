-- Whether ended sessions came back. It is learned after a kill is settled, and a settled kill never changes, so it stands
-- beside the kill and is no part of what is sealed.

CREATE TABLE kill_returns (
    kill_id       uuid        NOT NULL,
    look          integer     NOT NULL CHECK (look IN (1, 2)),
    at            timestamptz NOT NULL,
    returned      integer     NOT NULL CHECK (returned >= 0),
    list_complete boolean     NOT NULL,
    PRIMARY KEY (kill_id, look)
);

COMMENT ON TABLE kill_returns IS 'How many sessions came back after a kill, as far as was seen; only ever added to';
COMMENT ON COLUMN kill_returns.kill_id IS 'The kill';
COMMENT ON COLUMN kill_returns.look IS '1 within the time, only where some had come by then; 2 at its end. The last one holds';
COMMENT ON COLUMN kill_returns.at IS 'When the list had been read, by the gateway''s clock';
COMMENT ON COLUMN kill_returns.returned IS 'How many had come back by then, those of the look before included';
COMMENT ON COLUMN kill_returns.list_complete IS 'Whether that list held all sessions';

CREATE TABLE kill_watches (
    kill_id   uuid        PRIMARY KEY,
    gateway   text        NOT NULL,
    due_at    timestamptz NOT NULL,
    looks     integer     NOT NULL,
    sightings jsonb       NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX kill_watches_by_due ON kill_watches (due_at);

COMMENT ON TABLE kill_watches IS 'Kills after which will be looked for sessions that come back; bookkeeping, no history';
COMMENT ON COLUMN kill_watches.kill_id IS 'The kill';
COMMENT ON COLUMN kill_watches.gateway IS 'The gateway process that made it or took it last';
COMMENT ON COLUMN kill_watches.due_at IS 'From then on any gateway may take it: the next look, or a lease that is over';
COMMENT ON COLUMN kill_watches.looks IS 'How many looks there were';
COMMENT ON COLUMN kill_watches.sightings IS 'Which sessions were there before the kill, and which have come back so far';

-- Rows go only with their month, of whose removal there is a record then.
CREATE FUNCTION kill_returns_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM removals WHERE OLD.kill_id >= first_id(month::timestamp AT TIME ZONE 'UTC')
               AND OLD.kill_id < first_id((month + interval '1 month') AT TIME ZONE 'UTC')) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'kill_returns: what was recorded is never removed (append-only)'
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;
CREATE TRIGGER is_kept BEFORE DELETE ON kill_returns FOR EACH ROW EXECUTE FUNCTION kill_returns_are_kept();
CREATE TRIGGER is_not_changed BEFORE UPDATE OR TRUNCATE ON kill_returns
    FOR EACH STATEMENT EXECUTE FUNCTION record_is_kept();

CREATE FUNCTION kill_returns_go_with_their_month() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lowest uuid := first_id(NEW.month::timestamp AT TIME ZONE 'UTC');
    beyond uuid := first_id((NEW.month + interval '1 month') AT TIME ZONE 'UTC');
BEGIN
    DELETE FROM kill_returns WHERE kill_id >= lowest AND kill_id < beyond;
    DELETE FROM kill_watches WHERE kill_id >= lowest AND kill_id < beyond;
    RETURN NULL;
END $$;
CREATE TRIGGER takes_along AFTER INSERT ON removals
    FOR EACH ROW EXECUTE FUNCTION kill_returns_go_with_their_month();

DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION kill_returns_are_kept() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION kill_returns_go_with_their_month() SET search_path = %I, pg_temp', current_schema());
END $$;
