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

/// Which kill a caller's key stands for at that time, and for what request.
pub(super) const FIND_KEY: &str =
    "SELECT kill_id, fingerprint FROM idempotency_keys WHERE caller = $1 AND key = $2 AND expires_at > $3";

/// The version of the tables, and from which one on they may be served.
pub(super) const VERSIONS: &str =
    "SELECT (SELECT max(version) FROM _sqlx_migrations WHERE success), from_version FROM serving";
