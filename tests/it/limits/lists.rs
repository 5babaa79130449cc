//! Lists and previews have a limit of their own, so that a dashboard leaves the vendor to kills.

use actix_web::http::StatusCode;
use killgate::sandbox::Action;

use crate::support::gateway::{Answer, Engine, Gateway, Setup, kill_of, on_both_engines};

on_both_engines! {
    a_caller_that_lists_too_often_is_limited_alone_and_in_nothing_else,
    previews_are_counted_as_lists_and_those_beyond_the_limit_are_on_record,
}

async fn start(engine: Engine) -> Gateway {
    let more = "[callers]\nkills_per_second = 1\nburst = 1\nlists_per_second = 1\nlists_burst = 2\n".to_owned();
    Gateway::start_with(engine, Setup { more, ..Setup::default() }).await
}

/// Asks until it is told that that is too often; the answers before, and that one.
async fn until_limited(mut ask: impl AsyncFnMut() -> Answer) -> (Vec<Answer>, Answer) {
    let mut answers = vec![];
    loop {
        let answer = ask().await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return (answers, answer);
        }
        answers.push(answer);
    }
}

fn assert_limited(limited: &Answer) {
    assert_eq!(limited.code(), "rate_limited", "{}", limited.body);
    assert_eq!(limited.header("retry-after"), Some("1"));
    assert_eq!(limited.header("ratelimit-policy"), Some(r#""lists";q=2;w=2"#));
    assert_eq!(limited.header("ratelimit"), Some(r#""lists";r=0;t=1"#));
}

async fn a_caller_that_lists_too_often_is_limited_alone_and_in_nothing_else(engine: Engine) {
    let gateway = start(engine).await;
    let list = async |caller| {
        let token = Gateway::token(caller, "sessions:read");
        gateway.client().get("/sessions?target=orders-ro", &token).await
    };
    let (listed, limited) = until_limited(async || list("dashboard").await).await;
    assert!(listed.len() >= 2 && listed.iter().all(|answer| answer.status == StatusCode::OK));
    assert_limited(&limited);
    assert_eq!(gateway.clouds.calls_for(Action::TaurusdbProcesses).len(), listed.len());
    assert_eq!(list("dba").await.status, StatusCode::OK);
    let token = Gateway::token("dashboard", "sessions:kill");
    let body = kill_of("orders-ro", &[2_075_425]).to_string();
    let killed = gateway.client().post("/sessions/kill", &token, &[], body).await;
    assert_eq!((killed.status, killed.header("ratelimit")), (StatusCode::OK, Some(r#""caller";r=0;t=0"#)));
}

async fn previews_are_counted_as_lists_and_those_beyond_the_limit_are_on_record(engine: Engine) {
    let gateway = start(engine).await;
    let mut preview = kill_of("orders-ro", &[2_075_425]);
    preview["dry_run"] = true.into();
    let (previews, limited) = until_limited(async || gateway.kill(&preview).await).await;
    assert!(previews.len() >= 2 && previews.iter().all(|answer| answer.body["status"] == "preview"));
    assert_limited(&limited);
    super::assert_recorded(&gateway, &limited, "rate_limited").await;
    assert_eq!(gateway.kill(&kill_of("orders-ro", &[2_075_425])).await.status, StatusCode::OK);
}
