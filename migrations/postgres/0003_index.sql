-- What kills are found by. It is made from the log, in bulk, by whichever gateway comes to it, a moment after a kill has
-- ended, and can be made again from the log at any time: `killgate audit reindex`. Rows are added once and never updated.

CREATE TABLE kill_index (
    id           uuid        PRIMARY KEY,
    status       text        NOT NULL,
    caller       text        COLLATE "C" NOT NULL,
    on_behalf_of text,
    vendor       text,
    account      text,
    alias        text        COLLATE "C",
    instance_id  text,
    users        text[]      NOT NULL,
    databases    text[]      NOT NULL,
    outcomes     text[]      NOT NULL,
    ever_unknown boolean     NOT NULL,
    requested_at timestamptz NOT NULL,
    size         integer     NOT NULL,
    words        text[]      NOT NULL,
    recorded_in  bigint      NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX kill_index_by_caller ON kill_index (caller, id DESC);
CREATE INDEX kill_index_by_instance ON kill_index (instance_id, id DESC) WHERE instance_id IS NOT NULL;
CREATE INDEX kill_index_by_alias ON kill_index (alias, id DESC) WHERE alias IS NOT NULL;
CREATE INDEX kill_index_by_person ON kill_index (on_behalf_of, id DESC) WHERE on_behalf_of IS NOT NULL;
-- Few kills were ever unknown, and nobody pays for it with the others.
CREATE INDEX kill_index_by_doubt ON kill_index (id DESC) WHERE ever_unknown;
CREATE INDEX kill_index_by_account ON kill_index (vendor, account, id DESC) WHERE vendor IS NOT NULL;
CREATE INDEX kill_index_by_reason ON kill_index USING gin (words) WHERE words <> '{}';
-- Of users and databases there are many, and one may be rare. Outcomes have no index: there are a handful, most of which
-- are found soon whichever way one goes, and a posting for each row would be dearer than what it saves.
CREATE INDEX kill_index_by_user ON kill_index USING gin (users) WHERE users <> '{}';
CREATE INDEX kill_index_by_database ON kill_index USING gin (databases) WHERE databases <> '{}';

COMMENT ON TABLE kill_index IS 'What kills that have ended are found by; made from kill_log';
COMMENT ON COLUMN kill_index.id IS 'The kill';
COMMENT ON COLUMN kill_index.status IS 'Where it stands for ever';
COMMENT ON COLUMN kill_index.caller IS 'The authenticated subject (JWT sub)';
COMMENT ON COLUMN kill_index.on_behalf_of IS 'The person behind a bot';
COMMENT ON COLUMN kill_index.vendor IS 'Taken from its target, first 200 characters';
COMMENT ON COLUMN kill_index.account IS 'Taken from its target, first 200 characters';
COMMENT ON COLUMN kill_index.alias IS 'Taken from its target, first 200 characters';
COMMENT ON COLUMN kill_index.instance_id IS 'Taken from its target, first 200 characters';
COMMENT ON COLUMN kill_index.users IS 'The database users of its sessions, or of its match where it names none; each once, in order, first 200 characters';
COMMENT ON COLUMN kill_index.databases IS 'The databases of its sessions, in the same way';
COMMENT ON COLUMN kill_index.outcomes IS 'What became of its sessions, each word once';
COMMENT ON COLUMN kill_index.ever_unknown IS 'Whether its status was unknown at any time';
COMMENT ON COLUMN kill_index.requested_at IS 'When it was asked, by the gateway''s clock, whole milliseconds';
COMMENT ON COLUMN kill_index.size IS 'How much a page holds with it: its sessions, and for each hundred characters of its selector one more';
COMMENT ON COLUMN kill_index.words IS 'What its reason is found by, as the gateway takes it apart: the same in every locale';
COMMENT ON COLUMN kill_index.recorded_in IS 'The transaction that recorded the kill; for readers of several pages only';

CREATE TABLE kill_index_sessions (
    session_id  text   NOT NULL,
    kill_id     uuid   NOT NULL,
    recorded_in bigint NOT NULL,
    PRIMARY KEY (session_id, kill_id)
) PARTITION BY RANGE (kill_id);

-- For whoever holds the index against the log: rows lie in the order of their kills, nearly.
CREATE INDEX kill_index_sessions_by_kill ON kill_index_sessions USING brin (kill_id) WITH (pages_per_range = 16, autosummarize = on);

COMMENT ON TABLE kill_index_sessions IS 'Which session ids occur in which kills that have ended; made from kill_log';
COMMENT ON COLUMN kill_index_sessions.session_id IS 'The session''s id at the vendor, as text';
COMMENT ON COLUMN kill_index_sessions.kill_id IS 'The kill';
COMMENT ON COLUMN kill_index_sessions.recorded_in IS 'The transaction that recorded the kill; for readers of several pages only';

-- Makes the partitions of 1 to 24 months from that time on, as far as they are missing; answers how many months' ones.
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
        CONTINUE WHEN to_regclass('kill_log_' || name) IS NOT NULL;
        -- An older snapshot would not show that the month was removed meanwhile. Only what is over can have been.
        IF starts < this AND current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
            RAISE EXCEPTION 'make_months: a month that is over is made at the isolation level READ COMMITTED'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        -- One gateway at a time; whoever waited finds the work done. Nobody who reads or writes is held up, by this
        -- lock or by attaching.
        LOCK TABLE ONLY kill_log IN SHARE UPDATE EXCLUSIVE MODE;
        CONTINUE WHEN to_regclass('kill_log_' || name) IS NOT NULL;
        IF EXISTS (SELECT FROM removals WHERE month = starts::date) THEN
            RAISE EXCEPTION 'make_months: the month % was removed', name
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
        FOREACH kind IN ARRAY ARRAY['kill_index_sessions', 'kill_index', 'kill_log'] LOOP
            name := kind || '_' || to_char(starts, 'YYYY_MM');
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING INDEXES)', name, kind);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                kind, name, first_id(starts AT TIME ZONE 'UTC'),
                first_id((starts + interval '1 month') AT TIME ZONE 'UTC'));
            IF kind = 'kill_log' THEN
                PERFORM guard(name::regclass);
            END IF;
        END LOOP;
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
REVOKE EXECUTE ON FUNCTION make_months FROM PUBLIC;

