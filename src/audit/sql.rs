//! What both engines take word for word.

/// Claims a key that nobody has, or whose time is over; `$claims` are the rows to insert. A key that is somebody's
/// stays as it is.
macro_rules! claim_key {
    ($claims:literal) => {
        concat!(
            "INSERT INTO idempotency_keys (caller, key, fingerprint, kill_id, created_at, expires_at) ",
            $claims,
            " ON CONFLICT (caller, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
             kill_id = excluded.kill_id, created_at = excluded.created_at, expires_at = excluded.expires_at \
             WHERE idempotency_keys.expires_at <= excluded.created_at"
        )
    };
}
pub(super) use claim_key;

/// Begins to watch a kill, unless it is watched already.
pub(super) const WATCH: &str = "
    INSERT INTO kill_watches (kill_id, gateway, due_at, looks, sightings) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (kill_id) DO NOTHING";

/// Notes what a look found, unless another gateway has noted that look.
pub(super) const NOTE_RETURNED: &str = "
    INSERT INTO kill_returns (kill_id, look, at, returned, list_complete) SELECT $1, $2, $3, $4, $5
    WHERE NOT EXISTS (SELECT 1 FROM kill_returns WHERE kill_id = $1 AND look = $2)";

pub(super) const WATCH_ON: &str =
    "UPDATE kill_watches SET gateway = $2, due_at = $3, looks = $4, sightings = $5 WHERE kill_id = $1";

pub(super) const END_WATCH: &str = "DELETE FROM kill_watches WHERE kill_id = $1";

/// The number of the last block before the first one that was sealed at `$1` or later.
pub(super) const BLOCK_BEFORE: &str =
    "SELECT coalesce(min(number) - 1, (SELECT coalesce(max(number), 0) FROM blocks)) FROM blocks WHERE sealed_at >= $1";

/// Whether a caller's key stands for a kill.
pub(super) const KEY_STANDS: &str =
    "SELECT EXISTS (SELECT 1 FROM idempotency_keys WHERE caller = $1 AND key = $2 AND expires_at > $3)";

/// Which kill a caller's key stands for, and for what request.
pub(super) const FIND_KEY: &str = "SELECT kill_id, fingerprint FROM idempotency_keys WHERE caller = $1 AND key = $2";
