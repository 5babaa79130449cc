-- What kills are found by. It is made from the log, in bulk, a moment after a kill has ended, and can be made again from the
-- log at any time: `killgate audit reindex`. Times are milliseconds since 1970, UTC.

-- A row for each kill that has ended.
CREATE TABLE kill_index (
    -- By which its words are found.
    number       INTEGER NOT NULL PRIMARY KEY,
    -- The kill.
    id           BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    -- Where it stands for ever.
    status       TEXT    NOT NULL,
    -- The authenticated subject (JWT sub).
    caller       TEXT    NOT NULL,
    -- The person behind a bot.
    on_behalf_of TEXT,
    -- The next four are taken from its target, first 200 characters.
    vendor       TEXT,
    account      TEXT,
    alias        TEXT,
    instance_id  TEXT,
    -- The database users of its sessions, or of its match where it names none, as a JSON list: each once, in order, first 200
    -- characters.
    users        TEXT    NOT NULL,
    -- Their databases, in the same way.
    databases    TEXT    NOT NULL,
    -- What became of them, each word once.
    outcomes     TEXT    NOT NULL,
    -- Whether its status was unknown at any time.
    ever_unknown INTEGER NOT NULL,
    -- When it was asked, by the gateway's clock.
    requested_at INTEGER NOT NULL,
    -- How much a page holds with it: its sessions, and for each hundred characters of its selector one more.
    size         INTEGER NOT NULL,
    -- What its reason is found by, as the gateway takes it apart, with spaces between.
    words        TEXT    NOT NULL,
    -- The number of its first entry; for readers of several pages only.
    recorded_in  INTEGER NOT NULL
) STRICT;
CREATE INDEX kill_index_by_caller ON kill_index (caller, id DESC);
CREATE INDEX kill_index_by_instance ON kill_index (instance_id, id DESC) WHERE instance_id IS NOT NULL;
CREATE INDEX kill_index_by_alias ON kill_index (alias, id DESC) WHERE alias IS NOT NULL;
CREATE INDEX kill_index_by_person ON kill_index (on_behalf_of, id DESC) WHERE on_behalf_of IS NOT NULL;
-- Few kills were ever unknown, and nobody pays for it with the others. What is in a list has no index here: a file has the
-- kills of one gateway, and to walk a million rows takes a second.
CREATE INDEX kill_index_by_doubt ON kill_index (id DESC) WHERE ever_unknown;
CREATE INDEX kill_index_by_account ON kill_index (vendor, account, id DESC) WHERE vendor IS NOT NULL;

-- The words once more, to be searched. To this tokenizer all that is not ASCII is part of a word, so it takes nothing
-- further apart.
CREATE VIRTUAL TABLE kill_reasons USING fts5 (words, content = 'kill_index', content_rowid = 'number', tokenize = 'ascii');
CREATE TRIGGER kill_index_words_in AFTER INSERT ON kill_index WHEN NEW.words <> ''
    BEGIN INSERT INTO kill_reasons (rowid, words) VALUES (NEW.number, NEW.words); END;
CREATE TRIGGER kill_index_words_out AFTER DELETE ON kill_index WHEN OLD.words <> ''
    BEGIN INSERT INTO kill_reasons (kill_reasons, rowid, words) VALUES ('delete', OLD.number, OLD.words); END;

-- Which session ids occur in which kills that have ended.
CREATE TABLE kill_index_sessions (
    -- The session's id at the vendor, as text.
    session_id  TEXT    NOT NULL,
    -- The kill.
    kill_id     BLOB    NOT NULL,
    -- The number of the kill's first entry; for readers of several pages only.
    recorded_in INTEGER NOT NULL,
    PRIMARY KEY (session_id, kill_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX kill_index_sessions_by_kill ON kill_index_sessions (kill_id);

-- The record as tables, for people with SQL: every kill as it stands, its sessions, and its events. An entry that is not as
-- killgate writes it shows less, and keeps nobody from seeing the others.

-- The log with bodies that can be taken apart: one that is no JSON, or writes what no text can have, says nothing. killgate
-- never writes so.
CREATE VIEW readable_log AS
SELECT kill_id, seq, at, kind, status, gateway, ends,
    CASE WHEN json_valid(body) AND replace(body, '\\', '') NOT GLOB '*\u[dD][89a-fA-F]*' THEN body ELSE '{}' END AS body
FROM kill_log;

CREATE VIEW kills AS
SELECT f.kill_id AS id, l.status,
    f.body ->> '$.asked.caller' AS caller, f.body ->> '$.asked.on_behalf_of' AS on_behalf_of,
    f.body ->> '$.asked.actor' AS actor, f.body ->> '$.asked.reason' AS reason,
    f.body -> '$.asked.target' AS target, f.body -> '$.asked.select' AS selector,
    f.body ->> '$.asked.target.vendor' AS vendor, f.body ->> '$.asked.target.account' AS account,
    f.body ->> '$.asked.target.alias' AS alias, f.body ->> '$.asked.target.instance_id' AS instance_id,
    f.body ->> '$.asked.request' AS request, f.body ->> '$.asked.dry_run' AS dry_run,
    f.body ->> '$.asked.client_address' AS client_address, f.body ->> '$.asked.client_id' AS client_id,
    f.body ->> '$.asked.token_id' AS token_id, f.body ->> '$.asked.request_id' AS request_id,
    f.body ->> '$.asked.idempotency_key' AS idempotency_key, f.body ->> '$.asked.confirms' AS confirms,
    f.gateway, f.at AS requested_at,
    (SELECT s.at FROM kill_log s WHERE s.kill_id = f.kill_id AND s.kind = 'sent' ORDER BY s.seq LIMIT 1) AS sent_at,
    b.body ->> '$.completed_at' AS completed_at, b.body ->> '$.verified_at' AS verified_at,
    b.body -> '$.upstream' AS upstream, b.body -> '$.problem' AS problem, l.ends AS closed
FROM readable_log f JOIN kill_log l ON l.kill_id = f.kill_id JOIN readable_log b ON b.kill_id = f.kill_id
WHERE f.seq = 1 AND l.seq = (SELECT max(e.seq) FROM kill_log e WHERE e.kill_id = f.kill_id)
    AND b.seq = (SELECT max(e.seq) FROM kill_log e WHERE e.kill_id = f.kill_id AND e.kind <> 'sent');

CREATE VIEW kill_sessions AS
SELECT kill_id, value ->> 'id' AS session_id, value ->> 'outcome' AS outcome, value ->> 'detail' AS detail,
    value -> 'identity' AS identity, max(seq) AS seq
FROM (
    SELECT e.kill_id, e.seq, CASE s.type WHEN 'object' THEN s.value ELSE '{}' END AS value
    FROM readable_log e, json_each(e.body, '$.sessions') s
    WHERE json_type(e.body, '$.sessions') = 'array'
)
GROUP BY kill_id, value ->> 'id';

CREATE VIEW kill_events AS
SELECT kill_id, seq, at, kind, status, gateway, body AS detail FROM kill_log;
