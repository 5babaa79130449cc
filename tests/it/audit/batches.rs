//! Writes that wait together are committed together, and nobody can tell but by the time it takes.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use killgate::{
    audit::{Attempt, Audit, AuditError, Begun, Filter, Settings},
    domain::{Kill, Outcome, Status},
};
use sqlx::{Connection, PgConnection};

use super::{
    book::{Book, DAY, NOON, answered, attempt, keyed, refused},
    on_both_engines,
};
use crate::support::{
    patience::{eventually, in_time},
    postgres::Cluster,
};

const MANY: u64 = 200;

on_both_engines! {
    many_at_once_are_all_recorded,
    a_kill_that_is_there_already_fails_alone,
    an_outcome_that_is_refused_fails_alone,
    what_was_answered_is_never_taken_back,
    a_settled_kill_among_others_is_told_apart,
    each_mark_is_held_against_its_own_lease,
    of_one_kill_at_once_one_write_follows_the_other,
    keys_are_claimed_among_other_writes,
    two_gateways_that_settle_the_same_kills_do_not_hinder_each_other,
}

/// Attempts of every kind, a second apart.
fn attempts(count: u64) -> Vec<Attempt> {
    (0..count)
        .map(|n| {
            let at = NOON + Duration::from_secs(n);
            let mut preview = attempt(at);
            preview.kill.status = Status::Preview;
            preview.kill.completed_at = Some(at);
            match n % 5 {
                0 => refused(at),
                1 => preview,
                _ => attempt(at),
            }
        })
        .collect()
}

fn open(attempts: &[Attempt]) -> Vec<Kill> {
    attempts.iter().map(|attempt| attempt.kill.clone()).filter(|kill| kill.status.is_open()).collect()
}

fn killed(kill: &Kill) -> Kill {
    answered(kill, &[("1111", Outcome::Killed), ("2222", Outcome::NotFound)])
}

async fn begin_all(book: &Book, attempts: &[Attempt]) {
    let begun = try_join_all(attempts.iter().map(|attempt| book.audit.begin(attempt, DAY))).await.unwrap();
    assert!(begun.iter().all(|begun| *begun == Begun::New));
}

async fn conclude_all(audit: &Audit, kills: &[Kill]) -> Vec<Result<bool, AuditError>> {
    join_all(kills.iter().map(|kill| audit.conclude(kill, NOON, "answered", None))).await
}

async fn many_at_once_are_all_recorded(book: &Book) {
    let attempts = attempts(MANY);
    begin_all(book, &attempts).await;
    for attempt in &attempts {
        assert_eq!(book.found(&attempt.kill).await, attempt.kill);
    }
    let open = open(&attempts);
    let marked = join_all(open.iter().map(|kill| book.audit.mark_sent(kill.id, "here", NOON, NOON))).await;
    assert!(marked.iter().all(|marked| *marked == Ok(true)));
    let done: Vec<Kill> = open.iter().map(killed).collect();
    assert!(conclude_all(&book.audit, &done).await.iter().all(|concluded| *concluded == Ok(true)));
    for kill in &done {
        assert_eq!(book.found(kill).await, *kill);
    }
    let events = book.events().await;
    assert_eq!(events.len(), attempts.len() + 2 * open.len());
    for (kind, count) in [("1 recorded", attempts.len()), ("2 sent", open.len()), ("3 answered", open.len())] {
        assert_eq!(events.iter().filter(|event| event.starts_with(kind)).count(), count, "{kind}");
    }
    assert_eq!(book.texts("SELECT gateway FROM kill_leases WHERE NOT ended").await, []);
}

async fn a_kill_that_is_there_already_fails_alone(book: &Book) {
    let mut attempts = attempts(30);
    book.begin(&attempts[17]).await;
    attempts[17].kill.reason = Some("another one".into());
    let begun = join_all(attempts.iter().map(|attempt| book.audit.begin(attempt, DAY))).await;
    for (n, begun) in begun.iter().enumerate() {
        if n == 17 {
            assert!(matches!(begun, Err(AuditError::Failed { operation: "begin", .. })), "{begun:?}");
        } else {
            assert_eq!(*begun, Ok(Begun::New));
        }
    }
    assert_eq!(book.events().await.len(), 30);
    assert_ne!(book.found(&attempts[17].kill).await.reason, attempts[17].kill.reason);
}

async fn an_outcome_that_is_refused_fails_alone(book: &Book) {
    let attempts: Vec<Attempt> = (0..10).map(|n| attempt(NOON + Duration::from_secs(n))).collect();
    begin_all(book, &attempts).await;
    let kills: Vec<Kill> = attempts.iter().map(|attempt| killed(&attempt.kill)).collect();
    let id = crate::evidence::literal(book, kills[4].id);
    let refuse = if book.is_postgres() {
        format!(
            "DO $do$ BEGIN
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
                CREATE TRIGGER refuse BEFORE INSERT ON kill_log FOR EACH ROW WHEN (NEW.kill_id = {id})
                    EXECUTE FUNCTION refuse();
            END $do$"
        )
    } else {
        format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON kill_log WHEN NEW.kill_id = {id} \
             BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    };
    book.raw(&refuse).await.unwrap();
    for (n, concluded) in conclude_all(&book.audit, &kills).await.iter().enumerate() {
        if n == 4 {
            assert!(matches!(concluded, Err(AuditError::Failed { operation: "append", .. })), "{concluded:?}");
        } else {
            assert_eq!(*concluded, Ok(true));
        }
    }
    assert_eq!(book.found(&kills[4]).await.status, Status::Pending);
    assert_eq!(book.found(&kills[5]).await, kills[5]);
}

