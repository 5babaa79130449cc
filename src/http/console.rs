//! `GET /`: the console, pages for people. The binary has all of it, and it asks nobody but this gateway and the issuer.
//!
//! The invariants: a page runs scripts and styles of this gateway alone, none that stands in the page itself, and nothing
//! is ever parsed as HTML; no page is put into a frame of somebody else's.

use std::{fmt::Write as _, sync::LazyLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderName, HeaderValue},
    web,
};
use aws_lc_rs::digest;
use serde_json::{Value, json};

use super::{READ, problem::Failure, resource};
use crate::{
    chain::hex,
    config::CodeFlow,
    domain::{Problem, ProblemCode},
};

/// A file of the console: its path below `console/`, its media type and what stands in it.
struct File(&'static str, &'static str, &'static str);

macro_rules! files {
    ($media_type:expr; $($path:literal),+ $(,)?) => {
        &[$(File($path, $media_type, include_str!(concat!("../console/", $path)))),+]
    };
}

const PAGE: &str = include_str!("../console/index.html");

const SCRIPTS: &[File] = files!["text/javascript; charset=utf-8";
    "api.js", "dom.js", "format.js", "login.js", "main.js", "oidc.js", "parts.js", "route.js", "stream.js", "token.js", "words.js",
    "live/arrange.js", "live/bar.js", "live/criteria.js", "live/details.js", "live/grid.js", "live/page.js", "live/place.js",
    "live/queues.js", "live/rows.js",
    "kill/ask.js", "kill/confirm.js", "kill/dialog.js", "kill/follow.js", "kill/sessions.js", "kill/timeline.js",
    "history/export.js", "history/filters.js", "history/kill.js", "history/page.js", "history/plot.js",
    "fleet/metrics.js", "fleet/page.js", "fleet/sections.js",
];

const STYLES: &[File] = files!["text/css; charset=utf-8";
    "css/base.css", "css/parts.css", "css/live.css", "css/kill.css", "css/history.css", "css/fleet.css",
];

const PICTURES: &[File] = files!["image/svg+xml"; "icon.svg"];

fn files() -> impl Iterator<Item = &'static File> {
    [SCRIPTS, STYLES, PICTURES].into_iter().flatten()
}

/// Stands for the whole of it: a browser that has one file of another version asks for all of them anew.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut whole = digest::Context::new(&digest::SHA256);
    for text in files().map(|File(.., text)| *text).chain([PAGE]) {
        whole.update(text.as_bytes());
    }
    format!("\"{}\"", hex(&whole.finish().as_ref()[..16]))
});

/// What the page is told, and what it is held to.
#[derive(Debug)]
pub(super) struct Console {
    settings: Value,
    policy: String,
}

impl Console {
    pub(super) fn new(login: Option<&CodeFlow>) -> Self {
        let origins = login.map(|login| login.origins.as_slice()).unwrap_or_default();
        let origins = origins.iter().fold(String::new(), |mut text, url| {
            // Writing to a String does not fail.
            let _ = write!(text, " {}", url.origin().ascii_serialization());
            text
        });
        let settings = login.map_or_else(
            || json!({}),
            |CodeFlow { client_id, scope, issuer, audience, .. }| json!({ "client_id": client_id, "scope": scope, "issuer": issuer, "audience": audience }),
        );
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{origins}; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        );
        Self { settings, policy }
    }
}

/// Makes its paths.
pub(super) fn routes(pages: &mut web::ServiceConfig, console: web::Data<Console>) {
    pages
        .app_data(console)
        .service(resource("/", READ, web::get().to(page)))
        .service(resource("/console/settings.json", READ, web::get().to(settings)))
        .service(resource("/console/{path:.*}", READ, web::get().to(file)));
}

async fn page(request: HttpRequest, console: web::Data<Console>) -> HttpResponse {
    let mut response = served(&request, "text/html; charset=utf-8", PAGE);
    let headers = [
        (header::CONTENT_SECURITY_POLICY, console.policy.as_str()),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn settings(console: web::Data<Console>) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(&console.settings)
}

async fn file(request: HttpRequest, path: web::Path<String>) -> Result<HttpResponse, Failure> {
    let found = files().find(|File(name, ..)| *name == path.as_str());
    let File(_, media_type, text) =
        found.ok_or_else(|| Problem::new(ProblemCode::NotFound, "there is no such path"))?;
    Ok(served(&request, media_type, text))
}

fn served(request: &HttpRequest, media_type: &'static str, text: &'static str) -> HttpResponse {
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let is_known = known.is_some_and(|known| known.contains(VERSION.as_str()));
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::ETAG, VERSION.as_str()))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if is_known {
        return response.finish();
    }
    response.content_type(media_type).body(text)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Every file below that folder, by its path there.
    fn below(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console");
        let mut there = BTreeSet::new();
        below(&folder, &folder, &mut there);
        let served = files().map(|File(path, ..)| (*path).to_owned()).chain(["index.html".to_owned()]).collect();
        assert_eq!(there, served);
    }

    #[test]
    fn no_script_parses_text_as_html_and_none_stands_in_the_page() {
        for File(path, _, text) in SCRIPTS {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "localStorage",
                "http://",
            ] {
                let is_name = *path == "dom.js" && word == "http://";
                assert!(is_name || !text.contains(word), "{path} has {word}");
            }
            assert!(text.lines().count() <= 400, "{path}");
        }
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert!(!PAGE.contains("style=") && !PAGE.contains("onclick"));
    }

    #[test]
    fn the_policy_names_the_issuer_and_nobody_else() {
        let issuer = "https://sso.example.com/realms/a/".to_owned();
        let origins = [issuer.as_str(), "https://token.example.com/x"].map(|url| url.parse().unwrap()).to_vec();
        let (client_id, scope, audience) = ("console".into(), "openid".into(), "killgate".into());
        let Console { settings, policy } =
            Console::new(Some(&CodeFlow { client_id, scope, issuer, audience, origins }));
        assert!(policy.contains("connect-src 'self' https://sso.example.com https://token.example.com;"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(settings["issuer"], "https://sso.example.com/realms/a/");
        assert_eq!(Console::new(None).settings, json!({}));
    }
}
