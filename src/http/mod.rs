//! HTTP in: routes, extractors, problems, documentation.
//!
//! Handlers translate and nothing more: what is allowed, recorded and sent is decided in [`crate::kill`].

mod body;
mod caller;
mod docs;
mod events;
mod export;
mod health;
mod kills;
mod problem;
mod query;
mod reference;
mod request_id;
mod schema;
mod sessions;
mod stats;

use actix_web::{
    App, Error, HttpRequest, HttpResponse, Resource, Route,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::header,
    middleware::from_fn,
    web,
};
use tracing_actix_web::TracingLogger;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    auth::Auth,
    domain::{Problem, ProblemCode},
    kill::Kills,
    progress::Following,
};

pub use docs::document;
use problem::Failure;

/// The whole HTTP service over one gateway's parts.
pub fn app(
    kills: Kills,
    following: Following,
    auth: Auth,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(web::Data::new(kills))
        .app_data(web::Data::new(following))
        .app_data(web::Data::new(auth))
        .configure(routes)
        .default_service(web::to(not_found))
        .wrap(TracingLogger::<request_id::Spans>::new())
        .wrap(from_fn(request_id::assign))
}

fn routes(service: &mut web::ServiceConfig) {
    // Unless told not to, the page hands the document's address to a validator on the internet.
    let page = Config::from("/openapi.json").validator_url("none");
    service
        .service(resource("/sessions", "GET", web::get().to(sessions::list)))
        .service(resource("/sessions/kill", "POST", web::post().to(kills::create)))
        .service(resource("/kills", "GET", web::get().to(kills::list)))
        .service(resource("/kills/export", "GET", web::get().to(export::export)))
        .service(resource("/kills/stats", "GET", web::get().to(stats::stats)))
        .service(resource("/kills/{id}", "GET", web::get().to(kills::read_one)))
        .service(resource("/kills/{id}/events", "GET", web::get().to(events::follow)))
        .service(resource("/vendors", "GET", web::get().to(reference::vendors)))
        .service(resource("/targets", "GET", web::get().to(reference::targets)))
        .service(resource("/healthz", "GET", web::get().to(health::live)))
        .service(resource("/readyz", "GET", web::get().to(health::ready)))
        .service(resource("/metrics", "GET", web::get().to(health::metrics)))
        .service(resource("/openapi.json", "GET", web::get().to(docs::json)))
        .service(resource("/docs", "GET", web::get().to(docs::page)))
        .service(SwaggerUi::new("/docs/{_:.*}").config(page))
        .service(refusing("/docs/{_:.*}", "GET"));
}

/// One path with the one method it has; every other method is told so.
fn resource(path: &str, allow: &'static str, route: Route) -> Resource {
    refusing(path, allow).route(route)
}

fn refusing(path: &str, allow: &'static str) -> Resource {
    let refuse = move || async move {
        let problem = Problem::new(ProblemCode::MethodNotAllowed, format!("this path takes {allow}"));
        Err::<HttpResponse, _>(Failure::from(problem).with(header::ALLOW, allow))
    };
    web::resource(path.to_owned()).default_service(web::to(refuse))
}

async fn not_found(_: HttpRequest) -> Result<HttpResponse, Failure> {
    Err(Problem::new(ProblemCode::NotFound, "there is no such path").into())
}