async fn what_was_answered_is_never_taken_back(book: &Book) {
    let kill = book.begin(&attempt(NOON)).await;
    let accepted = answered(&kill, &[("1111", Outcome::Accepted)]);
    assert_eq!(book.audit.conclude(&accepted, NOON, "answered", Some(NOON)).await, Ok(true));
    assert_eq!(book.audit.conclude(&kill, NOON, "looked", Some(NOON)).await, Ok(false));
    assert_eq!(book.audit.mark_sent(kill.id, "here", NOON, NOON).await, Ok(false));
    assert_eq!(book.found(&kill).await.status, Status::Accepted);
}

async fn a_settled_kill_among_others_is_told_apart(book: &Book) {
    let attempts: Vec<Attempt> = (0..10).map(|n| attempt(NOON + Duration::from_secs(n))).collect();
    begin_all(book, &attempts[1..]).await;
    let kills: Vec<Kill> = attempts.iter().map(|attempt| killed(&attempt.kill)).collect();
    book.audit.conclude(&kills[7], NOON, "answered", None).await.unwrap();
    let expected: Vec<_> = (0..10).map(|n| Ok(n != 0 && n != 7)).collect();
    assert_eq!(conclude_all(&book.audit, &kills).await, expected, "the first was never recorded");
    assert_eq!(book.events().await.len(), 18);
}

async fn each_mark_is_held_against_its_own_lease(book: &Book) {
    let mut attempts: Vec<Attempt> = (0..10).map(|n| attempt(NOON + Duration::from_secs(n))).collect();
    for attempt in attempts.iter_mut().skip(5) {
        attempt.gateway = "there".into();
    }
    begin_all(book, &attempts).await;
    book.audit.conclude(&killed(&attempts[2].kill), NOON, "answered", None).await.unwrap();
    let mark = |audit: Audit, gateway: &'static str| {
        let ids: Vec<_> = attempts.iter().map(|attempt| attempt.kill.id).collect();
        async move { try_join_all(ids.into_iter().map(|id| audit.mark_sent(id, gateway, NOON, NOON))).await.unwrap() }
    };
    let expected: Vec<bool> = (0..10).map(|n| n < 5 && n != 2).collect();
    assert_eq!(mark(book.audit.clone(), "here").await, expected);
    let expected: Vec<bool> = (0..10).map(|n| n >= 5).collect();
    assert_eq!(mark(book.audit.clone(), "there").await, expected);
}

async fn of_one_kill_at_once_one_write_follows_the_other(book: &Book) {
    let attempt = attempt(NOON);
    let (first, second) = tokio::join!(book.audit.begin(&attempt, DAY), book.audit.begin(&attempt, DAY));
    assert_eq!(first, Ok(Begun::New));
    assert!(matches!(second, Err(AuditError::Failed { .. })), "{second:?}");

    let done = killed(&attempt.kill);
    let accepted = answered(&attempt.kill, &[("1111", Outcome::Killed), ("2222", Outcome::Accepted)]);
    let looked_after = book.audit.conclude(&accepted, NOON, "answered", Some(NOON));
    let twice = [done.clone(), done.clone()];
    let (accepted, rest) = tokio::join!(looked_after, conclude_all(&book.audit, &twice));
    assert_eq!((accepted, rest), (Ok(true), vec![Ok(true), Ok(false)]));
    assert_eq!(book.found(&done).await, done);
    let steps = ["1 recorded pending here", "2 answered accepted here"];
    assert_eq!(book.events().await[..2], steps);
    assert_eq!(book.events().await.len(), 3);
}

async fn keys_are_claimed_among_other_writes(book: &Book) {
    let later = |n: u64| NOON + Duration::from_secs(n);
    let attempts: Vec<Attempt> = (0..40)
        .map(|n| if n % 2 == 0 { keyed(later(n), &format!("key {}", n % 8), 1) } else { attempt(later(n)) })
        .collect();
    let begun = try_join_all(attempts.iter().map(|attempt| book.audit.begin(attempt, DAY))).await.unwrap();
    let new = |keyed: bool| {
        let pairs = attempts.iter().zip(&begun).filter(|(attempt, _)| attempt.key.is_some() == keyed);
        pairs.filter(|(_, begun)| **begun == Begun::New).count()
    };
    assert_eq!((new(false), new(true)), (20, 4), "of each key's five exactly one is new");
    assert_eq!(book.events().await.len(), 24);
}

