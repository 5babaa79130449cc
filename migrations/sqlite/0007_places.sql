-- Sessions of several shards or nodes in one kill: their ids are unique within one alone, so an entry names it beside the id.
-- The index has such a session by its id, and by SHARD/ID or NODE/ID.

DROP VIEW kill_sessions;
CREATE VIEW kill_sessions AS
SELECT kill_id, value ->> 'id' AS session_id, value ->> 'outcome' AS outcome, value ->> 'detail' AS detail,
    value -> 'identity' AS identity, max(seq) AS seq, value ->> 'shard' AS shard, value ->> 'node' AS node
FROM (
    SELECT e.kill_id, e.seq, CASE s.type WHEN 'object' THEN s.value ELSE '{}' END AS value
    FROM readable_log e, json_each(e.body, '$.sessions') s
    WHERE json_type(e.body, '$.sessions') = 'array'
)
GROUP BY kill_id, value ->> 'shard', value ->> 'node', value ->> 'id';
