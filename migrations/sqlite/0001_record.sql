-- The record: what was asked, what was sent, what became of it. Times are milliseconds since 1970, UTC.

-- One request to end sessions, from the moment it was asked; settled rows never change.
CREATE TABLE kills (
    -- UUIDv7 made at requested_at, so ids sort by time.
    id                     BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    -- Where it stands; pending, accepted and unknown are open, every other word is settled.
    status                 TEXT    NOT NULL CHECK (status IN (
        'pending', 'accepted', 'succeeded', 'partial', 'failed', 'refused', 'rate_limited', 'unknown', 'preview')),
    -- The authenticated subject (JWT sub).
    caller                 TEXT    NOT NULL,
    -- The person behind a bot: the caller where there is an actor, else the caller's word.
    on_behalf_of           TEXT,
    -- Who acted in the caller's name (JWT act.sub).
    actor                  TEXT,
    -- Why, in the caller's words.
    reason                 TEXT,
    -- JSON: alias, vendor, account and coordinates as understood; null if not understood.
    target                 TEXT    CHECK (json_valid(target)),
    -- JSON: which sessions, as asked; null if not understood.
    selector               TEXT    CHECK (json_valid(selector)),
    -- The next four are taken from target, first 200 characters.
    vendor                 TEXT    GENERATED ALWAYS AS (substr(target ->> '$.vendor', 1, 200)) STORED,
    account                TEXT    GENERATED ALWAYS AS (substr(target ->> '$.account', 1, 200)) STORED,
    alias                  TEXT    GENERATED ALWAYS AS (substr(target ->> '$.alias', 1, 200)) STORED,
    instance_id            TEXT    GENERATED ALWAYS AS (substr(target ->> '$.instance_id', 1, 200)) STORED,
    -- What the caller sent, compact JSON text; null if unreadable.
    request                TEXT,
    -- 1 where nothing that changes anything was to be sent.
    dry_run                INTEGER NOT NULL CHECK (dry_run IN (0, 1)),
    -- Where the call came from.
    client_address         TEXT,
    -- The client that acted for the caller (JWT azp or client_id).
    client_id              TEXT,
    -- The token used (JWT jti); never the token itself.
    token_id               TEXT,
    -- The id of the HTTP request, as in the logs.
    request_id             TEXT,
    -- The Idempotency-Key header, as sent.
    idempotency_key        TEXT,
    -- The gateway process that received it.
    gateway                TEXT    NOT NULL,
    -- When it was asked, by the gateway's clock.
    requested_at           INTEGER NOT NULL,
    -- When the sessions were looked at before the kill; null if they were not.
    looked_at              INTEGER,
    -- 1 where that list held all sessions; null if there was none.
    list_complete          INTEGER CHECK (list_complete IN (0, 1)),
    -- From then on bytes may have gone to a vendor; null if surely none did.
    sent_at                INTEGER,
    -- When the status became final.
    completed_at           INTEGER,
    -- When every session had been seen gone on a list, where the kill was settled so.
    verified_at            INTEGER,
    -- HTTP status of the vendor's last answer.
    upstream_http_status   INTEGER,
    -- The id under which the vendor's support finds the call.
    upstream_request_id    TEXT,
    -- The vendor's task, where the operation is asynchronous.
    upstream_task_id       TEXT,
    -- Where the vendor keeps its own account of what it did.
    upstream_evidence_url  TEXT,
    -- The vendor's error code.
    upstream_error_code    TEXT,
    -- The vendor's error text; withheld where it may echo credentials.
    upstream_error_message TEXT,
    -- JSON: why it was not done, as answered to the caller.
    problem                TEXT    CHECK (json_valid(problem)),
    -- 1 where nobody looks after it any more, whatever its status: then nothing of it changes.
    closed                 INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1))
) STRICT;
CREATE INDEX kills_by_caller ON kills (caller, id DESC);
CREATE INDEX kills_by_instance ON kills (instance_id, id DESC) WHERE instance_id IS NOT NULL;
CREATE INDEX kills_by_alias ON kills (alias, id DESC) WHERE alias IS NOT NULL;
CREATE INDEX kills_by_account ON kills (vendor, account, id DESC) WHERE vendor IS NOT NULL;

-- What reasons are found by, as the gateway takes them apart, with spaces between; a row for each kill that has any. To this
-- tokenizer all that is not ASCII is part of a word, so it takes nothing further apart.
CREATE VIRTUAL TABLE kill_reasons USING fts5 (words, content = '', tokenize = 'ascii');

