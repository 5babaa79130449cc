//! What the record on Postgres needs now and then, and who looks after what is open.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;

use super::{begin::record, read::among, write::append};
use crate::{
    audit::{
        Open,
        log::{self, Folded},
        reading::NOT_SETTLED,
        timestamp::Timestamp,
    },
    domain::KillId,
};

/// How many months there is room for: this one and the next ones.
const MONTHS: i32 = 3;

pub(in crate::audit) async fn make_months(connection: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query(MAKE_MONTHS).bind(Timestamp(now)).bind(MONTHS).execute(connection).await?;
    Ok(())
}

/// Waiting for those who read the tables would hold up everybody who comes after.
pub(super) const MAKE_MONTHS: &str =
    "SELECT make_months($1, $2) FROM set_config('lock_timeout', '2s', true) AS patience";

pub(in crate::audit) async fn claim(
    connection: &mut PgConnection,
    gateway: &str,
    now: OffsetDateTime,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Open>> {
    let mut tx = connection.begin().await?;
    let taken: Vec<KillId> = sqlx::query_scalar(CLAIM)
        .bind(gateway)
        .bind(Timestamp(now))
        .bind(Timestamp(now + lease))
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
    let found = among(&mut tx, &taken).await?;
    tx.commit().await?;
    Ok(log::readable(found, Folded::open, NOT_SETTLED))
}

const CLAIM: &str = "
    WITH due AS MATERIALIZED (
        SELECT kill_id FROM kill_leases WHERE due_at <= $2 AND NOT ended ORDER BY due_at LIMIT $4
        FOR UPDATE SKIP LOCKED
    )
    UPDATE kill_leases SET gateway = $1, due_at = $3 FROM due WHERE kill_leases.kill_id = due.kill_id
    RETURNING kill_leases.kill_id";

pub(in crate::audit) async fn forget_keys(connection: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<u64> {
    Ok(sqlx::query(FORGET_KEYS).bind(Timestamp(now)).execute(connection).await?.rows_affected())
}

/// Those that somebody is just about to claim or release are left for another time.
const FORGET_KEYS: &str = "
    DELETE FROM idempotency_keys WHERE (caller, key) IN (
        SELECT caller, key FROM idempotency_keys WHERE expires_at <= $1 FOR UPDATE SKIP LOCKED
    )";

/// Does everything that recording and concluding do, with no kill, and commits a row of bookkeeping: so all tables are there
/// with their columns, may be written, are not locked, and a commit is done in time.
pub(in crate::audit) async fn ping(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut tx = connection.begin().await?;
    record(&mut tx, &[]).await?;
    append(&mut tx, &[]).await?;
    sqlx::query(TRY).execute(&mut *tx).await?;
    tx.commit().await
}

/// More than a page: a table that cannot grow any more takes no kills, and may still have room for a small row.
const TRY: &str = "UPDATE serving SET tried_at = clock_timestamp(), room = decode(repeat('00', 8192), 'hex')";
