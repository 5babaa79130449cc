use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::{kill::policy::targets::Reach, upstream::Site};

fn targets() -> Targets {
    let reach = |vendors: &[&'static str]| Reach {
        site: Site::Mainland,
        vendors: vendors.iter().copied().collect(),
        nodes: BTreeSet::new(),
    };
    Targets {
        accounts: [("h".to_owned(), reach(&["gaussdb", "das", "taurusdb"])), ("t".to_owned(), reach(&["dcdb"]))].into(),
        ..Targets::default()
    }
}

/// The fields of every mistake.
fn wrong(change: impl FnOnce(&mut serde_json::Value)) -> Vec<String> {
    ask(change).unwrap_err().errors.into_iter().map(|error| error.field).collect()
}

#[test]
fn every_wrong_coordinate_is_told_at_once() {
    let dcdb = |target: serde_json::Value| wrong(|body| body["target"] = target);
    let told = dcdb(json!({ "vendor": "dcdb", "instance_id": "", "shard_id": "a b", "shard": "1", "db_user_id": "7" }));
    assert_eq!(told, ["target.shard", "target.db_user_id", "target.instance_id", "target.shard_id"]);
    let told = dcdb(json!({ "vendor": "dcdb", "node_id": "" }));
    assert_eq!(told, ["target.instance_id", "target.shard_id", "target.node_id"]);
    let told = dcdb(json!({ "vendor": "dcdb", "instance_id": 7, "shard_id": "a b", "account": "nope" }));
    assert_eq!(told, ["target.instance_id", "target.account", "target.shard_id"]);
    let told = dcdb(json!({ "vendor": "gaussdb", "instance_id": "x", "node_id": "x" }));
    assert_eq!(told, ["target.instance_id", "target.node_id", "target.component_id"]);
}

#[test]
fn ids_are_checked_where_the_target_is_wrong_too() {
    let mixed = json!(["1", "a b", "1", "x\u{0}", 2, ""]);
    let told = wrong(|body| (body["target"]["shard_id"], body["select"]["ids"]) = (json!("a b"), mixed.clone()));
    assert_eq!(
        told,
        ["target.shard_id", "select.ids[1]", "select.ids[2]", "select.ids[3]", "select.ids[5]"],
        "by the rule of its vendor"
    );
    let told = wrong(|body| (body["target"], body["select"]["ids"]) = (json!("nope"), mixed.clone()));
    assert_eq!(told, ["target", "select.ids[2]", "select.ids[3]", "select.ids[5]"], "by what holds for every vendor");
    for (ids, field) in [(json!([]), "select.ids"), (json!((0..1001).collect::<Vec<_>>()), "select.ids")] {
        let told = wrong(|body| (body["target"], body["select"]["ids"]) = (json!("nope"), ids));
        assert_eq!(told, ["target", field]);
    }
    let pinned = json!([{ "id": "1", "started_before": "soon" }]);
    let told = wrong(|body| (body["target"], body["select"]["ids"]) = (json!("nope"), pinned));
    assert_eq!(told, ["target", "select.ids[0].started_before"]);
}

fn ask(change: impl FnOnce(&mut serde_json::Value)) -> Result<Asked, Problem> {
    let mut body = json!({
        "target": { "vendor": "dcdb", "instance_id": "tdsqlshard-1", "shard_id": "shard-1" },
        "select": { "ids": ["1", 2] },
        "reason": "why",
    });
    change(&mut body);
    KillRequest::parse(body.to_string().as_bytes())?.check(&targets())
}

fn refused(change: impl FnOnce(&mut serde_json::Value)) -> (ProblemCode, String) {
    let problem = ask(change).unwrap_err();
    (problem.code, problem.field.unwrap_or_default())
}

#[test]
fn ids_are_taken_as_text_and_as_whole_numbers() {
    let asked = ask(|_| {}).unwrap();
    let ids: Vec<_> = asked.order.selector.ids().iter().map(SessionId::as_str).collect();
    assert_eq!(ids, ["1", "2"]);
    assert!(!asked.dry_run);
}

