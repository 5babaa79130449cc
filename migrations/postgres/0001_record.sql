-- The record: what was asked, what was sent, what became of it, in partitions of a month each.
--
-- What a role that only serves needs is granted by let_serve, see 0004_roles.sql. The triggers below hold for every
-- role, the owner's included.

CREATE TABLE kills (
    id                    uuid        PRIMARY KEY,
    status                text        NOT NULL CHECK (status IN (
        'pending', 'accepted', 'succeeded', 'partial', 'failed', 'refused', 'rate_limited', 'unknown', 'preview')),
    caller                text        NOT NULL,
    on_behalf_of          text,
    actor                 text,
    reason                text,
    target                jsonb,
    selector              jsonb,
    -- Cut, because a refused request may carry anything and an index entry must stay small.
    vendor                text        GENERATED ALWAYS AS (left(target ->> 'vendor', 200)) STORED,
    account               text        GENERATED ALWAYS AS (left(target ->> 'account', 200)) STORED,
    alias                 text        GENERATED ALWAYS AS (left(target ->> 'alias', 200)) STORED,
    instance_id           text        GENERATED ALWAYS AS (left(target ->> 'instance_id', 200)) STORED,
    request               text,
    dry_run               boolean     NOT NULL,
    client_address        text,
    client_id             text,
    token_id              text,
    request_id            text,
    idempotency_key       text,
    gateway               text        NOT NULL,
    requested_at          timestamptz NOT NULL,
    looked_at             timestamptz,
    list_complete         boolean,
    sent_at               timestamptz,
    completed_at          timestamptz,
    verified_at           timestamptz,
    upstream_http_status  integer,
    upstream_request_id   text,
    upstream_task_id      text,
    upstream_evidence_url text,
    upstream_error_code   text,
    upstream_error_message text,
    problem               jsonb,
    closed                boolean     NOT NULL DEFAULT false,
    words                 text[]      NOT NULL DEFAULT '{}',
    -- Which transaction recorded it: tells a reader what was not committed yet when its first page was read.
    recorded_in           bigint      NOT NULL DEFAULT pg_current_xact_id()::text::bigint
) PARTITION BY RANGE (id);
-- No index names a column that changes, so a kill is concluded on its own page without touching any index.
CREATE INDEX kills_by_caller ON kills (caller, id DESC);
CREATE INDEX kills_by_instance ON kills (instance_id, id DESC) WHERE instance_id IS NOT NULL;
CREATE INDEX kills_by_alias ON kills (alias, id DESC) WHERE alias IS NOT NULL;
CREATE INDEX kills_by_account ON kills (vendor, account, id DESC) WHERE vendor IS NOT NULL;