-- The record as tables, for people with SQL: every kill as it stands, its sessions, and its events. An entry that is not as
-- killgate writes it shows less, and keeps nobody from seeing the others.

-- A body that can be taken apart: one that writes what no text here can have says nothing. killgate never writes so.
CREATE FUNCTION readable(body json) RETURNS json LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN strpos(body::text, '\u') > 0 AND body::text ~ '[^\\](\\\\)*\\u(0000|[dD][89a-fA-F])' THEN '{}'::json
        ELSE body END;

-- A time in milliseconds since 1970, where it is one.
CREATE FUNCTION moment(millis text) RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN millis ~ '^-?[0-9]{1,14}$' THEN to_timestamp(millis::bigint / 1000.0) END;

CREATE VIEW kills AS
SELECT f.kill_id AS id, l.status,
    a.body #>> '{asked,caller}' AS caller, a.body #>> '{asked,on_behalf_of}' AS on_behalf_of,
    a.body #>> '{asked,actor}' AS actor, a.body #>> '{asked,reason}' AS reason,
    a.body #> '{asked,target}' AS target, a.body #> '{asked,select}' AS selector,
    a.body #>> '{asked,target,vendor}' AS vendor, a.body #>> '{asked,target,account}' AS account,
    a.body #>> '{asked,target,alias}' AS alias, a.body #>> '{asked,target,instance_id}' AS instance_id,
    a.body #>> '{asked,request}' AS request,
    CASE a.body #>> '{asked,dry_run}' WHEN 'true' THEN true WHEN 'false' THEN false END AS dry_run,
    a.body #>> '{asked,client_address}' AS client_address, a.body #>> '{asked,client_id}' AS client_id,
    a.body #>> '{asked,token_id}' AS token_id, a.body #>> '{asked,request_id}' AS request_id,
    a.body #>> '{asked,idempotency_key}' AS idempotency_key,
    CASE WHEN a.body #>> '{asked,confirms}' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        THEN (a.body #>> '{asked,confirms}')::uuid END AS confirms,
    f.gateway, f.at AS requested_at,
    (SELECT s.at FROM kill_log s WHERE s.kill_id = f.kill_id AND s.kind = 'sent' ORDER BY s.seq LIMIT 1) AS sent_at,
    moment(b.body ->> 'completed_at') AS completed_at, moment(b.body ->> 'verified_at') AS verified_at,
    b.body -> 'upstream' AS upstream, b.body -> 'problem' AS problem, l.ends AS closed
FROM kill_log f CROSS JOIN LATERAL (
    -- Once for each, and not for each column.
    SELECT readable(f.body) AS body OFFSET 0
) a JOIN LATERAL (
    SELECT e.status, e.ends FROM kill_log e WHERE e.kill_id = f.kill_id ORDER BY e.seq DESC LIMIT 1
) l ON true JOIN LATERAL (
    SELECT readable(e.body) AS body FROM kill_log e WHERE e.kill_id = f.kill_id AND e.kind <> 'sent' ORDER BY e.seq DESC LIMIT 1
) b ON true
WHERE f.seq = 1;
COMMENT ON VIEW kills IS 'Every kill as it stands, read from kill_log';

CREATE VIEW kill_sessions AS
SELECT DISTINCT ON (e.kill_id, s.value ->> 'id') e.kill_id, s.value ->> 'id' AS session_id, s.value ->> 'outcome' AS outcome,
    s.value ->> 'detail' AS detail, s.value -> 'identity' AS identity
FROM kill_log e CROSS JOIN LATERAL (SELECT readable(e.body) -> 'sessions' AS sessions OFFSET 0) b
CROSS JOIN LATERAL json_array_elements(CASE json_typeof(b.sessions) WHEN 'array' THEN b.sessions ELSE '[]' END) AS s (value)
ORDER BY e.kill_id, s.value ->> 'id', e.seq DESC;
COMMENT ON VIEW kill_sessions IS 'The sessions of every kill and what is known of each, read from kill_log';

CREATE VIEW kill_events AS
SELECT kill_id, seq, at, kind, status, gateway, body AS detail FROM kill_log;
COMMENT ON VIEW kill_events IS 'Every change of every kill, read from kill_log';

SELECT make_months(now(), 3);
