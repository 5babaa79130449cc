-- The record is a log: what was asked, and then everything that was learned, each an entry that is only ever added, in
-- partitions of a month each. Bookkeeping beside it says who looks after which kill.
--
-- What a role that only serves needs is granted by let_serve, see 0005_roles.sql: it adds entries by calling functions, and
-- in no other way. The triggers below hold for every role, the owner's included.

CREATE TABLE kill_log (
    kill_id     uuid        NOT NULL,
    seq         integer     NOT NULL CHECK (seq > 0),
    at          timestamptz NOT NULL,
    kind        text        NOT NULL,
    status      text        NOT NULL CHECK (status IN (
        'pending', 'accepted', 'succeeded', 'partial', 'failed', 'refused', 'rate_limited', 'unknown', 'preview')),
    gateway     text        NOT NULL,
    ends        boolean     NOT NULL,
    body        json        NOT NULL,
    -- Which transaction recorded it: tells a reader what was not committed yet when its first page was read.
    recorded_in bigint      NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    PRIMARY KEY (kill_id, seq),
    -- A settled kill has ended, and one that may still be sent has not.
    CONSTRAINT ends_where_it_ends CHECK (
        CASE status WHEN 'pending' THEN NOT ends WHEN 'accepted' THEN true WHEN 'unknown' THEN true ELSE ends END)
) PARTITION BY RANGE (kill_id);

COMMENT ON TABLE kill_log IS 'The record: every entry about every kill, only ever added to';
COMMENT ON COLUMN kill_log.kill_id IS 'The kill, a UUIDv7 made when it was asked, so ids sort by time';
COMMENT ON COLUMN kill_log.seq IS '1, 2, 3 … without gaps within a kill; the first one is what was asked';
COMMENT ON COLUMN kill_log.at IS 'When, by the gateway''s clock';
COMMENT ON COLUMN kill_log.kind IS 'recorded, sent, looked, answered, abandoned …';
COMMENT ON COLUMN kill_log.status IS 'Where the kill stands from then on';
COMMENT ON COLUMN kill_log.gateway IS 'The gateway process that held the kill';
COMMENT ON COLUMN kill_log.ends IS 'True where nobody looks after the kill any more: no entry follows';
COMMENT ON COLUMN kill_log.body IS 'What was asked (asked), and what was learned: sessions, upstream, problem, look, calls and times';
COMMENT ON COLUMN kill_log.recorded_in IS 'The transaction that recorded it; for readers of several pages only';