-- The sessions of a kill and what is known of each.
CREATE TABLE kill_sessions (
    -- The kill.
    kill_id    BLOB    NOT NULL REFERENCES kills (id) DEFERRABLE INITIALLY DEFERRED,
    -- The session's id at the vendor, as text.
    session_id TEXT    NOT NULL,
    -- Its place in the answer.
    position   INTEGER NOT NULL,
    -- What happened to it, as far as known.
    outcome    TEXT    NOT NULL CHECK (outcome IN (
        'killed', 'not_found', 'accepted', 'failed', 'protected', 'changed', 'alive', 'unknown')),
    -- Why, where the outcome alone does not say it.
    detail     TEXT,
    -- JSON: whose session it was when it was looked at, to tell it from another of the same id.
    identity   TEXT    CHECK (json_valid(identity)),
    PRIMARY KEY (kill_id, session_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX kill_sessions_by_session ON kill_sessions (session_id, kill_id DESC);

-- Every change of a kill, only ever added to: what was known, and when.
CREATE TABLE kill_events (
    -- The kill.
    kill_id BLOB    NOT NULL REFERENCES kills (id) DEFERRABLE INITIALLY DEFERRED,
    -- 1, 2, 3 … without gaps within a kill.
    seq     INTEGER NOT NULL CHECK (seq > 0),
    -- When, by the gateway's clock.
    at      INTEGER NOT NULL,
    -- recorded, sent, answered, looked, taken_over …
    kind    TEXT    NOT NULL,
    -- The kill's status from then on.
    status  TEXT    NOT NULL,
    -- The gateway that held the kill.
    gateway TEXT,
    -- JSON: what was learned: upstream, problem, and the sessions whose outcome changed.
    detail  TEXT    NOT NULL CHECK (json_valid(detail)),
    PRIMARY KEY (kill_id, seq)
) STRICT, WITHOUT ROWID;

-- Open kills that somebody will look after; bookkeeping, no history.
CREATE TABLE kill_leases (
    -- The kill.
    kill_id BLOB    NOT NULL PRIMARY KEY REFERENCES kills (id) DEFERRABLE INITIALLY DEFERRED,
    -- The gateway process that holds it.
    gateway TEXT    NOT NULL,
    -- From then on any gateway may take it: a deadline, or the next look.
    due_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX kill_leases_by_due ON kill_leases (due_at);

-- Which kill a caller's key stands for, for a while; the key itself stays in kills.
CREATE TABLE idempotency_keys (
    -- The caller; keys of different callers never meet.
    caller      TEXT    NOT NULL,
    -- The Idempotency-Key header.
    key         TEXT    NOT NULL,
    -- SHA-256 of the request, to tell a repetition from a reused key.
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    -- The kill the key stands for.
    kill_id     BLOB    NOT NULL REFERENCES kills (id) DEFERRABLE INITIALLY DEFERRED,
    -- When it was claimed.
    created_at  INTEGER NOT NULL,
    -- From then on it may be claimed anew.
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);

-- What was recorded is never removed. INSERT OR REPLACE removes without a DELETE trigger, hence the two for INSERT.
CREATE TRIGGER kills_are_kept BEFORE DELETE ON kills
    BEGIN SELECT RAISE(ABORT, 'kills: what was recorded is never removed (append-only)'); END;
CREATE TRIGGER kills_are_not_replaced BEFORE INSERT ON kills
    WHEN EXISTS (SELECT 1 FROM kills WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'kills: what was recorded is never changed (append-only)'); END;
-- A row can also be replaced through its number, which is the order of recording: 1, 2, 3 … without gaps.
CREATE TRIGGER kills_are_not_replaced_by_number BEFORE INSERT ON kills
    WHEN EXISTS (SELECT 1 FROM kills WHERE rowid = NEW.rowid)
    BEGIN SELECT RAISE(ABORT, 'kills: what was recorded is never changed (append-only)'); END;
CREATE TRIGGER kills_are_numbered AFTER INSERT ON kills
    WHEN NEW.rowid < 1 OR NEW.rowid > 1 AND NOT EXISTS (SELECT 1 FROM kills WHERE rowid = NEW.rowid - 1)
    BEGIN SELECT RAISE(ABORT, 'kills: a kill is recorded after all others (append-only)'); END;
CREATE TRIGGER kills_keep_their_numbers BEFORE UPDATE ON kills WHEN NEW.rowid IS NOT OLD.rowid
    BEGIN SELECT RAISE(ABORT, 'kills: what was recorded is never changed (append-only)'); END;
CREATE TRIGGER kill_sessions_are_kept BEFORE DELETE ON kill_sessions
    BEGIN SELECT RAISE(ABORT, 'kill_sessions: what was recorded is never removed (append-only)'); END;
CREATE TRIGGER kill_events_are_kept BEFORE DELETE ON kill_events
    BEGIN SELECT RAISE(ABORT, 'kill_events: what was recorded is never removed (append-only)'); END;
CREATE TRIGGER kill_events_stay BEFORE UPDATE ON kill_events
    BEGIN SELECT RAISE(ABORT, 'kill_events: what was recorded is never changed (append-only)'); END;
CREATE TRIGGER kill_events_are_not_replaced BEFORE INSERT ON kill_events
    WHEN EXISTS (SELECT 1 FROM kill_events WHERE kill_id = NEW.kill_id AND seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'kill_events: what was recorded is never changed (append-only)'); END;

-- A settled or closed kill never changes; an open one may only learn.
CREATE TRIGGER kills_are_settled BEFORE UPDATE ON kills
    WHEN OLD.status NOT IN ('pending', 'accepted', 'unknown')
    BEGIN SELECT RAISE(ABORT, 'kills: a settled kill never changes'); END;
CREATE TRIGGER kills_are_closed BEFORE UPDATE ON kills
    WHEN OLD.closed = 1 AND OLD.status IN ('pending', 'accepted', 'unknown')
    BEGIN SELECT RAISE(ABORT, 'kills: a closed kill never changes'); END;
CREATE TRIGGER kills_may_only_learn BEFORE UPDATE OF
    id, caller, on_behalf_of, actor, reason, target, selector, request, dry_run, client_address, client_id, token_id,
    request_id, idempotency_key, gateway, requested_at ON kills
    BEGIN SELECT RAISE(ABORT, 'kills: what was asked never changes'); END;
CREATE TRIGGER kills_are_not_taken_back BEFORE UPDATE ON kills
    WHEN OLD.status IN ('accepted', 'unknown') AND NEW.status = 'pending'
        OR OLD.status IN ('pending', 'accepted', 'unknown') AND OLD.sent_at IS NOT NULL
        AND NEW.sent_at IS NOT OLD.sent_at
    BEGIN SELECT RAISE(ABORT, 'kills: what was sent or answered is never taken back'); END;

-- Sessions, outcomes and events are added while their kill is there and open; events only as the next ones.
CREATE TRIGGER kill_sessions_settled_insert BEFORE INSERT ON kill_sessions
    WHEN NOT EXISTS (SELECT 1 FROM kills WHERE id = NEW.kill_id AND status IN ('pending', 'accepted', 'unknown') AND closed = 0)
    BEGIN SELECT RAISE(ABORT,
        'kill_sessions: a session is of a kill that is there, and the sessions of a settled kill never change, nor those of a closed one'); END;
CREATE TRIGGER kill_events_are_of_open_kills BEFORE INSERT ON kill_events
    WHEN NOT EXISTS (SELECT 1 FROM kill_events WHERE kill_id = NEW.kill_id AND seq = NEW.seq)
        AND NOT EXISTS (SELECT 1 FROM kills WHERE id = NEW.kill_id AND status IN ('pending', 'accepted', 'unknown') AND closed = 0)
    BEGIN SELECT RAISE(ABORT,
        'kill_events: an event is of a kill that is there, and a settled kill has no more of them, nor has a closed one'); END;
CREATE TRIGGER kill_events_are_in_order BEFORE INSERT ON kill_events
    WHEN NEW.seq > 1 AND NOT EXISTS (SELECT 1 FROM kill_events WHERE kill_id = NEW.kill_id AND seq = NEW.seq - 1)
        AND EXISTS (SELECT 1 FROM kills WHERE id = NEW.kill_id AND status IN ('pending', 'accepted', 'unknown') AND closed = 0)
    BEGIN SELECT RAISE(ABORT, 'kill_events: an event is the next one of its kill'); END;
CREATE TRIGGER kill_sessions_settled_update BEFORE UPDATE ON kill_sessions
    WHEN EXISTS (SELECT 1 FROM kills WHERE id = OLD.kill_id
        AND (status NOT IN ('pending', 'accepted', 'unknown') OR closed = 1))
    BEGIN SELECT RAISE(ABORT, 'kill_sessions: the sessions of a settled kill never change, nor those of a closed one'); END;
CREATE TRIGGER kill_sessions_stay BEFORE UPDATE OF kill_id, session_id, position ON kill_sessions
    BEGIN SELECT RAISE(ABORT, 'kill_sessions: which session was meant never changes'); END;

-- Which versions of killgate may serve on these tables; one row.
CREATE TABLE serving (
    -- Always 1.
    turn         INTEGER NOT NULL PRIMARY KEY CHECK (turn = 1),
    -- Who knows no migration with this number or a later one may not serve.
    from_version INTEGER NOT NULL,
    -- When a gateway last tried whether anything can be written.
    tried_at     INTEGER NOT NULL DEFAULT 0,
    -- Zeros, as many as a kill may need: there was room for them then.
    room         BLOB
) STRICT;
INSERT INTO serving (turn, from_version) VALUES (1, 5);
