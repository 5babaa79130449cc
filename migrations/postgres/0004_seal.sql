-- Evidence that nobody touched the record: kills that have ended are closed into blocks, each of which names the one before it
-- and is signed with a key that the database does not have.

-- What is to be sealed next: kills that have ended, and removals. Empty until there is a key.
CREATE TABLE unsealed (
    entry_id uuid        PRIMARY KEY,
    since    timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE unsealed IS 'What is to be sealed next; bookkeeping, no history';
COMMENT ON COLUMN unsealed.entry_id IS 'A kill, or a removal';
COMMENT ON COLUMN unsealed.since IS 'When it was put here, by the database''s clock';

-- Who seals locks the one row of this table, so that nobody else does meanwhile. An advisory lock could be held by
-- anybody who may connect.
CREATE TABLE sealing (
    turn  boolean     PRIMARY KEY DEFAULT true CHECK (turn),
    since timestamptz
);
INSERT INTO sealing DEFAULT VALUES;

COMMENT ON TABLE sealing IS 'One row, locked by the gateway that seals; bookkeeping, no history';
COMMENT ON COLUMN sealing.turn IS 'Always true';
COMMENT ON COLUMN sealing.since IS 'When a gateway with a key began to seal; null before, and then nothing waits to be sealed';

-- From now on what has ended waits to be sealed, and all that was recorded so far does. Whoever indexes meanwhile waits, so
-- that nothing is left out.
CREATE FUNCTION begin_sealing() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    leased uuid[];
BEGIN
    -- Of several at once one begins.
    PERFORM FROM sealing WHERE since IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    leased := array(SELECT kill_id FROM kill_leases);
    INSERT INTO unsealed (entry_id)
    SELECT e.kill_id FROM kill_log e WHERE e.seq = 1
        AND NOT EXISTS (SELECT FROM kill_leases l WHERE l.kill_id = e.kill_id)
    ON CONFLICT DO NOTHING;
    -- What was indexed while that went on, which is little: only now does anybody wait.
    LOCK TABLE ONLY kill_index IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO unsealed (entry_id)
    SELECT id FROM kill_index WHERE id = ANY (leased) OR id >= first_id(now() - interval '1 day')
    ON CONFLICT DO NOTHING;
    UPDATE sealing SET since = clock_timestamp() WHERE since IS NULL;
    INSERT INTO unsealed (entry_id) SELECT id FROM removals ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

-- Adds rows to the index, of those kills only. One that is there stays as it is, and verifying tells of it.
CREATE FUNCTION add_to_index(
    only_these uuid[], ids uuid[], statuses text[], callers text[], on_behalf text[], vendors text[], accounts text[],
    aliases text[], instances text[], users jsonb[], databases jsonb[], outcomes jsonb[], doubts boolean[],
    times timestamptz[], sizes integer[], words text[], marks bigint[],
    of_kills uuid[], sessions text[], session_marks bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO kill_index (id, status, caller, on_behalf_of, vendor, account, alias, instance_id, users, databases,
        outcomes, ever_unknown, requested_at, size, words, recorded_in)
    SELECT g.id, g.status, g.caller, g.on_behalf_of, g.vendor, g.account, g.alias, g.instance,
        ARRAY(SELECT jsonb_array_elements_text(g.users)), ARRAY(SELECT jsonb_array_elements_text(g.databases)),
        ARRAY(SELECT jsonb_array_elements_text(g.outcomes)), g.doubt, g.at, g.size,
        coalesce(string_to_array(g.words, ' '), '{}'), g.mark
    FROM unnest(ids, statuses, callers, on_behalf, vendors, accounts, aliases, instances, users, databases, outcomes, doubts,
        times, sizes, words, marks)
        AS g (id, status, caller, on_behalf_of, vendor, account, alias, instance, users, databases, outcomes, doubt, at, size,
            words, mark)
    WHERE g.id = ANY (only_these) ON CONFLICT DO NOTHING;
    INSERT INTO kill_index_sessions (session_id, kill_id, recorded_in)
    SELECT g.session, g.id, g.mark FROM unnest(of_kills, sessions, session_marks) AS g (id, session, mark)
    WHERE g.id = ANY (only_these) ON CONFLICT DO NOTHING;
END $$;

-- Puts kills that have ended into the index, and lets them wait to be sealed; answers how many. A row is as the gateway has
-- read it from the log; whether it is, `killgate audit verify` tells.
CREATE FUNCTION index_kills(
    ids uuid[], statuses text[], callers text[], on_behalf text[], vendors text[], accounts text[], aliases text[],
    instances text[], users jsonb[], databases jsonb[], outcomes jsonb[], doubts boolean[],
    times timestamptz[], sizes integer[], words text[], marks bigint[],
    of_kills uuid[], sessions text[], session_marks bigint[]
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    indexed uuid[];
BEGIN
    WITH gone AS (DELETE FROM kill_leases l WHERE l.kill_id = ANY (ids) AND l.ended RETURNING l.kill_id)
    SELECT coalesce(array_agg(kill_id), '{}') INTO indexed FROM gone;
    PERFORM add_to_index(indexed, ids, statuses, callers, on_behalf, vendors, accounts, aliases, instances, users, databases,
        outcomes, doubts, times, sizes, words, marks, of_kills, sessions, session_marks);
    INSERT INTO unsealed (entry_id)
    SELECT id FROM unnest(indexed) AS g (id) WHERE EXISTS (SELECT FROM sealing WHERE since IS NOT NULL)
    ON CONFLICT DO NOTHING;
    RETURN cardinality(indexed);
END $$;
REVOKE EXECUTE ON FUNCTION begin_sealing, add_to_index, index_kills FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION begin_sealing() SET search_path = %I, pg_temp', current_schema());
    ALTER FUNCTION begin_sealing() SET lock_timeout = '2s';
    EXECUTE format('ALTER FUNCTION index_kills SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION begin_kills SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION append_to_kills SET search_path = %I, pg_temp', current_schema());
    ALTER FUNCTION begin_kills SET killgate.moves_leases = 'on';
    ALTER FUNCTION append_to_kills SET killgate.moves_leases = 'on';
    EXECUTE format('ALTER FUNCTION entry_is_next() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION make_months(timestamptz, integer) SET search_path = %I, pg_temp', current_schema());
END $$;

CREATE TABLE blocks (
    number     bigint      PRIMARY KEY CHECK (number > 0),
    sealed_at  timestamptz NOT NULL,
    entries    uuid[]      NOT NULL CHECK (cardinality(entries) > 0),
    leaves     bytea       NOT NULL CHECK (octet_length(leaves) = 32 * cardinality(entries)),
    total      bigint      NOT NULL,
    listing    bytea       NOT NULL CHECK (octet_length(listing) = 32),
    root       bytea       NOT NULL CHECK (octet_length(root) = 32),
    previous   bytea       NOT NULL CHECK (octet_length(previous) = 32),
    public_key bytea       NOT NULL CHECK (octet_length(public_key) = 32),
    signature  bytea       NOT NULL CHECK (octet_length(signature) = 64)
);

COMMENT ON TABLE blocks IS 'Sealed runs of finished kills, each chained to the one before it';
COMMENT ON COLUMN blocks.number IS '1, 2, 3 … without gaps';
COMMENT ON COLUMN blocks.sealed_at IS 'When, by the gateway''s clock';
COMMENT ON COLUMN blocks.entries IS 'The kills and removals in it, in the order of their leaves';
COMMENT ON COLUMN blocks.leaves IS 'The hash of each entry, 32 bytes each';
COMMENT ON COLUMN blocks.total IS 'Entries of this block and all before it';
COMMENT ON COLUMN blocks.listing IS 'Hash of the entries';
COMMENT ON COLUMN blocks.root IS 'The Merkle root over the leaves';
COMMENT ON COLUMN blocks.previous IS 'SHA-256 of the signed text of the block before; zeros for the first';
COMMENT ON COLUMN blocks.public_key IS 'The Ed25519 key it was signed with';
COMMENT ON COLUMN blocks.signature IS 'The signature over the signed text';

CREATE TRIGGER is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON blocks
    FOR EACH STATEMENT EXECUTE FUNCTION record_is_kept();

-- A block is the next one. Whether it fits the one before is in its hashes, which only verifying reads.
CREATE FUNCTION block_is_next() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last blocks%ROWTYPE;
BEGIN
    SELECT * INTO last FROM blocks ORDER BY number DESC LIMIT 1;
    IF NEW.number <> coalesce(last.number, 0) + 1
        OR NEW.total <> coalesce(last.total, 0) + cardinality(NEW.entries) THEN
        RAISE EXCEPTION 'blocks: a block is the next one, and counts the entries of all before it'
            USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION block_is_next() SET search_path = %I, pg_temp', current_schema());
END $$;
CREATE TRIGGER is_next BEFORE INSERT ON blocks FOR EACH ROW EXECUTE FUNCTION block_is_next();

-- Removes the kills of one month, whole partitions and nothing else, and leaves a record of it; answers how many kills
-- it had. Only the owner of the partitions can.
CREATE FUNCTION remove_month(of_month date, why text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    starts  timestamp := date_trunc('month', of_month);
    lowest  uuid := first_id(starts AT TIME ZONE 'UTC');
    beyond  uuid := first_id((starts + interval '1 month') AT TIME ZONE 'UTC');
    name    text := to_char(starts, 'YYYY_MM');
    removal removals%ROWTYPE;
BEGIN
    IF starts + interval '1 month' > now() AT TIME ZONE 'UTC' THEN
        RAISE EXCEPTION 'the month % is not over', name USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (SELECT FROM removals WHERE month = starts::date) THEN
        RAISE EXCEPTION 'the month % was removed already', name USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF to_regclass('kill_log_' || name) IS NULL THEN
        RAISE EXCEPTION 'there is no month %', name USING ERRCODE = 'undefined_table';
    END IF;
    removal := (gen_random_uuid(), starts::date, 0, NULL, NULL, date_trunc('milliseconds', clock_timestamp()),
        session_user, why);
    -- Nobody writes into the month from here on, while all others go on; so what takes time is done before the moment in
    -- which everybody waits.
    EXECUTE format('LOCK TABLE %I, %I, %I IN SHARE MODE', 'kill_log_' || name, 'kill_index_' || name,
        'kill_index_sessions_' || name);
    SELECT count(*) INTO removal.kills FROM kill_log WHERE kill_id >= lowest AND kill_id < beyond AND seq = 1;
    SELECT kill_id INTO removal.first_kill FROM kill_log WHERE kill_id >= lowest AND kill_id < beyond
        ORDER BY kill_id LIMIT 1;
    SELECT kill_id INTO removal.last_kill FROM kill_log WHERE kill_id >= lowest AND kill_id < beyond
        ORDER BY kill_id DESC LIMIT 1;
    -- Behind this lock every kill waits, and it waits behind everybody who reads: see lock_timeout below.
    LOCK TABLE ONLY kill_log, ONLY kill_index, ONLY kill_index_sessions IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM kill_leases WHERE kill_id >= lowest AND kill_id < beyond) THEN
        RAISE EXCEPTION 'kills of the month % are still looked after, or not indexed yet', name
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (SELECT FROM unsealed WHERE entry_id >= lowest AND entry_id < beyond) AND EXISTS (SELECT FROM blocks) THEN
        RAISE EXCEPTION 'kills of the month % are still to be sealed', name
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    INSERT INTO removals SELECT removal.*;
    INSERT INTO unsealed (entry_id) SELECT removal.id WHERE EXISTS (SELECT FROM sealing WHERE since IS NOT NULL);
    DELETE FROM unsealed WHERE entry_id >= lowest AND entry_id < beyond;
    DELETE FROM idempotency_keys WHERE kill_id >= lowest AND kill_id < beyond;
    EXECUTE format('DROP TABLE %I, %I, %I', 'kill_index_sessions_' || name, 'kill_index_' || name, 'kill_log_' || name);
    RETURN removal.kills;
END $$;
REVOKE EXECUTE ON FUNCTION remove_month FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION remove_month(date, text) SET search_path = %I, pg_temp', current_schema());
    ALTER FUNCTION remove_month(date, text) SET lock_timeout = '1s';
END $$;
