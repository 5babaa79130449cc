//! What is worth looking at, in places of its own: what `killgate demo` and `killgate sandbox` have beside [`super::demo`].

use super::{Action, Behaviour, Clouds, Lie, Place, Session};

/// A GaussDB instance on which a transaction that somebody forgot holds up a queue.
pub const BILLING_INSTANCE: &str = "7b1f0c52d9e84a63b0c6a1f4e2d35897in14";
pub const BILLING_NODE: &str = "1e7d9c3ab5f248608f1d2b4c6a7e9053no14";
pub const BILLING_COMPONENT: &str = "cn_5001";
/// A TaurusDB instance whose clients' pool opens a new session for each that is ended.
pub const CATALOG_INSTANCE: &str = "c90d1e2f3a4b4c5d8e6f708192a3b4c5in07";
pub const CATALOG_NODE: &str = "d01e2f3a4b5c4d6e9f708192a3b4c5d6no07";
/// A TaurusDB instance that does what it is told, and whose answers to kills are lost.
pub const PAYMENTS_INSTANCE: &str = "e12f3a4b5c6d4e7f8091a2b3c4d5e6f7in07";
pub const PAYMENTS_NODE: &str = "f23a4b5c6d7e4f809a1b2c3d4e5f6071no07";

/// Adds the scenes to a world.
pub fn stage(clouds: &Clouds) {
    queue(clouds, &clouds.add_gaussdb(BILLING_INSTANCE, BILLING_NODE, BILLING_COMPONENT));
    pool(clouds, &clouds.add_taurusdb(CATALOG_INSTANCE, CATALOG_NODE));
    clouds.misbehave_at(CATALOG_INSTANCE, Action::TaurusdbKill, Behaviour::Lie(Lie::Reconnects));
    lost(clouds, &clouds.add_taurusdb(PAYMENTS_INSTANCE, PAYMENTS_NODE));
    clouds.misbehave_at(PAYMENTS_INSTANCE, Action::TaurusdbKill, Behaviour::Drop);
}

/// One forgot to commit, a change of the table waits for it, and whoever reads the table waits for the change.
fn queue(clouds: &Clouds, place: &Place) {
    let billing = |id: u64, user: &str| Session::new(id, user).in_database("billing");
    let running = |session: Session, statement: &str, seconds| {
        let running = session.running(statement, seconds);
        Session { state: "active".into(), ..running }
    };
    let forgotten = running(
        billing(30_101, "billing_job").from_host("10.20.7.21:51234"),
        "update invoices set state = 'paid' where period = '2026-11' and customer_id = 884213",
        1_134,
    );
    clouds.put(place, &Session { state: "idle in transaction".into(), ..forgotten });
    let change = "alter table invoices add column settled_at timestamptz";
    clouds.put(place, &running(billing(30_102, "migrator").from_host("10.20.3.5:40412"), change, 642).behind(30_101));
    for (id, seconds) in (30_103..=30_110).zip([640, 615, 580, 433, 301, 120, 48, 9]) {
        let read = format!("select id, total, state from invoices where customer_id = {}", 880_000 + id);
        let session = billing(id, "webshop").from_host(&format!("10.20.8.{}:{}", 10 + id % 5, 42_000 + id % 1000));
        clouds.put(place, &running(session, &read, seconds).behind(30_102));
    }
    for id in 30_111..=30_114 {
        let session = billing(id, "webshop").from_host(&format!("10.20.8.{}:{}", 10 + id % 5, 42_000 + id % 1000));
        clouds.put(place, &Session { command: "Query".into(), ..session.doing("Query", "idle", 4) });
    }
    let report = "select date_trunc('day', paid_at), sum(total) from payments group by 1 order by 1";
    clouds.put(place, &running(billing(30_115, "report").from_host("10.20.9.2:39876"), report, 95));
    clouds.put(place, &billing(30_116, "repl").doing("Binlog Dump", "active", 604_800));
}

fn pool(clouds: &Clouds, place: &Place) {
    for id in 410_201..=410_208 {
        let search = format!("select * from products where lower(description) like '%{}%' order by price", id % 7);
        let session = Session::new(id, "catalog_api").in_database("catalog");
        clouds.put(
            place,
            &session
                .from_host(&format!("10.30.1.{}:{}", id % 4 + 4, 45_000 + id % 1000))
                .running(&search, 60 + id % 90),
        );
    }
    let dump = "Master has sent all binlog to slave; waiting for more updates";
    clouds.put(place, &Session::new(410_190, "repl").in_database("").doing("Binlog Dump", dump, 1_209_600));
}

fn lost(clouds: &Clouds, place: &Place) {
    let statement = "select * from ledger_entries where posted_at > '2026-01-01' for update";
    for (id, seconds) in [(520_031, 2_210), (520_032, 1_904), (520_040, 377)] {
        clouds.put(place, &Session::new(id, "settlement").in_database("payments").running(statement, seconds));
    }
    clouds.put(place, &Session::new(520_055, "app").in_database("payments").doing("Sleep", "", 31));
}
