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
        // A finished kill.
        ("UPDATE kills SET status = 'failed'", "a settled kill never changes"),
        ("UPDATE kills SET completed_at = NULL", "a settled kill never changes"),
        ("UPDATE kills SET upstream_error_message = 'x'", "a settled kill never changes"),
        ("UPDATE kills SET caller = 'somebody else'", "permission denied"),
        ("UPDATE kills SET requested_at = now()", "permission denied"),
        ("UPDATE kills SET recorded_in = 1", "permission denied"),
        ("DELETE FROM kills", "permission denied"),
        ("TRUNCATE kills CASCADE", "permission denied"),
        ("DROP TABLE kills", "must be owner"),
        ("ALTER TABLE kills RENAME TO gone", "must be owner"),
        // Its sessions.
        ("UPDATE kill_sessions SET outcome = 'killed'", "the sessions of a settled kill never change"),
        ("UPDATE kill_sessions SET session_id = '1'", "permission denied"),
        (
            &format!(
                "INSERT INTO kill_sessions (kill_id, session_id, position, outcome) VALUES ('{id}', '1', 9, 'killed')"
            ),
            "the sessions of a settled kill never change",
        ),
        ("DELETE FROM kill_sessions", "permission denied"),
        ("TRUNCATE kill_sessions", "permission denied"),
        // Its events.
        ("UPDATE kill_events SET kind = 'x'", "permission denied"),
        ("DELETE FROM kill_events", "permission denied"),
        ("TRUNCATE kill_events", "permission denied"),
        // Its partitions, one by one.
        (&format!("UPDATE kills_{month} SET status = 'failed'"), "permission denied"),
        (&format!("DELETE FROM kills_{month}"), "permission denied"),
        (&format!("INSERT INTO kill_events_{month} SELECT * FROM kill_events"), "permission denied"),
        (&format!("SELECT * FROM kills_{month}"), "permission denied"),
        (&format!("TRUNCATE kill_sessions_{month}"), "permission denied"),
        (&format!("DROP TABLE kill_events_{month}"), "must be owner"),
        (&format!("ALTER TABLE kills DETACH PARTITION kills_{month}"), "must be owner"),
        // What keeps them.
        ("DROP TRIGGER is_kept ON kills", "must be owner"),
        ("DROP TRIGGER kills_may_only_learn ON kills", "must be owner"),
        ("ALTER TABLE kills DISABLE TRIGGER ALL", "must be owner"),
        (&format!("ALTER TABLE kill_events_{month} DISABLE TRIGGER ALL"), "must be owner"),
        ("SET session_replication_role = 'replica'", "permission denied"),
        ("DROP FUNCTION kill_may_not_change() CASCADE", "must be owner"),
        (
            "CREATE OR REPLACE FUNCTION record_is_kept() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "permission denied",
        ),
        ("CREATE RULE forget AS ON INSERT TO kills DO INSTEAD NOTHING", "must be owner"),
        // Who came back.
        ("UPDATE kill_returns SET returned = 0", "permission denied"),
        ("DELETE FROM kill_returns", "permission denied"),
        ("TRUNCATE kill_returns", "permission denied"),
        ("DROP TRIGGER is_kept ON kill_returns", "must be owner"),
        // What closes a kill, and what waits to be sealed.
        ("UPDATE kills SET closed = false", "permission denied"),
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
        (&format!("ALTER TABLE kills OWNER TO {}", two.role.name), "must be owner"),
        ("CREATE TABLE mine (id integer)", "permission denied"),
        ("DELETE FROM turns", "permission denied"),
        ("UPDATE _sqlx_migrations SET success = false", "permission denied"),
    ] {
        let told = run(&two.url(), sql).await.expect_err(sql);
        assert!(told.contains(says), "{sql}: {told}");
    }
    assert_eq!(gateway.record(done.kill_id()).await, done.body);
}

/// A table of its own that stands in for `kills` must not make the triggers look there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_stands_in_for_another_deceives_no_trigger() {
    let two = TwoRoles::made().await;
    let gateway = two.serve().await;
    let done = gateway.kill(&kill_of("orders-ro", &[2_075_425])).await;
    let deceive = "DO $$ BEGIN
        CREATE TEMPORARY TABLE kills (id uuid, status text);
        UPDATE public.kill_sessions SET outcome = 'failed';
    END $$";
    let told = run(&two.url(), deceive).await.unwrap_err();
    assert!(told.contains("the sessions of a settled kill never change"), "{told}");
    let deceive = "DO $$ BEGIN
        CREATE TEMPORARY TABLE kills (id uuid, status text);
        UPDATE public.kills SET status = 'failed';
    END $$";
    let told = run(&two.url(), deceive).await.unwrap_err();
    assert!(told.contains("kill"), "{told}");
    assert_eq!(gateway.record(done.kill_id()).await, done.body);
}
