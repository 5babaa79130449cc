//! Which sessions meet which criteria.

use time::macros::datetime;

use super::*;
use crate::domain::SessionId;

fn session(id: &str, seconds: Option<u64>) -> LiveSession {
    let text = |text: &str| Some(text.to_owned());
    LiveSession {
        user: text("report"),
        database: text("orders"),
        host: text("db.example.com:40007"),
        command: text("Query"),
        state: text("executing"),
        seconds,
        statement: text("select * from orders"),
        ..LiveSession::new(SessionId(id.to_owned()))
    }
}

fn globs(patterns: &[&str]) -> AnyOf<Glob> {
    AnyOf(patterns.iter().map(|pattern| Glob::parse(pattern).unwrap()).collect())
}

fn pieces(pieces: &[&str]) -> AnyOf<String> {
    AnyOf(pieces.iter().map(|&piece| piece.to_owned()).collect())
}

fn ids<'s>(sessions: &[&'s LiveSession]) -> Vec<&'s str> {
    sessions.iter().map(|session| session.id.as_str()).collect()
}

fn meets(wanted: Criteria, session: &LiveSession) -> bool {
    !Match::from(wanted).pick(std::slice::from_ref(session), true).is_empty()
}

#[test]
fn every_criterion_given_must_hold() {
    let all = Criteria {
        user: Some(globs(&["report"])),
        database: Some(globs(&["orders"])),
        host: Some(globs(&["DB.example.com"])),
        command: Some(globs(&["query"])),
        state: Some(globs(&["EXECUTING"])),
        min_seconds: Some(7),
        statement: Some(pieces(&["from orders"])),
        ..Criteria::default()
    };
    let held = session("1", Some(7));
    assert!(meets(all.clone(), &held) && meets(Criteria::default(), &held));
    let but = |change: fn(&mut Criteria)| {
        let mut wanted = all.clone();
        change(&mut wanted);
        meets(wanted, &held)
    };
    assert!(but(|wanted| wanted.host = Some(globs(&["db.example.com:40007"]))));
    assert!(!but(|wanted| wanted.user = Some(globs(&["Report"]))));
    assert!(!but(|wanted| wanted.database = Some(globs(&["order"]))));
    assert!(!but(|wanted| wanted.host = Some(globs(&["example.com"]))));
    assert!(!but(|wanted| wanted.command = Some(globs(&["Sleep"]))));
    assert!(!but(|wanted| wanted.state = Some(globs(&["exec"]))));
    assert!(!but(|wanted| wanted.min_seconds = Some(8)));
    assert!(!but(|wanted| wanted.statement = Some(pieces(&["FROM orders"]))));
    // Patterns and lists: any of them is enough.
    assert!(but(|wanted| wanted.user = Some(globs(&["app", "rep*"]))));
    assert!(!but(|wanted| wanted.user = Some(globs(&["app", "*_ro"]))));
    assert!(but(|wanted| wanted.host = Some(globs(&["*.example.com"]))));
    assert!(but(|wanted| wanted.statement = Some(pieces(&["insert", "from"]))));
}

#[test]
fn whoever_meets_one_of_the_exceptions_is_spared() {
    let sessions = [("1", "app"), ("2", "report"), ("3", "app")];
    let sessions: Vec<_> = sessions
        .into_iter()
        .map(|(id, user)| LiveSession { user: Some(user.to_owned()), ..session(id, Some(id.parse().unwrap())) })
        .collect();
    let but = |except: Criteria| {
        ids(&Match { except: Some(except), ..Match::in_database("orders") }.pick(&sessions, true)).join(" ")
    };
    assert_eq!(but(Criteria { user: Some(globs(&["rep*"])), ..Criteria::default() }), "1 3");
    let either = Criteria { user: Some(globs(&["rep*"])), min_seconds: Some(3), ..Criteria::default() };
    assert_eq!(but(either), "1");
    assert_eq!(but(Criteria { command: Some(globs(&["Sleep"])), ..Criteria::default() }), "1 2 3");
}

#[test]
fn who_may_be_excepted_is_spared() {
    let session = |user: Option<&str>, seconds| LiveSession { user: user.map(str::to_owned), ..session("1", seconds) };
    let met = |except: Criteria, session: &LiveSession, complete| {
        let wanted = Match { except: Some(except), ..Match::in_database("orders") };
        !wanted.pick(std::slice::from_ref(session), complete).is_empty()
    };
    let user = || Criteria { user: Some(globs(&["backup"])), ..Criteria::default() };
    assert!(met(user(), &session(Some("app"), None), true));
    assert!(!met(user(), &session(None, None), true), "nobody knows whose it is");
    assert!(!met(user(), &session(Some("b\u{FFFD}ckup"), None), true), "nor whether it is that user");
    let long = || Criteria { min_seconds: Some(5), ..Criteria::default() };
    assert!(met(long(), &session(None, Some(4)), true) && !met(long(), &session(None, None), true));
    let heads = || Criteria { blocking: Some(true), ..Criteria::default() };
    assert!(met(heads(), &session(None, None), true));
    assert!(!met(heads(), &session(None, None), false), "whoever waits for it may be behind the cut");
}

#[test]
fn who_blocks_others_and_waits_for_nobody_is_the_head_of_a_queue() {
    let waits = |id: &str, on: Option<&str>| LiveSession {
        blocked_by: on.iter().map(|id| SessionId((*id).to_owned())).collect(),
        ..session(id, None)
    };
    let queue = [waits("1", None), waits("2", Some("1")), waits("3", Some("2")), waits("4", None)];
    let heads = Criteria { blocking: Some(true), ..Criteria::default() };
    assert_eq!(ids(&Match::from(heads).pick(&queue, true)), ["1"]);
}