COMMENT ON TABLE kills IS 'One request to end sessions, from the moment it was asked; settled rows never change';
COMMENT ON COLUMN kills.id IS 'UUIDv7 made at requested_at, so ids sort by time';
COMMENT ON COLUMN kills.status IS 'Where it stands; pending, accepted and unknown are open, every other word is settled';
COMMENT ON COLUMN kills.caller IS 'The authenticated subject (JWT sub)';
COMMENT ON COLUMN kills.on_behalf_of IS 'The person behind a bot: the caller where there is an actor, else the caller''s word';
COMMENT ON COLUMN kills.actor IS 'Who acted in the caller''s name (JWT act.sub)';
COMMENT ON COLUMN kills.reason IS 'Why, in the caller''s words';
COMMENT ON COLUMN kills.target IS 'Alias, vendor, account and coordinates as understood; null if not understood';
COMMENT ON COLUMN kills.selector IS 'Which sessions, as asked; null if not understood';
COMMENT ON COLUMN kills.vendor IS 'Taken from target, first 200 characters';
COMMENT ON COLUMN kills.account IS 'Taken from target, first 200 characters';
COMMENT ON COLUMN kills.alias IS 'Taken from target, first 200 characters';
COMMENT ON COLUMN kills.instance_id IS 'Taken from target, first 200 characters';
COMMENT ON COLUMN kills.request IS 'What the caller sent, compact JSON text; null if unreadable';
COMMENT ON COLUMN kills.dry_run IS 'True where nothing that changes anything was to be sent';
COMMENT ON COLUMN kills.client_address IS 'Where the call came from';
COMMENT ON COLUMN kills.client_id IS 'The client that acted for the caller (JWT azp or client_id)';
COMMENT ON COLUMN kills.token_id IS 'The token used (JWT jti); never the token itself';
COMMENT ON COLUMN kills.request_id IS 'The id of the HTTP request, as in the logs';
COMMENT ON COLUMN kills.idempotency_key IS 'The Idempotency-Key header, as sent';
COMMENT ON COLUMN kills.gateway IS 'The gateway process that received it';
COMMENT ON COLUMN kills.requested_at IS 'When it was asked, by the gateway''s clock, whole milliseconds';
COMMENT ON COLUMN kills.looked_at IS 'When the sessions were looked at before the kill; null if they were not';
COMMENT ON COLUMN kills.list_complete IS 'Whether that list held all sessions; null if there was none';
COMMENT ON COLUMN kills.sent_at IS 'From then on bytes may have gone to a vendor; null if surely none did';
COMMENT ON COLUMN kills.completed_at IS 'When the status became final';
COMMENT ON COLUMN kills.verified_at IS 'When every session had been seen gone on a list, where the kill was settled so';
COMMENT ON COLUMN kills.upstream_http_status IS 'HTTP status of the vendor''s last answer';
COMMENT ON COLUMN kills.upstream_request_id IS 'The id under which the vendor''s support finds the call';
COMMENT ON COLUMN kills.upstream_task_id IS 'The vendor''s task, where the operation is asynchronous';
COMMENT ON COLUMN kills.upstream_evidence_url IS 'Where the vendor keeps its own account of what it did';
COMMENT ON COLUMN kills.upstream_error_code IS 'The vendor''s error code';
COMMENT ON COLUMN kills.upstream_error_message IS 'The vendor''s error text; withheld where it may echo credentials';
COMMENT ON COLUMN kills.problem IS 'Why it was not done, as answered to the caller';
COMMENT ON COLUMN kills.closed IS 'True where nobody looks after it any more, whatever its status: then nothing of it changes';
COMMENT ON COLUMN kills.words IS 'What the reason is found by, as the gateway takes it apart: the same in every locale';
COMMENT ON COLUMN kills.recorded_in IS 'The transaction that recorded it; for readers of several pages only';

CREATE INDEX kills_by_reason ON kills USING gin (words) WHERE words <> '{}';

CREATE TABLE kill_sessions (
    kill_id    uuid    NOT NULL,
    session_id text    NOT NULL,
    position   integer NOT NULL,
    outcome    text    NOT NULL CHECK (outcome IN (
        'killed', 'not_found', 'accepted', 'failed', 'protected', 'changed', 'alive', 'unknown')),
    detail     text,
    identity   jsonb,
    recorded_in bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    PRIMARY KEY (kill_id, session_id)
) PARTITION BY RANGE (kill_id);
CREATE INDEX kill_sessions_by_session ON kill_sessions (session_id, kill_id DESC);

COMMENT ON TABLE kill_sessions IS 'The sessions of a kill and what is known of each';
COMMENT ON COLUMN kill_sessions.kill_id IS 'The kill';
COMMENT ON COLUMN kill_sessions.session_id IS 'The session''s id at the vendor, as text';
COMMENT ON COLUMN kill_sessions.position IS 'Its place in the answer';
COMMENT ON COLUMN kill_sessions.outcome IS 'What happened to it, as far as known';
COMMENT ON COLUMN kill_sessions.detail IS 'Why, where the outcome alone does not say it';
COMMENT ON COLUMN kill_sessions.identity IS 'Whose session it was when it was looked at, to tell it from another of the same id';
COMMENT ON COLUMN kill_sessions.recorded_in IS 'The transaction that recorded it; for readers of several pages only';

CREATE TABLE kill_events (
    kill_id uuid        NOT NULL,
    seq     integer     NOT NULL CHECK (seq > 0),
    at      timestamptz NOT NULL,
    kind    text        NOT NULL,
    status  text        NOT NULL,
    gateway text,
    detail  jsonb       NOT NULL,
    PRIMARY KEY (kill_id, seq)
) PARTITION BY RANGE (kill_id);

