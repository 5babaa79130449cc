//! Looking at and steering a sandbox over HTTP, for people with `curl`: everything under `/_sandbox`.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{Action, Behaviour, Clouds, Place, Received, Session};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    let refused = |error: actix_web::error::JsonPayloadError, _: &_| {
        let answer = HttpResponse::BadRequest().json(json!({"error": error.to_string()}));
        actix_web::error::InternalError::from_response(error, answer).into()
    };
    config.service(
        web::scope("/_sandbox")
            .app_data(
                web::JsonConfig::default().content_type(|_| true).content_type_required(false).error_handler(refused),
            )
            .route("/calls", web::get().to(calls))
            .route("/sessions", web::get().to(sessions))
            .route("/behaviour", web::put().to(misbehave))
            .route("/behaviour", web::delete().to(behave))
            .route("/revoke-tokens", web::post().to(revoke_tokens))
            .route("/revoke-keys", web::post().to(revoke_keys))
            .route("/reset", web::post().to(reset)),
    );
}

async fn calls(clouds: web::Data<Clouds>) -> HttpResponse {
    let items: Vec<Value> = clouds.calls().iter().map(line).collect();
    HttpResponse::Ok().json(json!({
        "items": items,
        "violations": clouds.violations(),
        "logins": clouds.logins(),
        "locked": clouds.locked(),
    }))
}

/// A call without its headers; without its body too where that holds a password or a token.
fn line(call: &Received) -> Value {
    let is_secret = matches!(call.action, Some(Action::IamToken | Action::StsWebIdentity));
    let body = (!is_secret).then(|| String::from_utf8_lossy(&call.body));
    json!({
        "at": call.at.format(&Rfc3339).unwrap_or_default(),
        "cloud": call.cloud,
        "vendor": call.vendor,
        "action": call.action,
        "method": call.method,
        "path": call.path,
        "query": call.query,
        "body": body,
        "verdict": call.verdict,
        "status": call.status,
        "code": call.code,
        "killed": call.killed,
    })
}

async fn sessions(clouds: web::Data<Clouds>) -> HttpResponse {
    let item = |(place, sessions): &(Place, Vec<Session>)| json!({"place": place, "sessions": sessions});
    HttpResponse::Ok().json(json!({"items": clouds.places().iter().map(item).collect::<Vec<_>>()}))
}

/// What to do the next `times` calls, or from now on where that is not given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    action: Action,
    behaviour: Behaviour,
    /// Only for calls whose path names that instance or node of Huawei's, or whose body names that shard of Tencent's by its id.
    instance_id: Option<String>,
    times: Option<u32>,
}

async fn misbehave(clouds: web::Data<Clouds>, wanted: web::Json<Wanted>) -> HttpResponse {
    let Wanted { action, behaviour, instance_id, times } = wanted.into_inner();
    clouds.plan(action, behaviour, instance_id, times);
    HttpResponse::NoContent().finish()
}

async fn behave(clouds: web::Data<Clouds>) -> HttpResponse {
    clouds.behave();
    HttpResponse::NoContent().finish()
}

async fn revoke_tokens(clouds: web::Data<Clouds>) -> HttpResponse {
    clouds.revoke_tokens();
    HttpResponse::NoContent().finish()
}

async fn revoke_keys(clouds: web::Data<Clouds>) -> HttpResponse {
    clouds.revoke_keys();
    HttpResponse::NoContent().finish()
}

async fn reset(clouds: web::Data<Clouds>) -> HttpResponse {
    clouds.reset();
    HttpResponse::NoContent().finish()
}
