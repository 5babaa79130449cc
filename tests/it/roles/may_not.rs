//! What the serving role cannot do, whatever it tries: change or take away what was recorded.

use killgate::domain::KillId;

use super::{TwoRoles, run};
use crate::support::gateway::kill_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_serving_role_cannot_change_what_was_recorded() {
    let two = TwoRoles::made().await;
    let gateway = two.serve().await;
    let done = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!(done.body["status"], "succeeded", "{}", done.body);
    let id: KillId = done.kill_id().parse().unwrap();
    let at = killgate::clock::Clock::system().now();
    let month = format!("{}_{:02}", at.year(), at.month() as u8);

    for (sql, says) in [
        // A finished kill: its entries, one by one and in its partition.
        ("UPDATE kill_log SET status = 'failed'", "permission denied"),
        ("UPDATE kill_log SET body = '{}'", "permission denied"),
        ("UPDATE kill_log SET recorded_in = 1", "permission denied"),
        ("DELETE FROM kill_log", "permission denied"),
        ("TRUNCATE kill_log", "permission denied"),
        ("DROP TABLE kill_log", "must be owner"),
        ("ALTER TABLE kill_log RENAME TO gone", "must be owner"),
        (
            "INSERT INTO kill_log SELECT kill_id, 4, at, 'looked', status, gateway, ends, body FROM kill_log",
            "permission denied",
        ),
        (&format!("UPDATE kill_log_{month} SET status = 'failed'"), "permission denied"),
        (&format!("DELETE FROM kill_log_{month}"), "permission denied"),
        (&format!("INSERT INTO kill_log_{month} SELECT * FROM kill_log"), "permission denied"),
        (&format!("SELECT * FROM kill_log_{month}"), "permission denied"),
        (&format!("TRUNCATE kill_log_{month}"), "permission denied"),
        (&format!("DROP TABLE kill_log_{month}"), "must be owner"),
        (&format!("ALTER TABLE kill_log DETACH PARTITION kill_log_{month}"), "must be owner"),
        // What it is found by.
        ("UPDATE kill_index SET caller = 'somebody else'", "permission denied"),
        ("DELETE FROM kill_index", "permission denied"),
        ("INSERT INTO kill_index SELECT * FROM kill_index", "permission denied"),
        ("DELETE FROM kill_index_sessions", "permission denied"),
        (
            "SELECT add_to_index('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
            "permission denied",
        ),
        // Who holds what.
        ("UPDATE kill_leases SET ended = false", "permission denied"),
        ("UPDATE kill_leases SET seq = 9", "permission denied"),
        ("DELETE FROM kill_leases", "permission denied"),
        ("INSERT INTO kill_leases VALUES (gen_random_uuid(), 1, 'x', true, false, now())", "permission denied"),
        // What keeps them.
        ("DROP TRIGGER is_kept ON kill_log", "must be owner"),
        ("DROP TRIGGER is_next ON kill_log", "must be owner"),
        ("ALTER TABLE kill_log DISABLE TRIGGER ALL", "must be owner"),
        (&format!("ALTER TABLE kill_log_{month} DISABLE TRIGGER ALL"), "must be owner"),
        ("DROP FUNCTION append_to_kills CASCADE", "must be owner"),
        ("SET session_replication_role = 'replica'", "permission denied"),
        (
            "CREATE OR REPLACE FUNCTION record_is_kept() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "permission denied",
        ),
        ("CREATE RULE forget AS ON INSERT TO kill_log DO INSTEAD NOTHING", "must be owner"),
        // Who came back.
        ("UPDATE verifications SET status = 0", "permission denied"),
        ("DELETE FROM verifications", "permission denied"),
        ("UPDATE kill_returns SET returned = 0", "permission denied"),
        ("DELETE FROM kill_returns", "permission denied"),
        ("TRUNCATE kill_returns", "permission denied"),
        ("DROP TRIGGER is_kept ON kill_returns", "must be owner"),
        // What waits to be sealed.
        (&format!("INSERT INTO unsealed (entry_id) VALUES ('{id}')"), "permission denied"),
        ("UPDATE unsealed SET entry_id = gen_random_uuid()", "permission denied"),
        ("UPDATE sealing SET since = NULL", "permission denied"),
        ("UPDATE serving SET from_version = 1", "permission denied"),
        // Blocks and removals.
        ("UPDATE blocks SET total = 1", "permission denied"),
        ("DELETE FROM blocks", "permission denied"),
        ("TRUNCATE blocks", "permission denied"),
        (
            "INSERT INTO removals (id, month, kills, removed_at, removed_by, reason) \
             VALUES (gen_random_uuid(), now(), 0, now(), 'x', 'x')",
            "permission denied",
        ),
        ("DELETE FROM removals", "permission denied"),
        ("SELECT remove_month('2020-01-01', 'x')", "permission denied"),
        // More than it was given.
        (&format!("SELECT let_serve('{}')", two.role.name), "permission denied"),
        (&format!("ALTER TABLE kill_log OWNER TO {}", two.role.name), "must be owner"),
        ("CREATE TABLE mine (id integer)", "permission denied"),
        ("DELETE FROM turns", "permission denied"),
        ("UPDATE _sqlx_migrations SET success = false", "permission denied"),
    ] {
        let told = run(&two.url(), sql).await.expect_err(sql);
        assert!(told.contains(says), "{sql}: {told}");
    }
    assert_eq!(gateway.record(done.kill_id()).await, done.body);
}

