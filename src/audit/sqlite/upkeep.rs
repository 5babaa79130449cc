//! What the record on SQLite needs now and then, and who looks after what is open.

use std::time::Duration;

use sqlx::{Connection as _, SqliteConnection};
use time::OffsetDateTime;

use super::{
    BEGIN,
    read::{among, find},
};
use crate::{
    audit::{
        Open,
        log::{self, Folded},
        reading::NOT_SETTLED,
        sql::VERSIONS,
        timestamp::Timestamp,
    },
    domain::KillId,
};

/// One file holds all months.
pub(in crate::audit) async fn make_months(_: &mut SqliteConnection, _: OffsetDateTime) -> sqlx::Result<()> {
    Ok(())
}

pub(in crate::audit) async fn claim(
    connection: &mut SqliteConnection,
    gateway: &str,
    now: OffsetDateTime,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Open>> {
    let mut tx = connection.begin_with(BEGIN).await?;
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
    UPDATE kill_leases SET gateway = $1, due_at = $3
    WHERE kill_id IN (SELECT kill_id FROM kill_leases WHERE due_at <= $2 AND NOT ended ORDER BY due_at LIMIT $4)
    RETURNING kill_id";

pub(in crate::audit) async fn forget_keys(connection: &mut SqliteConnection, now: OffsetDateTime) -> sqlx::Result<u64> {
    Ok(sqlx::query(FORGET_KEYS).bind(Timestamp(now)).execute(connection).await?.rows_affected())
}

const FORGET_KEYS: &str = "DELETE FROM idempotency_keys WHERE expires_at <= $1";

/// Looks at the table that a kill is written into and commits a row of bookkeeping, as each kill does.
pub(in crate::audit) async fn ping(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut tx = connection.begin_with(BEGIN).await?;
    find(&mut tx, KillId::nil()).await?;
    sqlx::query(TRY).execute(&mut *tx).await?;
    tx.commit().await
}

/// A disk that has room for a row may have none for a kill, whose request alone may have 64 KiB.
const TRY: &str = "UPDATE serving SET tried_at = CAST(unixepoch('subsec') * 1000 AS INTEGER), room = zeroblob(65536)";

/// The version of the tables, and from which one on they may be served.
pub(in crate::audit) async fn versions(connection: &mut SqliteConnection) -> sqlx::Result<(Option<i64>, i64)> {
    sqlx::query_as(VERSIONS).fetch_one(connection).await
}
