use super::*;
use crate::domain::{Match, SessionId};

#[test]
fn decimal_ids_have_one_canonical_form_and_a_range() {
    let rule = IdRule::Decimal { max: 2_147_483_647 };
    assert_eq!(rule.parse("007").as_deref(), Some("7"));
    assert_eq!(rule.parse("0").as_deref(), Some("0"));
    assert_eq!(rule.parse("2147483647").as_deref(), Some("2147483647"));
    for bad in ["", "-1", "+1", "2147483648", "1e3", " 1", "99999999999999999999999"] {
        assert_eq!(rule.parse(bad), None, "{bad}");
    }
}

#[test]
fn token_ids_keep_to_their_alphabet() {
    assert_eq!(IdRule::Token.parse("a-B_9.:").as_deref(), Some("a-B_9.:"));
    for bad in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
        assert_eq!(IdRule::Token.parse(bad), None, "{bad}");
    }
}

#[test]
fn a_match_needs_exactly_one_criterion_where_the_vendor_takes_one() {
    let kind = SelectorKind::MatchOneOf(&["user", "database"]);
    let criteria = |user: Option<&str>, database: Option<&str>| {
        let [user, database] = [user, database].map(|text| text.map(|text| AnyOf(vec![Glob::parse(text).unwrap()])));
        Selector::Match(Box::new(Criteria { user, database, ..Criteria::default() }.into()))
    };
    assert!(!kind.covers(&criteria(Some("a*"), None)), "the vendor has no patterns");
    assert!(kind.covers(&criteria(Some("a"), None)));
    assert!(kind.covers(&criteria(None, Some("b"))));
    assert!(!kind.covers(&criteria(Some("a"), Some("b"))));
    assert!(!kind.covers(&criteria(None, None)));
    let limited = Match { limit: Some(1), ..Match::of_user("a") };
    assert!(!kind.covers(&Selector::Match(Box::new(limited))), "the vendor would end them all");
    assert!(!kind.covers(&Selector::Intelligent));
}

#[test]
fn replication_the_vendors_accounts_and_what_belongs_to_nobody_are_the_products_own() {
    let own = Own { users: &["rdsAdmin", "sys_*"], commands: Own::MYSQL_COMMANDS, applications: &["*standby*"] };
    let named = |user: &str| LiveSession { user: Some(user.into()), ..LiveSession::new(SessionId("7".into())) };
    let claims = |user: Option<&str>, command: Option<&str>| {
        let (user, command) = (user.map(Into::into), command.map(Into::into));
        own.claims(&LiveSession { user, command, ..LiveSession::new(SessionId("7".into())) })
    };
    assert_eq!(claims(Some("RDSADMIN"), Some("Query")).as_deref(), Some("built in, users: rdsAdmin"));
    assert_eq!(claims(Some("sys_repl"), None).as_deref(), Some("built in, users: sys_*"));
    let replication = claims(Some("repl"), Some("Binlog Dump GTID"));
    assert_eq!(replication.as_deref(), Some("built in, commands: Binlog Dump*"));
    assert_eq!(claims(None, Some("Query")).as_deref(), Some("built in, no user"));
    assert_eq!((claims(Some("app"), Some("Query")), claims(Some("rdsAdmin2"), None)), (None, None));
    let sender = LiveSession { application: Some("WalSender to Standby[walreceiver]".into()), ..named("repl") };
    assert_eq!(own.claims(&sender).as_deref(), Some("built in, applications: *standby*"));
}
