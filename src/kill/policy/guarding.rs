//! Every name of a guarded place is guarded, whatever there is of vendors, accounts, shards, nodes and letters.

use proptest::prelude::*;

use crate::{
    domain::{Access, Glob, LiveSession, Order, Protection, Selector, SessionId, Target},
    kill::policy::{confirming::Rules, targets::*},
    upstream::find,
};

const INSTANCE: &str = "a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07";

fn named(vendor: &str, account: &str, coordinates: &[(&'static str, String)]) -> Target {
    let coordinates = coordinates.iter().cloned().collect();
    Target { alias: None, vendor: find(vendor).unwrap().name(), account: account.to_owned(), coordinates }
}

fn globs(pattern: &str) -> Vec<Glob> {
    vec![Glob::parse(pattern).unwrap()]
}

/// The alias `guarded`, for `dba-*` alone, where sessions of `repl` are protected.
fn guarding(place: Target) -> Targets {
    let target = Target { alias: Some("guarded".to_owned()), ..place };
    let alias = Alias { target, look: None, callers: Some(globs("dba-*")) };
    let sessions = Protection { users: globs("repl"), ..Protection::default() };
    Targets {
        aliases: [("guarded".to_owned(), alias)].into(),
        access: Access { coordinates: globs("*"), ..Access::default() },
        protected: vec![Protected { alias: Some("guarded".to_owned()), vendor: None, sessions }],
        ..Targets::default()
    }
}

/// Whether each of the guards holds there: callers, rules, confirm.
fn guards(targets: &Targets, target: Target) -> [bool; 4] {
    let order = Order::new(target, Selector::Ids(vec![]));
    let session = LiveSession { user: Some("repl".to_owned()), ..LiveSession::new(SessionId("7".to_owned())) };
    let rules = Rules { targets: globs("guarded"), ..Rules::default() };
    [
        targets.check("mallory", &order).is_err(),
        targets.has_rules(&order.target),
        targets.protection(&order.target, &session).is_some(),
        rules.need(targets, "dba-ann", &order).is_some(),
    ]
}

/// Some letters of the text in upper case.
fn in_some_case(text: &str, upper: u64) -> String {
    let letter = |(at, c): (usize, char)| if (upper >> (at % 64)) & 1 == 1 { c.to_ascii_uppercase() } else { c };
    text.chars().enumerate().map(letter).collect()
}

fn dcdb(by_serial: bool, number: u8, node: Option<u8>, upper: u64, account: &str) -> Target {
    let shard = if by_serial {
        ("shard_serial_id", in_some_case(&format!("set_{number}"), upper))
    } else {
        ("shard_id", in_some_case(&format!("shard-{number}"), upper))
    };
    let node = node.map(|node| ("node_id", format!("node-{node}")));
    let coordinates: Vec<_> =
        [("instance_id", in_some_case("tdsqlshard-1", upper)), shard].into_iter().chain(node).collect();
    named("dcdb", account, &coordinates)
}

proptest! {
    #[test]
    fn every_name_of_a_guarded_shard_is_guarded(
        guarded_by_serial: bool, guarded_node in prop::option::of(0_u8..3),
        by_serial: bool, node in prop::option::of(0_u8..3), upper: u64, account in "t|u",
    ) {
        let targets = guarding(dcdb(guarded_by_serial, 1, guarded_node, 0, "t"));
        prop_assert_eq!(guards(&targets, dcdb(by_serial, 1, node, upper, &account)), [true; 4]);
        // What is surely another shard is not.
        let other = dcdb(guarded_by_serial, 2, node, upper, &account);
        prop_assert_eq!(guards(&targets, other), [false; 4]);
    }

    #[test]
    fn several_shards_are_guarded_as_each_that_they_may_touch(
        by_serial: bool, node in prop::option::of(0_u8..3), upper: u64, account in "t|u", shards in "all|1|1,2|2,3",
    ) {
        let named_together = |shards: &str| {
            let shard = |text: &str| in_some_case(&format!("shard-{text}"), upper);
            let shards = if shards == "all" { "all".to_owned() } else { shards.split(',').map(shard).collect::<Vec<_>>().join(",") };
            named("dcdb", &account, &[("instance_id", in_some_case("tdsqlshard-1", upper)), ("shards", shards)])
        };
        let may_touch = by_serial || shards != "2,3";
        // One shard is guarded, and several are named.
        let one = dcdb(by_serial, 1, node, 0, "t");
        let many = named_together(&shards);
        let [callers, rules, _, confirm] = guards(&guarding(one.clone()), many.clone());
        prop_assert_eq!([callers, rules, confirm], [may_touch; 3], "{:?}", many);
        // Several are guarded, and one is named.
        prop_assert_eq!(guards(&guarding(many), one), [may_touch; 4]);
    }

    #[test]
    fn every_name_of_a_guarded_instance_is_guarded(by_das: bool, handle in "[a-z]{4}", upper: u64, account in "h|i") {
        let instance = |id: &str| ("instance_id", format!("{}in07", in_some_case(&id[..32], upper)));
        let node = |tag: &str| named("taurusdb", &account, &[instance(INSTANCE), ("node_id", format!("n{tag}"))]);
        let das = |id: &str| named("das", &account, &[instance(id), ("db_user_id", handle.clone())]);
        let guarded = if by_das { das(INSTANCE) } else { node("1") };
        let targets = guarding(guarded);
        prop_assert_eq!(guards(&targets, das(INSTANCE)), [true; 4]);
        prop_assert_eq!(guards(&targets, node("1")), [true; 4]);
        prop_assert_eq!(guards(&targets, node("2")), [by_das; 4], "another server, but for who guards all of them");
        prop_assert_eq!(guards(&targets, das("b41cbc5c9bd344b1a60d3b7a1d0b8b4ein07")), [false; 4]);
    }
}

#[test]
fn an_alias_is_judged_by_its_own_callers_and_by_the_rules_of_its_place() {
    let mut targets = guarding(dcdb(false, 1, None, 0, "t"));
    let open = Target { alias: Some("open".to_owned()), ..dcdb(true, 1, None, 0, "t") };
    targets.aliases.insert("open".to_owned(), Alias { target: open.clone(), look: None, callers: None });
    assert_eq!(guards(&targets, open), [false, true, true, true]);
}

#[test]
fn of_several_shards_a_rule_protects_the_sessions_of_its_own() {
    let targets = guarding(dcdb(false, 1, None, 0, "t"));
    let all = named("dcdb", "t", &[("instance_id", "tdsqlshard-1".to_owned()), ("shards", "all".to_owned())]);
    let protects = |id: &str| {
        let session = LiveSession { user: Some("repl".to_owned()), ..LiveSession::new(SessionId(id.to_owned())) };
        targets.protection(&all, &session).is_some()
    };
    assert!(protects("shard-1/7") && protects("SHARD-1/7") && !protects("shard-2/7"));
    // By a name of another kind it may be any of them.
    let targets = guarding(dcdb(true, 1, None, 0, "t"));
    let session = LiveSession { user: Some("repl".to_owned()), ..LiveSession::new(SessionId("shard-2/7".to_owned())) };
    assert!(targets.protection(&all, &session).is_some());
}

#[test]
fn an_alias_of_several_shards_without_callers_of_its_own_is_held_to_those_of_each() {
    let mut targets = guarding(dcdb(false, 1, None, 0, "t"));
    let place = |shards: &str| {
        let coordinates = [("instance_id", "tdsqlshard-1".to_owned()), ("shards", shards.to_owned())];
        Target { alias: Some("many".to_owned()), ..named("dcdb", "t", &coordinates) }
    };
    for (shards, callers, is_refused) in [
        ("all", None, true),
        ("shard-1,shard-2", None, true),
        ("shard-2,shard-3", None, false),
        ("all", Some(globs("mallory")), false),
    ] {
        targets.aliases.insert("many".to_owned(), Alias { target: place(shards), look: None, callers });
        assert_eq!(guards(&targets, place(shards))[0], is_refused, "{shards}");
    }
}

#[test]
fn a_rule_for_a_product_holds_however_its_instances_are_reached() {
    let sessions = Protection { users: globs("app"), ..Protection::default() };
    let rule = Protected { alias: None, vendor: Some("taurusdb".to_owned()), sessions };
    let targets = Targets { protected: vec![rule], ..Targets::default() };
    let das = |id: &str| named("das", "h", &[("instance_id", id.to_owned()), ("db_user_id", "u".to_owned())]);
    assert!(targets.has_rules(&das(INSTANCE)));
    assert!(!targets.has_rules(&das("da304cd5bbb944de828759bc7be3d3fein01")), "no instance of TaurusDB");
    assert!(!targets.has_rules(&dcdb(false, 1, None, 0, "t")));
}
