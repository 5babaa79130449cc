//! What holds for every product of a cloud, over its simulated cloud: one scenario each, and a line for each product.

pub(super) mod products;

use actix_web::http::StatusCode;
use killgate::sandbox::{Behaviour, Lie};
use serde_json::{Value, json};

use super::{Engine, Gateway, Setup, recorded_as};
use crate::support::{
    gateway::{Answer, kill_of},
    patience::eventually,
};
use products::{ALIAS, Product};

/// Makes a test of every scenario for every product.
macro_rules! each {
    ($($product:ident),+: $scenarios:tt) => { $(each!(@of $product $scenarios);)+ };
    (@of $product:ident { $($scenario:ident),+ $(,)? }) => {
        mod $product {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $scenario() {
                super::$scenario(super::products::$product()).await;
            })+
        }
    };
}

each! {
    tdsql, dasrds, dasrds_of_mysql, dbbrain, alidas, alidas_of_a_cluster: {
        ids_are_looked_at_and_ended,
        a_match_ends_whom_it_meets_and_nobody_else,
        a_preview_sends_nothing_and_its_confirm_ends_what_it_showed,
        what_a_rule_protects_is_not_sent,
        a_lost_answer_is_unknown_and_settled_by_the_list,
        a_call_that_never_arrived_is_unknown_as_long_as_the_session_lives,
        an_answer_that_cannot_be_read_is_unknown_and_not_repeated,
        a_throttled_call_is_made_again,
        who_is_throttled_to_the_end_is_told_so,
        a_denied_kill_is_called_that,
        without_a_list_nothing_is_sent,
        sessions_that_live_on_are_not_called_killed,
        many_sessions_are_listed_and_each_once,
    }
}

pub(super) async fn gateway(product: &Product, more: &str) -> Gateway {
    let more = format!("{}{more}", product.configuration());
    Gateway::start_with(Engine::Sqlite, Setup { more, ..Setup::default() }).await
}

/// Where a call is given up soon, so that what was lost is looked for soon.
async fn impatient(product: &Product) -> Gateway {
    gateway(product, &format!("[vendors.{}]\ntimeout_ms = 1500\n", product.vendor)).await
}

fn by_match(select: &Value) -> Value {
    json!({ "target": ALIAS, "select": { "match": select }, "reason": "INC-4711" })
}

/// The outcome of a session, and what is said of it.
pub(super) fn fate(kill: &Value, id: u64) -> (&str, &str) {
    let sessions = kill["sessions"].as_array().unwrap();
    let id = json!(id.to_string());
    let session = sessions.iter().find(|session| session["id"] == id).unwrap_or_else(|| panic!("{kill}"));
    (session["outcome"].as_str().unwrap(), session["detail"].as_str().unwrap_or_default())
}

fn shown(answer: &Answer) -> Vec<&str> {
    answer.body["sessions"].as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap()).collect()
}

/// The kill once nothing more is learned of it.
pub(super) async fn settled(gateway: &Gateway, answer: &Answer, status: &str) -> Value {
    assert!(answer.status.is_success(), "{}", answer.body);
    recorded_as(gateway, answer.kill_id(), status).await
}

async fn ids_are_looked_at_and_ended(product: Product) {
    let gateway = gateway(&product, "").await;
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report(), product.replication(), 99])).await;
    let kill = settled(&gateway, &answer, "partial").await;
    assert_eq!(fate(&kill, product.report()).0, "killed", "{kill}");
    assert_eq!(fate(&kill, product.replication()).0, "protected", "{kill}");
    assert_eq!(fate(&kill, 99).0, "not_found", "{kill}");
    assert_eq!(kill["sessions"][0]["identity"]["user"], "report", "{kill}");
    let alive = gateway.clouds.alive(&product.place);
    assert!(!alive.contains(&product.report()) && alive.contains(&product.replication()), "{alive:?}");
    let kills = gateway.clouds.calls_for(product.kill);
    assert_eq!((kills.len(), &kills[0].killed), (1, &vec![product.report()]));
}

async fn a_match_ends_whom_it_meets_and_nobody_else(product: Product) {
    let gateway = gateway(&product, "").await;
    let before = gateway.clouds.alive(&product.place);
    let answer = gateway.kill(&by_match(&json!({ "user": "report" }))).await;
    let kill = settled(&gateway, &answer, "succeeded").await;
    assert_eq!(kill["matched"], 3, "{kill}");
    let expected: Vec<u64> = before.into_iter().filter(|id| !product.reports().contains(id)).collect();
    assert_eq!(gateway.clouds.alive(&product.place), expected);
}

async fn a_preview_sends_nothing_and_its_confirm_ends_what_it_showed(product: Product) {
    let gateway = gateway(&product, "").await;
    let mut body = by_match(&json!({ "user": "report" }));
    body["dry_run"] = json!(true);
    let preview = gateway.kill(&body).await;
    assert_eq!((&preview.body["status"], preview.status), (&json!("preview"), StatusCode::OK), "{}", preview.body);
    assert_eq!(shown(&preview), product.reports().map(|id| id.to_string()), "{}", preview.body);
    assert!(gateway.clouds.calls_for(product.kill).is_empty());

    let newcomer = product.first + 90;
    gateway.clouds.put(&product.place, &killgate::sandbox::Session::new(newcomer, "report"));
    let mut body = by_match(&json!({ "user": "report" }));
    body["confirm"] = preview.body["confirm"].clone();
    let answer = gateway.kill(&body).await;
    settled(&gateway, &answer, "succeeded").await;
    let alive = gateway.clouds.alive(&product.place);
    assert!(alive.contains(&newcomer) && product.reports().iter().all(|id| !alive.contains(id)), "{alive:?}");
}