COMMENT ON TABLE kill_events IS 'Every change of a kill, only ever added to: what was known, and when';
COMMENT ON COLUMN kill_events.kill_id IS 'The kill';
COMMENT ON COLUMN kill_events.seq IS '1, 2, 3 … without gaps within a kill';
COMMENT ON COLUMN kill_events.at IS 'When, by the gateway''s clock';
COMMENT ON COLUMN kill_events.kind IS 'recorded, sent, answered, looked, taken_over …';
COMMENT ON COLUMN kill_events.status IS 'The kill''s status from then on';
COMMENT ON COLUMN kill_events.gateway IS 'The gateway that held the kill';
COMMENT ON COLUMN kill_events.detail IS 'What was learned: upstream, problem, and the sessions whose outcome changed';

CREATE TABLE kill_leases (
    kill_id uuid        PRIMARY KEY,
    gateway text        NOT NULL,
    due_at  timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX kill_leases_by_due ON kill_leases (due_at);

COMMENT ON TABLE kill_leases IS 'Open kills that somebody will look after; bookkeeping, no history';
COMMENT ON COLUMN kill_leases.kill_id IS 'The kill';
COMMENT ON COLUMN kill_leases.gateway IS 'The gateway process that holds it';
COMMENT ON COLUMN kill_leases.due_at IS 'From then on any gateway may take it: a deadline, or the next look';

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

COMMENT ON TABLE idempotency_keys IS 'Which kill a caller''s key stands for, for a while; the key itself stays in kills';
COMMENT ON COLUMN idempotency_keys.caller IS 'The caller; keys of different callers never meet';
COMMENT ON COLUMN idempotency_keys.key IS 'The Idempotency-Key header';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the request, to tell a repetition from a reused key';
COMMENT ON COLUMN idempotency_keys.kill_id IS 'The kill the key stands for';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When it was claimed';
COMMENT ON COLUMN idempotency_keys.expires_at IS 'From then on it may be claimed anew';

-- What was recorded is never removed.
CREATE FUNCTION record_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: what was recorded is never % (append-only)', TG_TABLE_NAME,
        CASE TG_OP WHEN 'UPDATE' THEN 'changed' ELSE 'removed' END
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;

-- A settled or closed kill never changes; an open one may only learn. The function is called only where the condition says that
-- something is wrong, since it is held against every change of every kill. Each column of kills is either named here as
-- part of what was asked or is one that may be learned; a test reads the table and holds it against this list.
CREATE FUNCTION kill_may_not_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'kills: %', CASE
            WHEN OLD.status NOT IN ('pending', 'accepted', 'unknown') THEN 'a settled kill never changes'
            WHEN OLD.closed THEN 'a closed kill never changes'
            WHEN NEW.status = 'pending' AND OLD.status <> 'pending'
                OR OLD.sent_at IS NOT NULL AND NEW.sent_at IS DISTINCT FROM OLD.sent_at
                THEN 'what was sent or answered is never taken back'
            ELSE 'what was asked never changes' END
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;

CREATE TRIGGER kills_may_only_learn BEFORE UPDATE ON kills FOR EACH ROW
    WHEN (OLD.status NOT IN ('pending', 'accepted', 'unknown')
        OR OLD.closed
        OR NEW.status = 'pending' AND OLD.status <> 'pending'
        OR OLD.sent_at IS NOT NULL AND NEW.sent_at IS DISTINCT FROM OLD.sent_at
        OR NEW.id IS DISTINCT FROM OLD.id
        OR NEW.caller IS DISTINCT FROM OLD.caller
        OR NEW.on_behalf_of IS DISTINCT FROM OLD.on_behalf_of
        OR NEW.actor IS DISTINCT FROM OLD.actor
        OR NEW.reason IS DISTINCT FROM OLD.reason
        OR NEW.target IS DISTINCT FROM OLD.target
        OR NEW.selector IS DISTINCT FROM OLD.selector
        OR NEW.request IS DISTINCT FROM OLD.request
        OR NEW.dry_run IS DISTINCT FROM OLD.dry_run
        OR NEW.client_address IS DISTINCT FROM OLD.client_address
        OR NEW.client_id IS DISTINCT FROM OLD.client_id
        OR NEW.token_id IS DISTINCT FROM OLD.token_id
        OR NEW.request_id IS DISTINCT FROM OLD.request_id
        OR NEW.idempotency_key IS DISTINCT FROM OLD.idempotency_key
        OR NEW.gateway IS DISTINCT FROM OLD.gateway
        OR NEW.requested_at IS DISTINCT FROM OLD.requested_at
        OR NEW.words IS DISTINCT FROM OLD.words
        OR NEW.recorded_in IS DISTINCT FROM OLD.recorded_in)
    EXECUTE FUNCTION kill_may_not_change();

-- Sessions, outcomes and events are added while their kill is open, or by the very transaction that recorded it; and
-- events only as the next ones. Once for a statement, so a thousand sessions cost one look at kills.
--
-- The kills are locked until the transaction ends: else one that was open when it was looked at could be settled before
-- what is added to it is there. FOR SHARE is the weakest lock that a change of a kill waits for. Whoever has locked them
-- for a change already pays nothing for it, and a kill that only this transaction can see needs no lock.
CREATE FUNCTION kills_take_more() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    this  constant bigint := pg_current_xact_id()::text::bigint;
    ids   uuid[];
    taken bigint;
BEGIN
    -- In order, so that only the months from the first to the last are looked at.
    SELECT array_agg(DISTINCT kill_id) INTO ids FROM changed;
    IF ids IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT count(*) FILTER (WHERE status IN ('pending', 'accepted', 'unknown') AND NOT closed) INTO taken FROM (
        SELECT status, closed FROM kills WHERE id = ANY (ids) AND id BETWEEN ids[1] AND ids[cardinality(ids)]
            AND xmin <> pg_current_xact_id()::xid
        ORDER BY id FOR SHARE
    ) AS of_others;
    IF taken < cardinality(ids) THEN
        -- That a kill was recorded here takes both: a transaction's short number comes again, the long one can be made up.
        taken := taken + (SELECT count(*) FROM kills
            WHERE id = ANY (ids) AND id BETWEEN ids[1] AND ids[cardinality(ids)]
            AND xmin = pg_current_xact_id()::xid
            AND (recorded_in = this OR status IN ('pending', 'accepted', 'unknown') AND NOT closed));
    END IF;
    IF taken < cardinality(ids) THEN
        RAISE EXCEPTION '%', CASE TG_ARGV[0]
                WHEN 'kill_events' THEN 'kill_events: an event is of a kill that is there, and a settled kill has no more of them, nor has a closed one'
                ELSE 'kill_sessions: a session is of a kill that is there, and the sessions of a settled kill never change, nor those of a closed one' END
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END IF;
    IF TG_ARGV[0] = 'kill_events' THEN
        IF EXISTS (
            SELECT FROM changed c WHERE c.seq > 1 AND (SELECT e.seq FROM kill_events e
                WHERE e.kill_id = c.kill_id AND e.seq = c.seq - 1
                AND e.kill_id BETWEEN ids[1] AND ids[cardinality(ids)]) IS NULL
        ) THEN
            RAISE EXCEPTION 'kill_events: an event is the next one of its kill'
                USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION kill_session_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'kill_sessions: which session was meant never changes'
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;
CREATE TRIGGER kill_sessions_stay BEFORE UPDATE ON kill_sessions FOR EACH ROW
    WHEN ((OLD.kill_id, OLD.session_id, OLD.position) IS DISTINCT FROM (NEW.kill_id, NEW.session_id, NEW.position))
    EXECUTE FUNCTION kill_session_stays();

-- The triggers that fire once for a statement. A statement on a partitioned table does not fire those of its
-- partitions, nor the other way round, so every one of them has its own.
CREATE FUNCTION guard(guarded regclass, kind text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER is_kept BEFORE DELETE OR TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION record_is_kept()', guarded);
    IF kind = 'kill_events' THEN
        EXECUTE format('CREATE TRIGGER is_not_changed BEFORE UPDATE ON %s
            FOR EACH STATEMENT EXECUTE FUNCTION record_is_kept()', guarded);
    END IF;
    IF kind IN ('kill_events', 'kill_sessions') THEN
        EXECUTE format('CREATE TRIGGER is_open_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION kills_take_more(%L)', guarded, kind);
    END IF;
    IF kind = 'kill_sessions' THEN
        EXECUTE format('CREATE TRIGGER is_open_update AFTER UPDATE ON %s REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION kills_take_more(%L)', guarded, kind);
    END IF;
END $$;
SELECT guard(name::regclass, name) FROM unnest(ARRAY['kills', 'kill_sessions', 'kill_events']) AS name;

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

CREATE TRIGGER is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON removals
    FOR EACH STATEMENT EXECUTE FUNCTION record_is_kept();

-- Makes the partitions of 1 to 24 months from that time on, as far as they are missing; answers how many kills' ones.
-- They are those of 2020 to five years from now, and none that was removed.
--
-- It runs as its owner, so that a role that serves may call it and can make nothing else.
CREATE FUNCTION make_months(from_at timestamptz, many integer) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    made   integer := 0;
    this   constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    starts timestamp;
    name   text;
    kind   text;
BEGIN
    IF many IS NULL OR many NOT BETWEEN 1 AND 24 THEN
        RAISE EXCEPTION 'make_months: 1 to 24 months are made at a time'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOR n IN 0 .. many - 1 LOOP
        starts := date_trunc('month', from_at AT TIME ZONE 'UTC') + make_interval(months => n);
        name := to_char(starts, 'YYYY_MM');
        IF starts IS NULL OR starts NOT BETWEEN '2020-01-01' AND this + interval '5 years' THEN
            RAISE EXCEPTION 'make_months: % is no month from 2020 to five years from now', coalesce(name, 'null')
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        CONTINUE WHEN to_regclass('kills_' || name) IS NOT NULL;
        -- An older snapshot would not show that the month was removed meanwhile. Only what is over can have been.
        IF starts < this AND current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
            RAISE EXCEPTION 'make_months: a month that is over is made at the isolation level READ COMMITTED'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        -- One gateway at a time; whoever waited finds the work done. Nobody who reads or writes is held up, by this
        -- lock or by attaching.
        LOCK TABLE ONLY kills IN SHARE UPDATE EXCLUSIVE MODE;
        CONTINUE WHEN to_regclass('kills_' || name) IS NOT NULL;
        IF EXISTS (SELECT FROM removals WHERE month = starts::date) THEN
            RAISE EXCEPTION 'make_months: the month % was removed', name
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        FOREACH kind IN ARRAY ARRAY['kill_events', 'kill_sessions', 'kills'] LOOP
            name := kind || '_' || to_char(starts, 'YYYY_MM');
            -- A kill is concluded on its own page: no index names a column that changes, and a page has room.
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING INDEXES) WITH (fillfactor = %s)',
                name, kind, CASE kind WHEN 'kill_events' THEN 100 ELSE 70 END);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                kind, name, first_id(starts AT TIME ZONE 'UTC'),
                first_id((starts + interval '1 month') AT TIME ZONE 'UTC'));
            PERFORM guard(name::regclass, kind);
        END LOOP;
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
REVOKE EXECUTE ON FUNCTION make_months FROM PUBLIC;

-- The tables they read and make are those of this schema, whatever the session's own search path says.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION kills_take_more() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION make_months(timestamptz, integer) SET search_path = %I, pg_temp', current_schema());
END $$;

SELECT make_months(now(), 3);

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
INSERT INTO serving (from_version) VALUES (8);

COMMENT ON TABLE serving IS 'One row: who may serve, and the last trial of a gateway; bookkeeping, no history';
COMMENT ON COLUMN serving.turn IS 'Always true';
COMMENT ON COLUMN serving.from_version IS 'Who knows no migration with this number or a later one may not serve';
COMMENT ON COLUMN serving.tried_at IS 'When a gateway last tried whether anything can be written';
COMMENT ON COLUMN serving.room IS 'Zeros, as many as a kill may need: there was room for them then';