-- A row for each kill from its first entry until it is in the index; so what is not indexed is found without a mark that
-- a late commit could slip under.
CREATE TABLE kill_leases (
    kill_id uuid        PRIMARY KEY,
    seq     integer     NOT NULL,
    gateway text        NOT NULL,
    pending boolean     NOT NULL,
    ended   boolean     NOT NULL,
    due_at  timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX kill_leases_by_due ON kill_leases (due_at);

COMMENT ON TABLE kill_leases IS 'Kills that are open, or not in the index yet; bookkeeping, no history';
COMMENT ON COLUMN kill_leases.kill_id IS 'The kill';
COMMENT ON COLUMN kill_leases.seq IS 'The number of its last entry';
COMMENT ON COLUMN kill_leases.gateway IS 'The gateway process that holds it';
COMMENT ON COLUMN kill_leases.pending IS 'Whether its status is pending: then only the gateway that holds it may send it';
COMMENT ON COLUMN kill_leases.ended IS 'Whether nothing of it will change any more: then it only waits to be indexed';
COMMENT ON COLUMN kill_leases.due_at IS 'From then on any gateway may take it, unless it has ended: a deadline, or the next look';

CREATE TABLE idempotency_keys (
    caller      text        NOT NULL,
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    kill_id     uuid        NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

COMMENT ON TABLE idempotency_keys IS 'Which kill a caller''s key stands for, for a while; the key itself stays in the log';
COMMENT ON COLUMN idempotency_keys.caller IS 'The caller; keys of different callers never meet';
COMMENT ON COLUMN idempotency_keys.key IS 'The Idempotency-Key header';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the request, to tell a repetition from a reused key';
COMMENT ON COLUMN idempotency_keys.kill_id IS 'The kill the key stands for';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When it was claimed';
COMMENT ON COLUMN idempotency_keys.expires_at IS 'From then on it may be claimed anew';

-- What was recorded is never changed or removed.
CREATE FUNCTION record_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: what was recorded is never % (append-only)', TG_TABLE_NAME,
        CASE TG_OP WHEN 'UPDATE' THEN 'changed' ELSE 'removed' END
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;

-- A later entry is the next one of a kill that had not ended: whoever adds it has moved the kill's lease on in the same
-- statement. The functions below have, and say so: to look at each of their entries again would cost as much as all the rest.
CREATE FUNCTION entry_is_next() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM kill_leases WHERE kill_id = NEW.kill_id AND seq = NEW.seq) THEN
        RAISE EXCEPTION 'kill_log: an entry is the next one of an open kill, and a settled or closed kill has no more of them'
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER is_next BEFORE INSERT ON kill_log FOR EACH ROW
    WHEN (NEW.seq > 1 AND current_setting('killgate.moves_leases', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION entry_is_next();

-- The triggers that fire once for a statement. A statement on a partitioned table does not fire those of its
-- partitions, nor the other way round, so every one of them has its own.
CREATE FUNCTION guard(guarded regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION record_is_kept()', guarded);
END $$;
SELECT guard('kill_log');

-- Records kills with their first entries; one that is settled has ended at once. Where `marks` says so, the mark that bytes may
-- leave from then on goes with it, as the second entry. It runs as its owner, so that whoever calls it adds what it says and
-- nothing else.
CREATE FUNCTION begin_kills(
    ids uuid[], times timestamptz[], statuses text[], gateways text[], endings boolean[], dues timestamptz[], bodies text[],
    marks boolean[]
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO kill_leases (kill_id, seq, gateway, pending, ended, due_at)
        SELECT id, CASE WHEN is_marked THEN 2 ELSE 1 END, gateway, status = 'pending', ends, due_at
        FROM unnest(ids, statuses, gateways, endings, dues, marks) AS g (id, status, gateway, ends, due_at, is_marked);
    INSERT INTO kill_log (kill_id, seq, at, kind, status, gateway, ends, body)
        SELECT id, 1, at, 'recorded', status, gateway, ends, body::json
        FROM unnest(ids, times, statuses, gateways, endings, bodies) AS g (id, at, status, gateway, ends, body);
    IF true = ANY (marks) THEN
        INSERT INTO kill_log (kill_id, seq, at, kind, status, gateway, ends, body)
            SELECT id, 2, at, 'sent', status, gateway, ends, '{}'
            FROM unnest(ids, times, statuses, gateways, endings, marks) AS g (id, at, status, gateway, ends, is_marked)
            WHERE is_marked;
    END IF;
    RETURN QUERY SELECT unnest(ids);
END $$;

-- Adds the next entries of kills that have not ended; answers which those were. What was answered is never taken back: a
-- kill that is not pending any more does not become so again. Where `owners` names a gateway, only to a
-- pending kill that it holds, and the lease lasts until `dues` at least: so a kill is either taken over or sent, never both.
-- Otherwise the lease lasts until `dues`, or as it did where that is null.
CREATE FUNCTION append_to_kills(
    ids uuid[], times timestamptz[], kinds text[], statuses text[], endings boolean[], dues timestamptz[], bodies text[],
    owners text[], releases boolean[]
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    added uuid[];
BEGIN
    WITH given AS (
        SELECT * FROM unnest(ids, times, kinds, statuses, endings, dues, bodies, owners)
            AS given (id, at, kind, status, ends, due_at, body, owner)
    ), held AS (
        UPDATE kill_leases l SET seq = l.seq + 1, pending = g.status = 'pending', ended = g.ends,
            due_at = CASE WHEN g.owner IS NULL THEN coalesce(g.due_at, l.due_at) ELSE greatest(l.due_at, g.due_at) END
        FROM given g
        WHERE l.kill_id = g.id AND NOT l.ended AND (l.pending OR g.status <> 'pending')
            AND (g.owner IS NULL OR l.pending AND l.gateway = g.owner)
        RETURNING l.kill_id, l.seq, l.gateway, g.at, g.kind, g.status, g.ends, g.body
    ), entry AS (
        INSERT INTO kill_log (kill_id, seq, at, kind, status, gateway, ends, body)
        SELECT kill_id, seq, at, kind, status, gateway, ends, body::json FROM held
        RETURNING kill_log.kill_id
    )
    SELECT array_agg(entry.kill_id) INTO added FROM entry;
    IF true = ANY (releases) THEN
        DELETE FROM idempotency_keys i USING unnest(ids, releases) AS g (id, releases), kill_log f
        WHERE g.releases AND g.id = ANY (added) AND f.kill_id = g.id AND f.seq = 1
            AND i.caller = f.body #>> '{asked,caller}' AND i.key = f.body #>> '{asked,idempotency_key}'
            AND i.kill_id = g.id;
    END IF;
    RETURN QUERY SELECT unnest(added);
END $$;
REVOKE EXECUTE ON FUNCTION begin_kills, append_to_kills FROM PUBLIC;

-- Ids sort by time: the lowest id of a kill that is asked at that time or later.
CREATE FUNCTION first_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (lpad(to_hex(ceil(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

-- What the owner has removed: whole months, which are never made again.
CREATE TABLE removals (
    id         uuid        PRIMARY KEY,
    month      date        NOT NULL UNIQUE,
    kills      bigint      NOT NULL,
    first_kill uuid,
    last_kill  uuid,
    removed_at timestamptz NOT NULL,
    removed_by text        NOT NULL,
    reason     text        NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000)
);

COMMENT ON TABLE removals IS 'Months that were removed as a whole by the owner';
COMMENT ON COLUMN removals.id IS 'What it is sealed under';
COMMENT ON COLUMN removals.month IS 'The first day of the month, UTC';
COMMENT ON COLUMN removals.kills IS 'How many kills it had';
COMMENT ON COLUMN removals.first_kill IS 'The first of them; null if there were none';
COMMENT ON COLUMN removals.last_kill IS 'The last of them; null if there were none';
COMMENT ON COLUMN removals.removed_at IS 'When, by the database''s clock, whole milliseconds';
COMMENT ON COLUMN removals.removed_by IS 'The database role that did it';
COMMENT ON COLUMN removals.reason IS 'Why, in that person''s words';

SELECT guard('removals');

-- Which versions of killgate may serve on these tables.
CREATE TABLE serving (
    turn       boolean     PRIMARY KEY DEFAULT true CHECK (turn),
    -- A migration after which older versions cannot serve any more says so here.
    from_version bigint    NOT NULL,
    tried_at   timestamptz NOT NULL DEFAULT now(),
    room       bytea
);
-- Neither compressed nor beside the row: a trial asks for as much room as a kill.
ALTER TABLE serving ALTER COLUMN room SET STORAGE EXTERNAL;
INSERT INTO serving (from_version) VALUES (7);

COMMENT ON TABLE serving IS 'One row: who may serve, and the last trial of a gateway; bookkeeping, no history';
COMMENT ON COLUMN serving.turn IS 'Always true';
COMMENT ON COLUMN serving.from_version IS 'Who knows no migration with this number or a later one may not serve';
COMMENT ON COLUMN serving.tried_at IS 'When a gateway last tried whether anything can be written';
COMMENT ON COLUMN serving.room IS 'Zeros, as many as a kill may need: there was room for them then';