async fn two_gateways_that_settle_the_same_kills_do_not_hinder_each_other(book: &Book) {
    let (here, there) = (book.another().await, book.another().await);
    for round in 0..10 {
        let later = |n: u64| NOON + Duration::from_secs(60 * round + n);
        let attempts: Vec<Attempt> = (0..60).map(|n| attempt(later(n))).collect();
        begin_all(book, &attempts).await;
        let kills: Vec<Kill> = attempts.iter().map(|attempt| killed(&attempt.kill)).collect();
        let backwards: Vec<Kill> = kills.iter().rev().cloned().collect();
        let marks = join_all(backwards.iter().map(|kill| book.audit.mark_sent(kill.id, "here", NOON, NOON)));
        let (ours, mut theirs, marks) =
            tokio::join!(conclude_all(&here, &kills), conclude_all(&there, &backwards), marks);
        theirs.reverse();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let settled = usize::from(*ours.as_ref().unwrap()) + usize::from(*theirs.as_ref().unwrap());
            assert_eq!(settled, 1, "each is settled by one of the two");
        }
        assert!(marks.iter().all(Result::is_ok), "{marks:?}");
    }
}

#[tokio::test]
async fn writes_that_wait_share_a_transaction() {
    let book = Book::on_postgres().await;
    let attempts: Vec<Attempt> = (0..MANY).map(|n| attempt(NOON + Duration::from_secs(n))).collect();
    let transactions = async |table: &str| -> u64 {
        let sql = format!("SELECT count(DISTINCT xmin::text)::text FROM {table}");
        book.texts(&sql).await[0].as_ref().unwrap().parse().unwrap()
    };
    begin_all(&book, &attempts).await;
    let (a_step, all) = (MANY / 8, async || transactions("kill_log").await);
    assert!(all().await <= a_step, "{}", all().await);
    try_join_all(attempts.iter().map(|attempt| book.audit.mark_sent(attempt.kill.id, "here", NOON, NOON)))
        .await
        .unwrap();
    assert!(all().await <= 2 * a_step, "{}", all().await);
    let done: Vec<Kill> = attempts.iter().map(|attempt| killed(&attempt.kill)).collect();
    conclude_all(&book.audit, &done).await;
    assert!(all().await <= 3 * a_step, "{}", all().await);
}

const LIMIT: Duration = Duration::from_secs(3);

fn settings(url: &str) -> Settings {
    Settings { database_url: Some(url.into()), timeout: LIMIT, max_connections: 2, ..Settings::default() }
}

/// What became of more writes than may wait: each is made or told that it is not, in time.
async fn crowd(audit: &Audit) -> Vec<AuditError> {
    let kill = killed(&attempt(NOON).kill);
    let attempts: Vec<Attempt> = (0..10_200).map(|n| attempt(NOON + Duration::from_millis(n))).collect();
    let (begun, marked, concluded) = in_time(async {
        tokio::join!(
            join_all(attempts.iter().map(|attempt| audit.begin(attempt, DAY))),
            audit.mark_sent(kill.id, "here", NOON, NOON),
            audit.conclude(&kill, NOON, "answered", None),
        )
    })
    .await;
    let begun = begun.into_iter().filter_map(|begun| begun.map(|begun| assert_eq!(begun, Begun::New)).err());
    let errors: Vec<AuditError> = begun.chain(marked.err()).chain(concluded.err()).collect();
    assert!(errors.iter().all(|error| matches!(error, AuditError::Unavailable { .. })), "{errors:?}");
    errors
}

#[tokio::test]
async fn whoever_waits_for_a_database_that_is_away_is_told_in_time() {
    let cluster = Cluster::start();
    let audit = Audit::open(&settings(cluster.url())).await.unwrap();
    cluster.stop();
    let errors = crowd(&audit).await;
    assert!(errors.len() >= 10_200, "{}", errors.len());
    assert!(errors.iter().any(|error| error.to_string().contains("too many writes")));
    cluster.restart();
    let healed = async || audit.begin(&attempt(NOON), DAY).await.ok();
    assert_eq!(eventually("it writes again", healed).await, Begun::New);
    let recorded = audit.page(&Filter::default(), 9).await.unwrap().items;
    assert_eq!(recorded.len(), 1, "what was answered as not recorded is not recorded later");
}

#[tokio::test]
async fn whoever_waits_for_a_silent_connection_is_told_in_time() {
    let cluster = Cluster::start();
    let audit = Audit::open(&settings(cluster.url())).await.unwrap();
    audit.begin(&attempt(NOON), DAY).await.unwrap();
    let mut watcher = PgConnection::connect(cluster.url()).await.unwrap();
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'killgate'";
    for process in sqlx::query_scalar(sql).fetch_all(&mut watcher).await.unwrap() {
        cluster.silence(process);
    }
    // Whoever did not wait for the silent ones may have found another connection.
    assert!(!crowd(&audit).await.is_empty());
    eventually("it writes again", async || audit.begin(&attempt(NOON - DAY), DAY).await.ok()).await;
}