/// What was recorded as settled takes no entry, not by the functions either that add entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_kill_takes_no_entry_whoever_calls_what_adds_them() {
    let two = TwoRoles::made().await;
    let gateway = two.serve().await;
    let done = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let id = done.kill_id();
    let add = format!(
        "SELECT 1 / count(*) FROM append_to_kills(ARRAY['{id}'::uuid], ARRAY[now()], ARRAY['looked'], ARRAY['failed'], \
         ARRAY[true], ARRAY[NULL::timestamptz], ARRAY['{{}}'], ARRAY[NULL::text], ARRAY[false])"
    );
    let told = run(&two.url(), &add).await.unwrap_err();
    assert!(told.contains("division by zero"), "nothing was added: {told}");
    let begin = format!(
        "SELECT begin_kills(ARRAY['{id}'::uuid], ARRAY[now()], ARRAY['pending'], ARRAY['x'], ARRAY[false], ARRAY[now()], \
         ARRAY['{{}}'], ARRAY[false])"
    );
    let told = run(&two.url(), &begin).await.unwrap_err();
    assert!(told.contains("duplicate key"), "{told}");
    assert_eq!(gateway.record(id).await, done.body);
}

/// A table of its own that stands in for `kill_leases` must not make the functions look there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_stands_in_for_another_deceives_no_function() {
    let two = TwoRoles::made().await;
    let gateway = two.serve().await;
    let done = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let id = done.kill_id();
    let deceive = format!(
        "DO $$ BEGIN
            CREATE TEMPORARY TABLE kill_leases (kill_id uuid, seq integer, gateway text, pending boolean, ended boolean,
                due_at timestamptz);
            INSERT INTO kill_leases VALUES ('{id}', 3, 'x', true, false, now());
            PERFORM 1 / count(*) FROM public.append_to_kills(ARRAY['{id}'::uuid], ARRAY[now()], ARRAY['looked'],
                ARRAY['failed'], ARRAY[true], ARRAY[NULL::timestamptz], ARRAY['{{}}'], ARRAY[NULL::text], ARRAY[false]);
        END $$"
    );
    let told = run(&two.url(), &deceive).await.unwrap_err();
    assert!(told.contains("division by zero"), "{told}");
    assert_eq!(gateway.record(id).await, done.body);
}