#[test]
fn a_transaction_is_told_by_its_age_and_by_who_sleeps_in_it() {
    let open = |state: &str, seconds| LiveSession {
        state: Some(state.to_owned()),
        transaction_seconds: seconds,
        ..session("1", None)
    };
    let old = Criteria { min_transaction_seconds: Some(60), ..Criteria::default() };
    assert!(meets(old.clone(), &open("active", Some(60))));
    assert!(!meets(old.clone(), &open("active", Some(59))) && !meets(old, &open("active", None)));
    let idle = || Criteria { idle_in_transaction: Some(true), ..Criteria::default() };
    assert!(meets(idle(), &open("Idle in transaction (aborted)", None)));
    assert!(!meets(idle(), &open("idle", Some(5))) && !meets(idle(), &open("active", Some(5))));
}

#[test]
fn what_is_not_known_meets_no_criterion() {
    let unknown = LiveSession::new(SessionId("1".to_owned()));
    let wanted = |name: &str| {
        let text = |of: &str| (of == name).then(|| globs(&["*"]));
        Criteria {
            user: text("user"),
            database: text("database"),
            host: text("host"),
            command: text("command"),
            state: text("state"),
            statement: (name == "statement").then(|| pieces(&[""])),
            min_seconds: (name == "min_seconds").then_some(0),
            min_transaction_seconds: (name == "min_transaction_seconds").then_some(0),
            ..Criteria::default()
        }
    };
    for name in ["user", "database", "host", "command", "state", "statement", "min_seconds", "min_transaction_seconds"]
    {
        assert_eq!((wanted(name).given(), meets(wanted(name), &unknown)), (vec![name], false));
    }
}

#[test]
fn what_fits_everybody_names_nothing() {
    let names = |criteria: Criteria| Match::from(criteria).names_something();
    assert!(names(Criteria { user: Some(globs(&["app"])), ..Criteria::default() }));
    assert!(names(Criteria { statement: Some(pieces(&["select"])), ..Criteria::default() }));
    assert!(!names(Criteria { user: Some(globs(&["app", "*"])), ..Criteria::default() }));
    for text in ["*", "**", "*.*", "*:*", "*.*.*.*:*", "?", "%", "_*", "-", "\\*", "\\\\", "*@*", " * ", "\u{3000}*"] {
        let (all, also) = (Some(globs(&[text])), Some(globs(&["app", text])));
        for of_all in [all, also] {
            assert!(!names(Criteria { user: of_all.clone(), ..Criteria::default() }), "{text}");
            assert!(!names(Criteria { database: of_all.clone(), ..Criteria::default() }), "{text}");
            assert!(!names(Criteria { host: of_all.clone(), ..Criteria::default() }), "{text}");
            assert!(!names(Criteria { command: of_all, ..Criteria::default() }), "{text}");
        }
    }
    for piece in [" ", "%", "(", "*", "--", ";", "=?"] {
        assert!(!names(Criteria { statement: Some(pieces(&[piece])), ..Criteria::default() }), "{piece}");
        assert!(!names(Criteria { statement: Some(pieces(&["select", piece])), ..Criteria::default() }), "{piece}");
    }
    for text in ["10.*", "*:3306", "_a", "\u{7528}*", "*\\**x"] {
        assert!(names(Criteria { host: Some(globs(&[text])), ..Criteria::default() }), "{text}");
    }
    let but = |criteria: Criteria| Match {
        except: Some(criteria),
        ..Criteria { min_seconds: Some(0), ..Criteria::default() }.into()
    };
    assert!(!but(Criteria { user: Some(globs(&["app"])), ..Criteria::default() }).names_something());
    assert!(!names(Criteria { min_seconds: Some(0), state: Some(globs(&["active"])), ..Criteria::default() }));
}

#[test]
fn one_text_is_written_alone_and_several_as_a_list() {
    let written = |wanted: &Match| serde_json::to_string(wanted).unwrap();
    assert_eq!(written(&Match::of_user("a*b")), r#"{"user":"a\\*b"}"#);
    let several = Criteria { user: Some(globs(&["a*", "b"])), statement: Some(pieces(&["x"])), ..Criteria::default() };
    let except = Some(Criteria { min_seconds: Some(5), ..Criteria::default() });
    let several = Match { except, limit: Some(3), ..several.into() };
    assert_eq!(written(&several), r#"{"user":["a*","b"],"statement":"x","except":{"min_seconds":5},"limit":3}"#);
}

#[test]
fn the_limit_takes_the_first_in_order() {
    let sessions = [("1", Some(5)), ("2", None), ("3", Some(9)), ("4", Some(5))].map(|(id, s)| session(id, s));
    let pick = |order, limit| Match { limit, order, ..Match::default() }.pick(&sessions, true);
    assert_eq!(ids(&pick(None, Some(2))), ["1", "2"]);
    assert_eq!(ids(&pick(Some(Ranking::Longest), None)), ["3", "1", "4", "2"]);
    assert_eq!(ids(&pick(Some(Ranking::Longest), Some(1))), ["3"]);
    assert_eq!(ids(&pick(Some(Ranking::Newest), None)), ["1", "4", "3", "2"]);
}

#[test]
fn the_newest_is_the_latest_to_begin_where_that_is_known() {
    let began = |id, started_at, seconds| LiveSession { started_at, ..session(id, Some(seconds)) };
    let sessions = [
        began("1", Some(datetime!(2026-01-02 03:04:05 UTC)), 1),
        began("2", None, 0),
        began("3", Some(datetime!(2026-01-02 03:04:06 UTC)), 9),
    ];
    let newest = Match { order: Some(Ranking::Newest), ..Match::default() };
    assert_eq!(ids(&newest.pick(&sessions, true)), ["3", "1", "2"]);
}