#[test]
fn what_is_wrong_is_named() {
    use ProblemCode::{Invalid, Malformed};
    let cases: [(&str, serde_json::Value, ProblemCode, &str); 24] = [
        ("/reason", json!(null), Invalid, "reason"),
        ("/reason", json!("a\u{0}b"), Invalid, "reason"),
        ("/reason", json!(7), Malformed, "reason"),
        ("/select", json!({}), Invalid, "select"),
        ("/select", json!({"ids": ["1"], "intelligent": true}), Invalid, "select"),
        ("/select", json!({"ids": []}), Invalid, "select.ids"),
        ("/select", json!({"ids": ["1", "01"]}), Invalid, "select.ids[1]"),
        ("/select", json!({"ids": ["1", "x"]}), Invalid, "select.ids[1]"),
        ("/select", json!({"ids": [1.5]}), Malformed, "select.ids[0]"),
        ("/select", json!({"ids": [-1]}), Invalid, "select.ids[0]"),
        ("/select", json!({"match": {}}), Invalid, "select.match"),
        ("/select", json!({"intelligent": false}), Invalid, "select.intelligent"),
        ("/select", json!({"all": true}), Malformed, "select.all"),
        ("/select", json!([["1"]]), Malformed, "select"),
        ("/select", json!({"match": ["report"]}), Malformed, "select.match"),
        ("/select", json!({"match": {"user": []}}), Invalid, "select.match.user"),
        ("/select", json!({"match": {"user": ["a", 7]}}), Malformed, "select.match.user[1]"),
        ("/select", json!({"match": {"user": ["a", ""]}}), Invalid, "select.match.user[1]"),
        ("/select", json!({"match": {"min_seconds": "five min"}}), Invalid, "select.match.min_seconds"),
        ("/select", json!({"match": {"min_seconds": -1}}), Invalid, "select.match.min_seconds"),
        ("/select", json!({"match": {"user": "a", "except": {}}}), Invalid, "select.match.except"),
        ("/select", json!({"match": {"user": "a", "except": {"limit": 1}}}), Malformed, "select.match.except.limit"),
        ("/select", json!({"match": {"blocking": false}}), Invalid, "select.match.blocking"),
        ("/target", json!({"vendor": "dcdb", "instance_id": 7}), Malformed, "target.instance_id"),
    ];
    for (at, value, code, field) in cases {
        let seen = refused(|body| *body.pointer_mut(at).unwrap() = value.clone());
        assert_eq!(seen, (code, field.to_owned()), "{at} = {value}");
    }
}

#[test]
fn a_selector_the_vendor_lacks_is_refused_with_what_it_has() {
    let problem = ask(|body| body["select"] = json!({"intelligent": true})).unwrap_err();
    assert_eq!(problem.code, ProblemCode::UnsupportedSelector);
    assert_eq!(problem.supported, Some(vec!["ids".to_owned(), "match".to_owned()]));
}

#[test]
fn every_mistake_of_a_request_is_told_at_once() {
    let problem = ask(|body| {
        body["reason"] = json!("");
        body["select"]["ids"] = json!(["1", "x", "1"]);
        body["target"]["shard_id"] = json!("no shard");
        body["on_behalf_of"] = json!("a\nb");
    });
    let fields: Vec<_> = problem.unwrap_err().errors.into_iter().map(|error| error.field).collect();
    assert_eq!(fields, ["reason", "on_behalf_of", "target.shard_id", "select.ids[1]", "select.ids[2]"]);
    let problem = ask(|body| body["select"]["ids"] = json!(["1", "x", "1"])).unwrap_err();
    let told: Vec<_> = problem.errors.iter().map(|error| error.detail.as_str()).collect();
    assert_eq!(
        told,
        ["select.ids[1] must be a whole number from 0 to 9223372036854775807", "select.ids[2] is given twice"]
    );
}

#[test]
fn what_a_vendors_list_does_not_tell_cannot_be_asked_for() {
    let at = |vendor: serde_json::Value| {
        ask(|body| {
            body["target"] = vendor;
            body["select"] = json!({"match": {"user": "app", "except": {"idle_in_transaction": true}}});
        })
    };
    let problem = at(json!({"vendor": "dcdb", "instance_id": "i", "shard_id": "s"})).unwrap_err();
    assert_eq!(problem.code, ProblemCode::UnsupportedSelector);
    assert_eq!(problem.field.as_deref(), Some("select.match.idle_in_transaction"));
    let (instance, node) = ("3d39c18788b54a919bab633874c159dfin14", "52c25e148a4a48c293b66ca95565719cno14");
    let gaussdb = json!({"vendor": "gaussdb", "instance_id": instance, "node_id": node, "component_id": "cn_5001"});
    assert!(at(gaussdb).is_ok());
}

#[test]
fn no_vendor_of_a_cloud_cancels_a_statement() {
    let ended = |how: &str| ask(|body| body["end"] = json!(how));
    assert!(ended("session").is_ok());
    let problem = ended("statement").unwrap_err();
    assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::UnsupportedSelector, Some("end")));
    assert_eq!(ended("all").unwrap_err().code, ProblemCode::Invalid);
}

#[test]
fn text_behind_the_body_and_unknown_members_are_malformed() {
    assert_eq!(KillRequest::parse(b"{} {}").unwrap_err().code, ProblemCode::Malformed);
    let told = |body: &str| KillRequest::parse(body.as_bytes()).unwrap_err().detail;
    assert_eq!(told(""), "the body is empty, and must be an object");
    assert_eq!(told("{\"target\":"), "the body is not JSON: it breaks off at line 1, column 10");
    assert_eq!(told("[]"), "the body must be an object");
    let problem = KillRequest::parse(br#"{"reson":"x"}"#).unwrap().check(&targets()).unwrap_err();
    assert_eq!((problem.code, problem.field.as_deref()), (ProblemCode::Malformed, Some("reson")));
    assert_eq!(problem.detail.split(':').next(), Some("reson is unknown here"));
    let twice = br#"{"reason":"x","reason":"y"}"#;
    let problem = KillRequest::parse(twice).unwrap().check(&targets()).unwrap_err();
    assert_eq!(problem.errors[0].detail, "reason is given twice");
}

#[test]
fn an_order_can_be_read_back_from_its_record() {
    let order = ask(|_| {}).unwrap().order;
    let target = serde_json::to_value(&order.target).unwrap();
    let select = serde_json::to_value(&order.selector).unwrap();
    assert_eq!(recorded_order(&target, &select), Some(order));
}
