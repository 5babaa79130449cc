//! Makes a history: kills of some months, in the order of their times, by callers some of whom are busier than others.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use killgate::clock::Clock;
use sqlx::{Connection, PgConnection, QueryBuilder};
use time::OffsetDateTime;

/// A month, as far as histories go.
const MONTH: Duration = Duration::from_hours(24 * 365 / 12);
/// Kills of one transaction.
const CHUNK: u64 = 50_000;

/// The busiest caller and the busiest instance, some in the middle, and sessions: one in every thousandth kill, and any.
pub(crate) const CALLERS: u64 = 50;
pub(crate) const INSTANCES: u64 = 400;
pub(crate) const HOT_SESSION: &str = "4242";
pub(crate) const SESSIONS: u64 = 5_000_000;

/// A history on the cluster.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) url: String,
    pub(crate) kills: u64,
    pub(crate) months: u32,
    pub(crate) begins: OffsetDateTime,
}

impl History {
    /// The moment before which that part of the history lies.
    pub(crate) fn at(&self, part: f64) -> OffsetDateTime {
        self.begins + span(self.months).mul_f64(part)
    }
}

fn span(months: u32) -> Duration {
    MONTH * months
}

/// The history of that many kills over so many months; made if it is not there.
pub(crate) async fn history(server: &str, kills: u64, months: u32) -> anyhow::Result<History> {
    let name = format!("history_{kills}_{months}");
    let (cluster, _) = server.rsplit_once('/').context("a URL with a database")?;
    let url = format!("{cluster}/{name}");
    let mut connection = PgConnection::connect(server).await?;
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind(&name)
        .fetch_one(&mut connection)
        .await?;
    if there == 0 {
        run(&mut connection, &format!("CREATE DATABASE {name}")).await?;
    }
    let mut connection = PgConnection::connect(&url).await?;
    let begins: Option<OffsetDateTime> =
        sqlx::query_scalar("SELECT begins FROM history").fetch_optional(&mut connection).await.unwrap_or_default();
    let begins = match begins {
        Some(begins) => begins,
        None => make(&mut connection, &url, kills, months).await?,
    };
    Ok(History { url, kills, months, begins })
}

/// Makes it and remembers where it begins.
async fn make(connection: &mut PgConnection, url: &str, kills: u64, months: u32) -> anyhow::Result<OffsetDateTime> {
    super::open(url, true).await?.close().await;
    let (started, begins) = (Instant::now(), Clock::system().now() - span(months));
    let make_months = "SELECT make_months($1, $2)";
    sqlx::query(make_months).bind(begins).bind(i32::try_from(months)? + 1).execute(&mut *connection).await?;
    let step = span(months).as_secs_f64() / kills as f64;
    for first in (0..kills).step_by(usize::try_from(CHUNK)?) {
        let last = (first + CHUNK).min(kills) - 1;
        let mut tx = connection.begin().await?;
        sqlx::query(CHUNK_OF_KILLS)
            .bind(i64::try_from(first)?)
            .bind(i64::try_from(last)?)
            .bind(begins)
            .bind(step)
            .execute(&mut *tx)
            .await?;
        // Entries are made without the leases that a gateway adds them with.
        let no_triggers = "SET LOCAL session_replication_role = 'replica'";
        for insert in [no_triggers, ENTRIES_OF_CHUNK, KILLS_OF_CHUNK, SESSIONS_OF_CHUNK, "DROP TABLE chunk"] {
            sqlx::query(insert).execute(&mut *tx).await.with_context(|| insert.to_owned())?;
        }
        tx.commit().await?;
        let seconds = started.elapsed().as_secs();
        if (last + 1).is_multiple_of(10 * CHUNK) {
            println!("{} kills made in {seconds} s", last + 1);
        }
    }
    run(connection, "VACUUM ANALYZE").await?;
    run(connection, "CREATE TABLE history (begins timestamptz)").await?;
    sqlx::query("INSERT INTO history VALUES ($1)").bind(begins).execute(&mut *connection).await?;
    println!("a history of {kills} kills in {months} months was made in {} s", started.elapsed().as_secs());
    Ok(begins)
}

async fn run(connection: &mut PgConnection, sql: &str) -> anyhow::Result<()> {
    QueryBuilder::<sqlx::Postgres>::new(sql).build().execute(connection).await?;
    Ok(())
}

