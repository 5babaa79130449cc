//! A place is guarded under every name that it has.

use actix_web::http::StatusCode;
use killgate::sandbox::{Action, demo as world};
use serde_json::{Value, json};

use super::{ids_of, outcomes, place};
use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of};

/// `orders` is the shard of `orders-shard-1` by its id, for `dba-*` alone and with everything else that guards a place.
fn guarded(more: &str) -> String {
    let (instance, shard) = (world::DCDB_INSTANCE, world::DCDB_SHARD);
    format!(
        "[targets.orders]\nvendor = 'dcdb'\ninstance_id = '{instance}'\nshard_id = '{shard}'\ncallers = ['dba-*']\n\
         [[protect]]\ntarget = 'orders'\nusers = ['app']\n{more}"
    )
}

/// The same shard by other names.
fn names() -> [Value; 4] {
    let name = |members: Value| {
        let mut target = json!({ "vendor": "dcdb", "instance_id": world::DCDB_INSTANCE });
        target.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        target
    };
    [
        name(json!({ "shard_id": world::DCDB_SHARD })),
        name(json!({ "shard_serial_id": world::DCDB_SHARD_SERIAL })),
        name(json!({ "shard_id": world::DCDB_SHARD, "node_id": world::DCDB_NODE })),
        name(json!({ "shard_serial_id": world::DCDB_SHARD_SERIAL, "node_id": world::DCDB_NODE })),
    ]
}

async fn started(more: &str) -> Gateway {
    Gateway::start_with(Engine::Sqlite, Setup { more: guarded(more), ..Setup::default() }).await
}

async fn kill_as(gateway: &Gateway, caller: &str, body: &Value) -> Answer {
    let token = Gateway::token(caller, "sessions:kill sessions:read");
    gateway.client().post("/sessions/kill", &token, &[("Prefer", "wait=30")], body.to_string()).await
}

async fn list_as(gateway: &Gateway, caller: &str, target: &Value) -> Answer {
    let members = target.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish();
    gateway.client().get(&format!("/sessions?{query}"), &Gateway::token(caller, "sessions:read")).await
}

#[tokio::test]
async fn a_list_of_callers_guards_a_shard_under_all_its_names() {
    let gateway = started("").await;
    for name in names() {
        let killed = kill_as(&gateway, "mallory", &kill_of(name.clone(), &[1116])).await;
        assert_eq!((killed.status, killed.code()), (StatusCode::FORBIDDEN, "forbidden"), "{name}: {}", killed.body);
        assert_eq!(gateway.record(killed.kill_id()).await["status"], "refused");
        assert_eq!(list_as(&gateway, "mallory", &name).await.status, StatusCode::FORBIDDEN, "{name}");
    }
    assert!(gateway.clouds.calls().is_empty());
    // Neighbours: the alias that is for everybody, and another shard by a name of the same kind.
    let id = ids_of(&gateway, "orders-shard-1", "report")[0];
    assert_eq!(kill_as(&gateway, "mallory", &kill_of("orders-shard-1", &[id])).await.status, StatusCode::OK);
    let second = json!({ "vendor": "dcdb", "instance_id": world::DCDB_INSTANCE, "shard_id": world::DCDB_SECOND_SHARD });
    let other = kill_as(&gateway, "mallory", &kill_of(second, &[2111])).await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.body);
}

#[tokio::test]
async fn a_protected_session_is_one_under_all_names_of_its_place() {
    let gateway = started("").await;
    let app = ids_of(&gateway, "orders-shard-1", "app");
    let aliased = [json!("orders"), json!("orders-shard-1")];
    for name in names().into_iter().chain(aliased) {
        let killed = kill_as(&gateway, "dba-ann", &kill_of(name.clone(), &app[..1])).await;
        assert_eq!((killed.status, killed.code()), (StatusCode::FORBIDDEN, "forbidden"), "{name}: {}", killed.body);
        if name.is_object() {
            let listed = list_as(&gateway, "dba-ann", &name).await;
            let of_app = listed.body["items"].as_array().unwrap().iter().filter(|item| item["user"] == "app");
            let protected: Vec<_> = of_app.map(|item| &item["protected_by"]).collect();
            assert!(!protected.is_empty() && protected.iter().all(|by| **by == "users: app"), "{name}: {protected:?}");
        }
    }
    assert!(gateway.clouds.calls_for(Action::DcdbKill).is_empty());
    assert!(gateway.clouds.alive(&place("orders-shard-1")).contains(&app[0]));
}

#[tokio::test]
async fn a_place_that_needs_a_confirm_needs_it_under_all_its_names_and_has_one_cap() {
    let gateway = started("[confirm]\ntargets = ['orders']\n[callers]\nsessions_per_target_minute = 1\n").await;
    let report = ids_of(&gateway, "orders-shard-1", "report");
    let mut seen = vec![];
    for (name, id) in names().into_iter().zip([report[0], report[0], report[1], report[1]]) {
        let mut body = kill_of(name.clone(), &[id]);
        let without = kill_as(&gateway, "dba-ann", &body).await;
        assert_eq!(
            (without.code(), &without.body["field"]),
            ("invalid", &json!("confirm")),
            "{name}: {}",
            without.body
        );
        body["dry_run"] = true.into();
        let preview = kill_as(&gateway, "dba-ann", &body).await;
        body.as_object_mut().unwrap().remove("dry_run");
        body["confirm"] = preview.body["confirm"].clone();
        if body["confirm"].is_string() {
            seen.push(kill_as(&gateway, "dba-ann", &body).await.status.as_u16());
        }
    }
    assert_eq!(seen, [200, 429, 429], "one session a minute, whatever the place is called; the second was shown gone");
}

#[tokio::test]
async fn an_instance_is_guarded_whichever_product_reaches_it() {
    let (instance, node) = (world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE);
    let more = format!(
        "[targets.kept]\nvendor = 'taurusdb'\ninstance_id = '{instance}'\nnode_id = '{node}'\ncallers = ['dba-*']\n"
    );
    let gateway = started(&more).await;
    let das = json!({ "vendor": "das", "instance_id": instance, "db_user_id": world::DAS_DB_USER_ID });
    let killed = kill_as(&gateway, "mallory", &kill_of(das, &[1])).await;
    assert_eq!((killed.status, killed.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", killed.body);
    let mut report = kill_of("shop", &[]);
    report["select"]["ids"] = json!([{ "id": ids_of(&gateway, "shop", "report")[0], "user": "report" }]);
    let shop = kill_as(&gateway, "mallory", &report).await;
    assert!(shop.status.is_success() && !outcomes(&shop).is_empty(), "{}", shop.body);
}
