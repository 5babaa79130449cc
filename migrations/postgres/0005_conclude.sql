-- Sets the mark of kills that are still pending and their gateways', in one call; answers which those are. The leases are
-- locked while the marks are set, so a kill is either taken over or sent, never both.
--
-- Here and below, `lowest` and `highest` are the ids' own: with them only the months between are looked at, and without
-- them every month there is, for each of the ids.
CREATE FUNCTION mark_kills_sent(ids uuid[], gateways text[], times timestamptz[], dues timestamptz[], lowest uuid, highest uuid)
RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    pending uuid[];
BEGIN
    pending := array(SELECT id FROM kills WHERE id = ANY (ids) AND id BETWEEN lowest AND highest
                     AND status = 'pending' ORDER BY id FOR NO KEY UPDATE);
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT g.id, g.gateway, g.at, g.due FROM unnest(ids, gateways, times, dues) AS g (id, gateway, at, due)
        JOIN kill_leases l ON l.kill_id = g.id AND l.gateway = g.gateway
        WHERE g.id = ANY (pending)
        FOR UPDATE OF l
    ), sent AS (
        UPDATE kills k SET sent_at = coalesce(k.sent_at, held.at) FROM held
        WHERE k.id = held.id AND k.id BETWEEN lowest AND highest
    ), lasts AS (
        UPDATE kill_leases l SET due_at = held.due FROM held WHERE l.kill_id = held.id AND l.due_at < held.due
    )
    INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail)
    SELECT held.id, (SELECT coalesce(max(e.seq), 0) + 1 FROM kill_events e
            WHERE e.kill_id = held.id AND e.kill_id BETWEEN lowest AND highest),
        held.at, 'sent', 'pending', held.gateway, '{}'
    FROM held
    RETURNING kill_id;
END $$;

-- What was learned of open kills, in one call and so in one round trip: sessions and events first, for as soon as a kill is
-- settled it takes no more of them. Locks the kills in the order of their ids; answers which of them were open. It runs as
-- its owner, so that it alone closes kills and says what waits to be sealed.
CREATE FUNCTION conclude_kills(
    of_kill uuid[], of_session text[], positions integer[], outcomes text[], session_details text[],
    identities jsonb[],
    ids uuid[], statuses text[], completions timestamptz[], problems jsonb[], http_statuses integer[],
    request_ids text[], task_ids text[], evidence_urls text[], error_codes text[], error_messages text[], ends boolean[],
    due timestamptz[], times timestamptz[], kinds text[], details jsonb[], releases boolean[],
    looks timestamptz[], completes boolean[], verifications timestamptz[], lowest uuid, highest uuid
) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    still_open uuid[];
    changed    jsonb;
BEGIN
    still_open := array(SELECT id FROM kills WHERE id = ANY (ids) AND id BETWEEN lowest AND highest
                        AND status IN ('pending', 'accepted', 'unknown') AND NOT closed
                        ORDER BY id FOR NO KEY UPDATE);
    IF still_open = '{}' THEN
        RETURN;
    END IF;

    -- Sessions that are new or have another outcome than before, by kill.
    WITH written AS (
        INSERT INTO kill_sessions AS k (kill_id, session_id, position, outcome, detail, identity)
        SELECT s.* FROM unnest(of_kill, of_session, positions, outcomes, session_details, identities)
            AS s (kill_id, session_id, position, outcome, detail, identity)
        WHERE s.kill_id = ANY (still_open)
        ON CONFLICT (kill_id, session_id) DO UPDATE SET outcome = excluded.outcome, detail = excluded.detail,
            identity = coalesce(excluded.identity, k.identity)
        WHERE (k.outcome, k.detail, coalesce(excluded.identity, k.identity))
            IS DISTINCT FROM (excluded.outcome, excluded.detail, k.identity)
        RETURNING k.kill_id, k.position, k.session_id, k.outcome, k.detail, k.identity
    ), of_kills AS (
        SELECT kill_id, jsonb_agg(jsonb_strip_nulls(jsonb_build_object('id', session_id, 'outcome', outcome,
            'detail', detail, 'identity', identity)) ORDER BY position) AS sessions
        FROM written GROUP BY kill_id
    )
    SELECT jsonb_object_agg(kill_id, sessions) INTO changed FROM of_kills;

    -- The event before the kill itself, for the same reason.
    INSERT INTO kill_events (kill_id, seq, at, kind, status, gateway, detail)
    SELECT g.id, (SELECT coalesce(max(e.seq), 0) + 1 FROM kill_events e
            WHERE e.kill_id = g.id AND e.kill_id BETWEEN lowest AND highest),
        g.at, g.kind, g.status, (SELECT l.gateway FROM kill_leases l WHERE l.kill_id = g.id),
        g.detail || jsonb_build_object('sessions', coalesce(changed -> g.id::text, '[]'))
    FROM unnest(ids, statuses, times, kinds, details) AS g (id, status, at, kind, detail)
    WHERE g.id = ANY (still_open);

    RETURN QUERY
    WITH given AS (
        SELECT * FROM unnest(ids, statuses, completions, problems, http_statuses, request_ids, task_ids,
            evidence_urls, error_codes,
            error_messages, ends, due, releases, looks, completes, verifications)
        AS g (id, status, completed_at, problem, http_status, request_id, task_id, evidence_url,
            error_code, error_message, ends,
            due_at, releases, looked_at, list_complete, verified_at)
        WHERE g.id = ANY (still_open)
    ), kill AS (
        UPDATE kills k SET status = g.status, completed_at = g.completed_at, problem = g.problem,
            upstream_http_status = g.http_status, upstream_request_id = g.request_id, upstream_task_id = g.task_id,
            upstream_evidence_url = g.evidence_url, upstream_error_code = g.error_code, upstream_error_message = g.error_message,
            looked_at = coalesce(g.looked_at, k.looked_at),
            list_complete = coalesce(g.list_complete, k.list_complete),
            verified_at = coalesce(g.verified_at, k.verified_at), closed = g.ends
        FROM given g WHERE k.id = g.id AND k.id BETWEEN lowest AND highest
        RETURNING k.id, k.gateway, k.caller, k.idempotency_key
    ), ended AS (
        DELETE FROM kill_leases WHERE kill_id IN (SELECT g.id FROM given g WHERE g.ends)
    ), kept AS (
        INSERT INTO kill_leases (kill_id, gateway, due_at)
        SELECT k.id, k.gateway, g.due_at FROM given g JOIN kill k ON k.id = g.id WHERE g.due_at IS NOT NULL
        ON CONFLICT (kill_id) DO UPDATE SET due_at = excluded.due_at
    ), rests AS (
        INSERT INTO unsealed (entry_id) SELECT g.id FROM given g
        WHERE g.ends AND EXISTS (SELECT FROM sealing WHERE since IS NOT NULL)
        ON CONFLICT (entry_id) DO UPDATE SET times = unsealed.times + 1
    ), released AS (
        DELETE FROM idempotency_keys i USING given g, kill k
        WHERE g.releases AND k.id = g.id AND i.caller = k.caller AND i.key = k.idempotency_key AND i.kill_id = k.id
    )
    SELECT id FROM kill;
END $$;
REVOKE EXECUTE ON FUNCTION conclude_kills FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION conclude_kills SET search_path = %I, pg_temp', current_schema());
END $$;