/// $1 to $2: numbers of kills; $3: when the history begins; $4: seconds from one to the next.
const CHUNK_OF_KILLS: &str = "
    CREATE TEMPORARY TABLE chunk AS
    SELECT n, at, (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
            || substr(md5(n || 'a'), 1, 3) || '8' || substr(md5(n || 'b'), 1, 15))::uuid AS id,
        floor(50 * pow(r[1], 3))::integer AS caller, floor(400 * pow(r[2], 2))::integer AS instance,
        (ARRAY['succeeded', 'succeeded', 'succeeded', 'succeeded', 'succeeded', 'succeeded', 'succeeded', 'failed',
            'partial', 'refused'])[1 + floor(10 * r[3])::integer] AS status,
        CASE WHEN r[4] < 0.001 THEN '4242' ELSE (100000 + floor(5000000 * r[5]))::bigint::text END AS session,
        1 + floor(3 * r[6])::integer AS sessions,
        'INC-' || n / 7 || ' ' || (ARRAY['runaway report', 'blocks the orders table', 'idle in transaction',
            'nightly job gone wild', 'lock wait of checkout', 'asked by the owner'])[1 + floor(6 * r[7])::integer]
            AS reason
    FROM (
        SELECT n, date_trunc('milliseconds', $3 + make_interval(secs => $4 * n)) AS at,
            ARRAY[random(), random(), random(), random(), random(), random(), random()] AS r
        FROM generate_series($1, $2) AS n
    ) AS numbered";

const SESSIONS_OF_CHUNK: &str = "
    INSERT INTO kill_index_sessions (session_id, kill_id, recorded_in)
    SELECT CASE position WHEN 0 THEN session ELSE (session::bigint + position)::text END, id, 1
    FROM chunk, generate_series(0, sessions - 1) AS position";

const KILLS_OF_CHUNK: &str = "
    INSERT INTO kill_index (id, status, caller, on_behalf_of, vendor, account, alias, instance_id, users,
        databases, outcomes, ever_unknown, requested_at, size, words, recorded_in)
    SELECT id, status, 'caller-' || caller, 'person-' || n % 300 || '@example.com',
        (ARRAY['gaussdb', 'das', 'taurusdb', 'dcdb'])[1 + instance % 4], 'account-' || instance % 4, 'target-' || instance,
        'instance-' || instance, ARRAY['user-' || caller % 50], ARRAY['database-' || instance % 20], ARRAY['killed'], n % 500 = 0,
        at, sessions, string_to_array(lower(replace(reason, '-', ' ')), ' '), 1
    FROM chunk";

const ENTRIES_OF_CHUNK: &str = r#"
    INSERT INTO kill_log (kill_id, seq, at, kind, status, gateway, ends, body, recorded_in)
    SELECT id, seq, at + make_interval(secs => 0.001 * (seq - 1)), (ARRAY['recorded', 'sent', 'answered'])[seq],
        CASE seq WHEN 3 THEN status ELSE 'pending' END, 'gateway-' || n % 3, seq = 3,
        CASE seq WHEN 2 THEN '{}' ELSE jsonb_strip_nulls(jsonb_build_object(
            'asked', CASE seq WHEN 1 THEN jsonb_build_object(
                'caller', 'caller-' || caller, 'on_behalf_of', 'person-' || n % 300 || '@example.com', 'reason', reason,
                'target', jsonb_build_object('alias', 'target-' || instance, 'vendor',
                    (ARRAY['gaussdb', 'das', 'taurusdb', 'dcdb'])[1 + instance % 4], 'account', 'account-' || instance % 4,
                    'instance_id', 'instance-' || instance, 'node_id', 'node-' || instance % 3),
                'select', jsonb_build_object('ids', jsonb_build_array(session)),
                'request', '{"target":"target-' || instance || '","select":{"ids":["' || session || '"]},"reason":"'
                    || reason || '"}',
                'dry_run', false, 'client_address', '192.0.2.' || n % 250, 'client_id', 'console',
                'token_id', md5(n || 'token'), 'request_id', md5(n || 'request')) END,
            'completed_at', CASE seq WHEN 3 THEN (extract(epoch FROM at) * 1000)::bigint + 40 END,
            'problem', CASE WHEN seq = 3 AND status = 'refused'
                THEN '{"code":"forbidden","detail":"not for this caller"}'::jsonb END,
            'upstream', CASE WHEN seq = 3 AND status <> 'refused'
                THEN jsonb_build_object('http_status', 200, 'request_id', md5(n || 'theirs')) END,
            'sessions', (SELECT jsonb_agg(jsonb_build_object(
                    'id', CASE position WHEN 0 THEN session ELSE (session::bigint + position)::text END,
                    'outcome', CASE WHEN seq = 1 THEN 'unknown' WHEN status = 'failed' THEN 'failed'
                        WHEN status = 'refused' THEN 'protected' ELSE 'killed' END))
                FROM generate_series(0, sessions - 1) AS position))) END::json, 1
    FROM chunk, generate_series(1, 3) AS seq"#;
