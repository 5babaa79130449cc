-- What a role that only serves needs, and nothing else: it adds, it learns, and it removes bookkeeping.
CREATE FUNCTION let_serve(gateway text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    allowed text;
BEGIN
    FOREACH allowed IN ARRAY ARRAY[
        format('USAGE ON SCHEMA %I', current_schema()),
        'SELECT, INSERT ON kills, kill_sessions, kill_events, blocks',
        'UPDATE (status, looked_at, list_complete, sent_at, completed_at, verified_at, problem, upstream_http_status, upstream_request_id, upstream_task_id,
            upstream_evidence_url, upstream_error_code, upstream_error_message) ON kills',
        'UPDATE (outcome, detail, identity) ON kill_sessions',
        'SELECT, INSERT ON kill_returns',
        'SELECT, INSERT, UPDATE, DELETE ON kill_watches',
        'SELECT ON removals',
        'SELECT, INSERT, UPDATE, DELETE ON kill_leases, idempotency_keys',
        'SELECT, UPDATE (times), DELETE ON unsealed',
        'SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries',
        'SELECT, INSERT, UPDATE ON turns',
        'SELECT, UPDATE (turn) ON sealing',
        'SELECT, UPDATE (turn, tried_at, room) ON serving',
        'SELECT ON _sqlx_migrations',
        'EXECUTE ON FUNCTION make_months(timestamptz, integer)',
        'EXECUTE ON FUNCTION begin_sealing()',
        'EXECUTE ON FUNCTION conclude_kills'
    ] LOOP
        EXECUTE format('GRANT %s TO %I', allowed, gateway);
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION let_serve FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION let_serve(text) SET search_path = %I, pg_temp', current_schema());
END $$;