async fn what_a_rule_protects_is_not_sent(product: Product) {
    let rule = format!("[[protect]]\nvendor = '{}'\nusers = ['rep*']\n", product.vendor);
    let gateway = gateway(&product, &rule).await;
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "forbidden"), "{}", answer.body);
    assert_eq!(gateway.record(answer.kill_id()).await["status"], "refused");
    assert!(gateway.clouds.calls_for(product.kill).is_empty());
}

async fn a_lost_answer_is_unknown_and_settled_by_the_list(product: Product) {
    let gateway = impatient(&product).await;
    gateway.clouds.misbehave_times(1, product.kill, Behaviour::Drop);
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{}", answer.body);
    let kill = recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert_eq!(fate(&kill, product.report()).0, "gone", "{kill}");
    assert_eq!(gateway.clouds.calls_for(product.kill).len(), 1, "it is not sent again");
}

async fn a_call_that_never_arrived_is_unknown_as_long_as_the_session_lives(product: Product) {
    let gateway = impatient(&product).await;
    gateway.clouds.misbehave_times(1, product.kill, Behaviour::DropBefore);
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert_eq!(answer.status.as_u16(), 504, "{}", answer.body);
    let before = gateway.clouds.calls_for(product.list).len();
    gateway.clouds.arrived(product.list, before + 2).await;
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!((&kill["status"], fate(&kill, product.report()).0), (&json!("unknown"), "unknown"), "{kill}");
    gateway.clouds.remove(&product.place, product.report());
    recorded_as(&gateway, answer.kill_id(), "succeeded").await;
    assert_eq!(gateway.clouds.calls_for(product.kill).len(), 1, "it is not sent again");
}

async fn an_answer_that_cannot_be_read_is_unknown_and_not_repeated(product: Product) {
    for behaviour in [Behaviour::Garble, Behaviour::Truncate] {
        let gateway = gateway(&product, "").await;
        gateway.clouds.misbehave_times(1, product.kill, behaviour);
        let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (504, "outcome_unknown"), "{}", answer.body);
        assert_eq!(gateway.clouds.calls_for(product.kill).len(), 1);
    }
}

async fn a_throttled_call_is_made_again(product: Product) {
    let gateway = gateway(&product, "").await;
    for action in [product.list, product.kill] {
        gateway.clouds.misbehave_times(1, action, Behaviour::Throttle);
    }
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    settled(&gateway, &answer, "succeeded").await;
    assert_eq!(gateway.clouds.calls_for(product.kill).len(), 2);
}

async fn who_is_throttled_to_the_end_is_told_so(product: Product) {
    let gateway = gateway(&product, &format!("[vendors.{}]\nmax_wait_ms = 1000\n", product.vendor)).await;
    gateway.clouds.misbehave(product.kill, Behaviour::Throttle);
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (429, "upstream_throttled"), "{}", answer.body);
    assert!(answer.header("retry-after").is_some());
    assert!(gateway.clouds.alive(&product.place).contains(&product.report()));
}

async fn a_denied_kill_is_called_that(product: Product) {
    let gateway = gateway(&product, "").await;
    gateway.clouds.misbehave(product.kill, Behaviour::Deny);
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_denied"), "{}", answer.body);
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!((&kill["status"], fate(&kill, product.report()).0), (&json!("failed"), "failed"), "{kill}");
    assert!(kill["upstream"]["error_message"].is_null(), "{kill}");
}

async fn without_a_list_nothing_is_sent(product: Product) {
    let gateway = gateway(&product, "").await;
    gateway.clouds.misbehave(product.list, Behaviour::Deny);
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (502, "upstream_denied"), "{}", answer.body);
    assert!(gateway.clouds.calls_for(product.kill).is_empty());
}

/// Whether the vendor's own word was wrong cannot be told; what it did not say is not made up.
async fn sessions_that_live_on_are_not_called_killed(product: Product) {
    let gateway = gateway(&product, "").await;
    gateway.clouds.misbehave(product.kill, Behaviour::Lie(Lie::KillsButSaysFailed));
    let answer = gateway.kill(&kill_of(ALIAS, &[product.report()])).await;
    let over = async || {
        let kill = gateway.record(answer.kill_id()).await;
        let status = kill["status"].as_str().unwrap().to_owned();
        (!["accepted", "pending", "unknown"].contains(&status.as_str())).then_some(kill)
    };
    let kill = eventually("it is settled", over).await;
    let (outcome, _) = fate(&kill, product.report());
    assert!(["failed", "gone", "killed"].contains(&outcome), "{kill}");
}

async fn many_sessions_are_listed_and_each_once(product: Product) {
    let gateway = gateway(&product, "").await;
    gateway.clouds.put_ids(&product.place, product.first + 1000..product.first + 1345);
    let token = Gateway::token("dba", "sessions:read");
    let listed = gateway.client().get(&format!("/sessions?target={ALIAS}&limit=1000"), &token).await;
    let items = listed.body["items"].as_array().unwrap_or_else(|| panic!("{}", listed.body));
    let mut ids: Vec<&str> = items.iter().map(|item| item["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), &listed.body["complete"]), (gateway.clouds.alive(&product.place).len(), &json!(true)));
}
