//! Recording kills on Postgres: their first entries.

use std::collections::HashSet;

use sqlx::{PgConnection, Postgres, query::QueryScalar};

use super::{
    read::keyed,
    write::{column, has_no_month, make_month},
};
use crate::{
    audit::{
        Begun,
        record::{Claim, FirstEntry},
        sql::claim_key,
        timestamp::Timestamp,
    },
    domain::KillId,
};

/// Records a kill that claims a key, or says whose the key is.
pub(in crate::audit) async fn begin(connection: &mut PgConnection, first: &FirstEntry) -> sqlx::Result<Begun> {
    let Some(claim) = &first.claim else {
        record_all(connection, &[first]).await?;
        return Ok(Begun::New);
    };
    loop {
        match claim_and_record(connection, first, claim).await {
            Ok(true) => return Ok(Begun::New),
            Ok(false) => {}
            Err(error) if has_no_month(&error) => {
                make_month(connection, first.at).await?;
                continue;
            }
            Err(error) => return Err(error),
        }
        // Released between the two statements: try again.
        if let Some((kill, same_request)) = keyed(connection, &claim.caller, &claim.key, first.at).await? {
            return Ok(Begun::Existing { kill: Box::new(kill), same_request });
        }
    }
}

/// Records a kill if its key is nobody's; waits for whoever is claiming the same one.
async fn claim_and_record(connection: &mut PgConnection, first: &FirstEntry, claim: &Claim) -> sqlx::Result<bool> {
    let recorded: Vec<KillId> = entries(CLAIM_AND_RECORD, &[first])
        .bind(first.webhooks.iter().map(String::as_str).collect::<Vec<_>>())
        .bind(vec![first.kill; first.webhooks.len()])
        .bind(&claim.caller)
        .bind(&claim.key.key)
        .bind(claim.key.fingerprint.as_slice())
        .bind(Timestamp(claim.expires_at))
        .fetch_all(connection)
        .await?;
    Ok(!recorded.is_empty())
}

/// Records kills that claim no key, in months that may have to be made first.
pub(super) async fn record_all(connection: &mut PgConnection, firsts: &[&FirstEntry]) -> sqlx::Result<HashSet<KillId>> {
    match record(connection, firsts).await {
        Err(error) if has_no_month(&error) => {
            for first in firsts {
                make_month(connection, first.at).await?;
            }
            record(connection, firsts).await
        }
        recorded => recorded,
    }
}

/// All of them or nothing, in one statement.
pub(super) async fn record(connection: &mut PgConnection, firsts: &[&FirstEntry]) -> sqlx::Result<HashSet<KillId>> {
    let told = || firsts.iter().flat_map(|first| first.webhooks.iter().map(|webhook| (first.kill, webhook.as_str())));
    let recorded: Vec<KillId> = if told().next().is_none() {
        entries(RECORD, firsts).fetch_all(connection).await?
    } else {
        entries(RECORD_AND_TELL, firsts)
            .bind(told().map(|(_, webhook)| webhook).collect::<Vec<_>>())
            .bind(told().map(|(kill, _)| kill).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?
    };
    Ok(recorded.into_iter().collect())
}

type Entries<'q> = QueryScalar<'q, Postgres, KillId, sqlx::postgres::PgArguments>;

/// The statement with the entries as its first eight arguments.
fn entries<'q>(sql: &'static str, firsts: &[&'q FirstEntry]) -> Entries<'q> {
    sqlx::query_scalar(sql)
        .bind(column(firsts, |first| first.kill))
        .bind(column(firsts, |first| Timestamp(first.at)))
        .bind(column(firsts, |first| first.status.as_str()))
        .bind(column(firsts, |first| first.gateway.as_str()))
        .bind(column(firsts, |first| first.ends))
        .bind(column(firsts, |first| Timestamp(first.due)))
        .bind(column(firsts, |first| first.body.as_str()))
        .bind(column(firsts, |first| first.is_marked))
}

/// Calls what records entries.
macro_rules! begin_kills {
    () => {
        "SELECT begin_kills($1, $2, $3, $4, $5, $6, $7, $8)"
    };
}

const RECORD: &str = begin_kills!();

/// The same where webhooks will be told of some of them.
const RECORD_AND_TELL: &str = concat!(
    "WITH told AS (INSERT INTO webhook_deliveries (webhook, kill_id, due_at) \
     SELECT t.webhook, t.kill_id, g.at FROM unnest($9::text[], $10::uuid[]) AS t (webhook, kill_id) \
     JOIN unnest($1::uuid[], $2::timestamptz[]) AS g (id, at) ON g.id = t.kill_id) ",
    begin_kills!()
);

/// The same for one kill, if its key is nobody's.
const CLAIM_AND_RECORD: &str = concat!(
    "WITH claimed AS (",
    claim_key!("VALUES ($11, $12, $13, ($1::uuid[])[1], ($2::timestamptz[])[1], $14)"),
    " RETURNING kill_id), told AS (INSERT INTO webhook_deliveries (webhook, kill_id, due_at) \
     SELECT t.webhook, t.kill_id, ($2::timestamptz[])[1] FROM unnest($9::text[], $10::uuid[]) AS t (webhook, kill_id) \
     WHERE EXISTS (SELECT FROM claimed)) ",
    begin_kills!(),
    " FROM claimed"
);
