-- What a role that only serves needs, and nothing else: it adds by calling functions, and it removes bookkeeping.
CREATE FUNCTION let_serve(gateway text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    allowed text;
BEGIN
    FOREACH allowed IN ARRAY ARRAY[
        format('USAGE ON SCHEMA %I', current_schema()),
        'SELECT ON kill_log, kill_index, kill_index_sessions, kills, kill_sessions, kill_events',
        'SELECT, INSERT ON blocks',
        'SELECT, UPDATE (gateway, due_at) ON kill_leases',
        'SELECT, INSERT ON kill_returns',
        'SELECT, INSERT, UPDATE, DELETE ON kill_watches',
        'SELECT ON removals',
        'SELECT, INSERT, UPDATE, DELETE ON idempotency_keys',
        'SELECT, DELETE, UPDATE (since) ON unsealed',
        'SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries',
        'SELECT, INSERT, UPDATE ON turns',
        'SELECT, UPDATE (turn) ON sealing',
        'SELECT, UPDATE (turn, tried_at, room) ON serving',
        'SELECT ON _sqlx_migrations',
        'EXECUTE ON FUNCTION make_months(timestamptz, integer)',
        'EXECUTE ON FUNCTION begin_sealing()',
        'EXECUTE ON FUNCTION begin_kills',
        'EXECUTE ON FUNCTION append_to_kills',
        'EXECUTE ON FUNCTION index_kills'
    ] LOOP
        EXECUTE format('GRANT %s TO %I', allowed, gateway);
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION let_serve FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION let_serve(text) SET search_path = %I, pg_temp', current_schema());
END $$;
