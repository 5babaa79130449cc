-- Whether ended sessions came back. It is learned after a kill is settled, and a settled kill never changes, so it stands
-- beside the kill and is no part of what is sealed. Times are milliseconds since 1970, UTC.

-- How many sessions came back after a kill, as far as was seen; only ever added to.
CREATE TABLE kill_returns (
    -- The kill.
    kill_id       BLOB    NOT NULL,
    -- 1 within the time, only where some had come by then; 2 at its end. The last one holds.
    look          INTEGER NOT NULL CHECK (look IN (1, 2)),
    -- When the list had been read, by the gateway's clock.
    at            INTEGER NOT NULL,
    -- How many had come back by then, those of the look before included.
    returned      INTEGER NOT NULL CHECK (returned >= 0),
    -- 1 where that list held all sessions.
    list_complete INTEGER NOT NULL CHECK (list_complete IN (0, 1)),
    PRIMARY KEY (kill_id, look)
) STRICT, WITHOUT ROWID;

-- Kills after which will be looked for sessions that come back; bookkeeping, no history.
CREATE TABLE kill_watches (
    -- The kill.
    kill_id   BLOB    NOT NULL PRIMARY KEY,
    -- The gateway process that made it or took it last.
    gateway   TEXT    NOT NULL,
    -- From then on any gateway may take it: the next look, or a lease that is over.
    due_at    INTEGER NOT NULL,
    -- How many looks there were.
    looks     INTEGER NOT NULL,
    -- JSON: which sessions were there before the kill, and which have come back so far.
    sightings TEXT    NOT NULL CHECK (json_valid(sightings))
) STRICT;
CREATE INDEX kill_watches_by_due ON kill_watches (due_at);

CREATE TRIGGER kill_returns_are_kept BEFORE DELETE ON kill_returns
    BEGIN SELECT RAISE(ABORT, 'kill_returns: what was recorded is never removed (append-only)'); END;
CREATE TRIGGER kill_returns_stay BEFORE UPDATE ON kill_returns
    BEGIN SELECT RAISE(ABORT, 'kill_returns: what was recorded is never changed (append-only)'); END;
CREATE TRIGGER kill_returns_are_not_replaced BEFORE INSERT ON kill_returns
    WHEN EXISTS (SELECT 1 FROM kill_returns WHERE kill_id = NEW.kill_id AND look = NEW.look)
    BEGIN SELECT RAISE(ABORT, 'kill_returns: what was recorded is never changed (append-only)'); END;
