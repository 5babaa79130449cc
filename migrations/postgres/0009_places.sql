-- Sessions of several shards or nodes in one kill: their ids are unique within one alone, so an entry names it beside the id.

CREATE OR REPLACE VIEW kill_sessions AS
SELECT DISTINCT ON (e.kill_id, s.value ->> 'shard', s.value ->> 'node', s.value ->> 'id') e.kill_id, s.value ->> 'id' AS session_id,
    s.value ->> 'outcome' AS outcome, s.value ->> 'detail' AS detail, s.value -> 'identity' AS identity,
    s.value ->> 'shard' AS shard, s.value ->> 'node' AS node
FROM kill_log e CROSS JOIN LATERAL (SELECT readable(e.body) -> 'sessions' AS sessions OFFSET 0) b
CROSS JOIN LATERAL json_array_elements(CASE json_typeof(b.sessions) WHEN 'array' THEN b.sessions ELSE '[]' END) AS s (value)
ORDER BY e.kill_id, s.value ->> 'shard', s.value ->> 'node', s.value ->> 'id', e.seq DESC;

COMMENT ON COLUMN kill_index_sessions.session_id IS 'The session''s id at the vendor, as text; of one of several shards or nodes there is a row with SHARD/ID or NODE/ID as well';
