//! HTTP in: routes, extractors, problems, documentation.
//!
//! Handlers translate and nothing more: what is allowed, recorded and sent is decided in [`crate::kill`].

mod allowance;
mod answers;
mod body;
mod caller;
mod client;
mod compress;
mod connection;
mod console;
mod cors;
mod current;
mod docs;
mod events;
mod evidence;
mod export;
mod health;
mod held;
mod kills;
mod list;
mod login;
mod me;
mod prefix;
mod problem;
mod query;
mod reader_seats;
mod reference;
mod request_id;
mod schema;
mod seldom;
mod sessions;
mod sight;
mod spans;
mod stats;
mod tokens;
mod visits;

use std::sync::Arc;

use actix_web::{
    App, Error, HttpRequest, HttpResponse, Resource, Route,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    http::header,
    middleware::{Condition, from_fn},
    web,
};
use tokio::sync::watch;
use tracing_actix_web::TracingLogger;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    chain::PublicKey,
    config,
    domain::{Network, Problem, ProblemCode},
    evidence::Delivered,
    metrics::Metrics,
    notify::follow::Following,
    spans::Tracer,
};

pub use connection::{MOST_STREAMS, begin as begin_connection, limit_unread};
pub use current::Current;
pub use docs::{document, older_document};
pub use login::HowToLogIn;
use problem::Failure;
use reader_seats::ReaderSeats;

/// What an operator sets of it.
#[derive(Debug)]
pub struct Settings {
    /// Who is believed where a request comes from.
    pub proxies: Vec<Network>,
    /// Pages of which other origins may ask.
    pub cors_origins: Vec<String>,
    pub console: config::Console,
    pub sealing: Sealing,
}

/// What of a gateway's sealing is told.
#[derive(Debug)]
pub struct Sealing {
    /// The public half of the key that it seals with; `None` where it does not.
    pub public_key: Option<PublicKey>,
    /// The most kills of one block.
    pub most: u32,
    /// How far its checkpoints have come.
    pub delivered: Delivered,
}

/// One gateway's parts, as its handlers need them.
#[derive(Debug, Clone)]
pub struct Service {
    current: web::Data<current::Told>,
    following: web::Data<Following>,
    refusals: web::Data<caller::Refusals>,
    proxies: web::Data<client::Proxies>,
    cors_origins: Arc<[String]>,
    reading: web::Data<body::Reading>,
    readers: web::Data<Readers>,
    visits: web::Data<visits::Visits>,
    watch: web::Data<spans::Watch>,
    sealing: web::Data<Sealing>,
    console: Option<web::Data<console::Console>>,
}

/// Seats for those who read the record.
#[derive(Debug)]
struct Readers {
    /// For answers of which each has its bounds.
    pages: ReaderSeats,
    /// For files, which take as long as their clients do.
    files: ReaderSeats,
}

impl Default for Readers {
    fn default() -> Self {
        Self { pages: ReaderSeats::new(16, 2), files: ReaderSeats::new(8, 2) }
    }
}

impl Service {
    /// `current` tells what answers requests; `stopping` becomes true when the gateway is told to stop.
    #[must_use]
    pub fn new(
        (current, following): (watch::Receiver<Current>, Following),
        (metrics, tracer): (Arc<Metrics>, Tracer),
        settings: Settings,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let Settings { proxies, cors_origins, console, sealing } = settings;
        let console = console.enabled.then(|| web::Data::new(console::Console::new(console.login.as_ref())));
        Self {
            current: web::Data::new(current),
            console,
            sealing: web::Data::new(sealing),
            following: web::Data::new(following),
            refusals: web::Data::new(caller::Refusals::new(Arc::clone(&metrics))),
            proxies: web::Data::new(client::Proxies(proxies)),
            cors_origins: cors_origins.into(),
            visits: web::Data::new(visits::Visits::new(Arc::clone(&metrics))),
            watch: web::Data::new(spans::Watch { metrics: Arc::clone(&metrics), tracer }),
            reading: web::Data::new(body::Reading { stopping, metrics }),
            readers: web::Data::new(Readers::default()),
        }
    }
}

/// The whole HTTP service over one gateway's parts.
pub fn app(
    service: Service,
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
        .app_data(service.current)
        .app_data(service.following)
        .app_data(service.refusals)
        .app_data(service.proxies)
        .app_data(service.reading)
        .app_data(service.readers)
        .app_data(service.visits)
        .app_data(service.watch)
        .app_data(service.sealing)
        .configure(routes)
        .configure(|pages| {
            if let Some(console) = service.console {
                console::routes(pages, console);
            }
        })
        .default_service(web::to(not_found))
        .wrap(from_fn(answers::head_as_get))
        .wrap(from_fn(connection::within_limit))
        .wrap(Condition::new(!service.cors_origins.is_empty(), cors::of(&service.cors_origins)))
        .wrap(from_fn(answers::errors_as_problems))
        .wrap(from_fn(compress::compress))
        .wrap(from_fn(prefix::put_before))
        .wrap(from_fn(answers::kept_by_nobody))
        .wrap(from_fn(answers::keep_payload))
        .wrap(from_fn(visits::note))
        .wrap(TracingLogger::<request_id::Spans>::new())
        .wrap(from_fn(spans::watch))
        .wrap(from_fn(request_id::assign))
}

fn routes(service: &mut web::ServiceConfig) {
    // Unless told not to, the page hands the document's address to a validator on the internet.
    let page = Config::from("../openapi.json").validator_url("none");
    service
        .service(resource("/sessions", READ, web::get().to(sessions::list)))
        .service(resource("/sessions/kill", "POST", web::post().to(kills::create)))
        .service(resource("/kills", READ, web::get().to(list::list)))
        .service(resource("/kills/export", READ, web::get().to(export::export)))
        .service(resource("/kills/export/manifest", READ, web::get().to(export::manifest)))
        .service(resource("/kills/stats", READ, web::get().to(stats::stats)))
        .service(resource("/kills/{id}", READ, web::get().to(kills::read_one)))
        .service(resource("/kills/{id}/events", READ, web::get().to(events::follow)))
        .service(resource("/vendors", READ, web::get().to(reference::vendors)))
        .service(resource("/me", READ, web::get().to(me::me)))
        .service(resource("/evidence", READ, web::get().to(evidence::evidence)))
        .service(resource("/targets", READ, web::get().to(reference::targets)))
        .service(resource("/.well-known/oauth-protected-resource", READ, web::get().to(login::how)))
        .service(resource("/healthz", READ, web::get().to(health::live)))
        .service(resource("/readyz", READ, web::get().to(health::ready)))
        .service(resource("/metrics", READ, web::get().to(health::metrics)))
        .service(resource("/openapi.json", READ, web::get().to(docs::json)))
        .service(resource("/docs", READ, web::get().to(docs::page)))
        .service(SwaggerUi::new("/docs/{_:.*}").config(page))
        .service(refusing("/docs/{_:.*}", READ));
}

/// The methods of a path that is read: HEAD is answered as GET is, without the body.
const READ: &str = "GET, HEAD";

/// One path with the methods it has; every other method is told so.
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
