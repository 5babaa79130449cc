//! Who may name places that have no alias.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of, targets};

/// Only `dba-*` may name places everywhere, and `portal` those of TaurusDB.
const LISTED: &str =
    "[access]\ncoordinates = ['dba-*']\n[[access.grant]]\ncallers = ['portal']\nvendors = ['taurusdb']\n";

async fn gateway(access: &str) -> Gateway {
    Gateway::start_with(Engine::Sqlite, Setup { more: access.to_owned(), ..Setup::default() }).await
}

async fn kill(gateway: &Gateway, caller: &str, body: &Value) -> Answer {
    let token = Gateway::token(caller, "sessions:kill");
    gateway.client().post("/sessions/kill", &token, &[], body.to_string()).await
}

async fn list(gateway: &Gateway, caller: &str, target: &Value) -> Answer {
    let members = target.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish();
    let token = Gateway::token(caller, "sessions:read");
    gateway.client().get(&format!("/sessions?{query}&user=app"), &token).await
}

#[tokio::test]
async fn by_default_nobody_names_a_place_and_everybody_has_the_aliases() {
    // A section with nothing in it stands in place of the one that test gateways have.
    let gateway = gateway("[access]\n").await;
    for (alias, coordinates) in targets() {
        for dry_run in [false, true] {
            let mut body = kill_of(coordinates.clone(), &[1]);
            body["dry_run"] = dry_run.into();
            let answer = kill(&gateway, "dba-ann", &body).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
            assert_eq!(answer.body["field"], "target");
            assert_eq!(gateway.record(answer.kill_id()).await["status"], "refused");
        }
        let answer = list(&gateway, "dba-ann", &coordinates).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
        assert!(gateway.clouds.calls().is_empty(), "{alias}: nothing reaches a vendor");
    }
    let by_alias = kill(&gateway, "dba-ann", &kill_of("orders-ro", &[2_075_425])).await;
    assert_eq!((by_alias.status, &by_alias.body["status"]), (StatusCode::OK, &json!("succeeded")), "{}", by_alias.body);
}

#[tokio::test]
async fn whoever_is_named_names_the_places_that_are_granted() {
    let gateway = gateway(LISTED).await;
    let [_, (_, das), (_, taurusdb), _] = targets();
    for (caller, target, may) in [
        ("dba-ann", &das, true),
        ("dba-ann", &taurusdb, true),
        ("portal", &taurusdb, true),
        ("portal", &das, false),
        ("chatops-bot", &taurusdb, false),
    ] {
        let (killed, listed) =
            (kill(&gateway, caller, &kill_of(target.clone(), &[1])).await, list(&gateway, caller, target).await);
        assert_eq!(killed.code() != "forbidden", may, "{caller}: {}", killed.body);
        assert_eq!(listed.status == StatusCode::OK, may, "{caller}: {}", listed.body);
    }
}

#[tokio::test]
async fn a_caller_is_told_where_it_may_name_places() {
    let gateway = gateway(LISTED).await;
    for (caller, expected) in [
        ("dba-ann", [true, true, true, true]),
        ("portal", [false, false, true, false]),
        ("chatops-bot", [false, false, false, false]),
    ] {
        let answer = gateway.client().get("/vendors", &Gateway::token(caller, "")).await;
        let vendors = answer.body["items"].as_array().unwrap();
        let told = vendors.iter().filter_map(|vendor| vendor["accounts"][0]["by_coordinates"].as_bool());
        assert_eq!(told.collect::<Vec<_>>(), expected, "{caller}");
    }
}
