-- Evidence that nobody touched the record: kills that have ended are closed into blocks, each of which names the one before it
-- and is signed with a key that the database does not have. Times are milliseconds since 1970, UTC.

-- What is to be sealed next: kills that have ended; bookkeeping, no history.
CREATE TABLE unsealed (
    entry_id BLOB    NOT NULL PRIMARY KEY CHECK (length(entry_id) = 16),
    -- When it was put here.
    since    INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT, WITHOUT ROWID;

-- Since when a gateway with a key seals, one row; without it nothing waits to be sealed.
CREATE TABLE sealing (
    -- Always 1.
    turn  INTEGER NOT NULL PRIMARY KEY CHECK (turn = 1),
    since INTEGER NOT NULL
) STRICT;

-- Sealed runs of finished kills, each chained to the one before it.
CREATE TABLE blocks (
    -- 1, 2, 3 … without gaps.
    number     INTEGER NOT NULL PRIMARY KEY CHECK (number > 0),
    -- When, by the gateway's clock.
    sealed_at  INTEGER NOT NULL,
    -- The kills in it, 16 bytes each, in the order of their leaves.
    entries    BLOB    NOT NULL CHECK (length(entries) > 0 AND length(entries) % 16 = 0),
    -- The hash of each entry, 32 bytes each.
    leaves     BLOB    NOT NULL CHECK (length(leaves) = 2 * length(entries)),
    -- Entries of this block and all before it.
    total      INTEGER NOT NULL,
    -- Hash of the entries.
    listing    BLOB    NOT NULL CHECK (length(listing) = 32),
    -- The Merkle root over the leaves.
    root       BLOB    NOT NULL CHECK (length(root) = 32),
    -- SHA-256 of the signed text of the block before; zeros for the first.
    previous   BLOB    NOT NULL CHECK (length(previous) = 32),
    -- The Ed25519 key it was signed with.
    public_key BLOB    NOT NULL CHECK (length(public_key) = 32),
    -- The signature over the signed text.
    signature  BLOB    NOT NULL CHECK (length(signature) = 64)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER blocks_are_kept BEFORE DELETE ON blocks
    BEGIN SELECT RAISE(ABORT, 'blocks: what was recorded is never removed (append-only)'); END;
CREATE TRIGGER blocks_stay BEFORE UPDATE ON blocks
    BEGIN SELECT RAISE(ABORT, 'blocks: what was recorded is never changed (append-only)'); END;
CREATE TRIGGER blocks_are_not_replaced BEFORE INSERT ON blocks
    WHEN EXISTS (SELECT 1 FROM blocks WHERE number = NEW.number)
    BEGIN SELECT RAISE(ABORT, 'blocks: what was recorded is never changed (append-only)'); END;
-- Whether a block fits the one before is in its hashes, which only verifying reads.
CREATE TRIGGER blocks_are_in_order BEFORE INSERT ON blocks
    WHEN NEW.number > coalesce((SELECT max(number) FROM blocks), 0) + 1
        OR NEW.total <> coalesce((SELECT total FROM blocks ORDER BY number DESC LIMIT 1), 0) + length(NEW.entries) / 16
    BEGIN SELECT RAISE(ABORT, 'blocks: a block is the next one, and counts the entries of all before it'); END;
