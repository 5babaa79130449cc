//! Answers that are worth it are sent compressed to whoever asks for it (RFC 9110, section 12.5.3), by the server's own encoder,
//! piece by piece.
//!
//! The invariants: nothing that is told as it happens waits in an encoder, and no answer is compressed that holds a secret
//! beside words of others: from its length somebody on the way could tell whether the words are like the secret (BREACH). So
//! answers to kills, which have the `confirm`, go as they are, and so do lists with the literals of statements, which a page
//! reads again and again while others write into them.

use actix_http::encoding::Encoder;
use actix_web::{
    Error, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, ContentEncoding, HeaderMap, HeaderValue},
    },
    middleware::Next,
};

/// From how many bytes on it is worth it.
const LEAST: u64 = 1024;

/// Media types of texts. Not `text/event-stream`, which is told as it happens, and not problems, which are short.
const TEXTS: [&str; 10] = [
    "application/javascript",
    "application/json",
    "application/openmetrics-text",
    "application/x-ndjson",
    "image/svg+xml",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
    "text/plain",
];

/// Marks an answer with a secret beside words of others.
#[derive(Debug, Clone, Copy)]
struct AsItIs;

/// Has an answer sent as it is.
pub(super) fn never(response: &mut HttpResponse) {
    response.extensions_mut().insert(AsItIs);
}

/// Compresses what is worth it.
pub(super) async fn compress(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let is_wanted = *request.method() == Method::GET && takes_gzip(request.headers());
    let mut response = next.call(request).await?.map_into_boxed_body();
    if !is_read || !is_worth_it(&response) {
        return Ok(response);
    }
    if !is_wanted {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
        return Ok(response);
    }
    weaken(response.headers_mut());
    Ok(response.map_body(|head, body| BoxBody::new(Encoder::response(ContentEncoding::Gzip, head, body))))
}

fn is_worth_it(response: &ServiceResponse) -> bool {
    let is_long = match response.response().body().size() {
        BodySize::None => false,
        BodySize::Sized(bytes) => bytes >= LEAST,
        BodySize::Stream => true,
    };
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.map(|value| value.split(';').next().unwrap_or_default().trim());
    let is_text = media_type.is_some_and(|found| TEXTS.iter().any(|text| text.eq_ignore_ascii_case(found)));
    let is_free = response.response().extensions().get::<AsItIs>().is_none();
    is_long && is_text && is_free && response.status() == StatusCode::OK
}

/// Whether gzip is among what is taken, and not by `q=0`. `*` is taken for no wish of its own.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_gzip && quality.is_none_or(|quality| quality.parse::<f32>().is_ok_and(|quality| quality > 0.0))
    })
}

/// The same in other bytes has no strong tag in common (RFC 9110, section 8.8.3.3).
fn weaken(headers: &mut HeaderMap) {
    let strong = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).filter(|tag| tag.starts_with('"'));
    if let Some(weak) = strong.and_then(|tag| HeaderValue::try_from(format!("W/{tag}")).ok()) {
        headers.insert(header::ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, middleware::from_fn, test, test::TestRequest, web};

    use super::*;

    #[actix_web::test]
    async fn only_long_texts_are_compressed_for_whoever_asks() {
        let long = || "killgate ".repeat(1000);
        let of = move |media_type: &'static str, marked: bool| {
            move || async move {
                let mut response = HttpResponse::Ok().content_type(media_type).body(long());
                if marked {
                    never(&mut response);
                }
                response
            }
        };
        let service = App::new()
            .route("/json", web::get().to(of("application/json", false)))
            .route("/json", web::post().to(of("application/json", false)))
            .route("/marked", web::get().to(of("application/json", true)))
            .route("/events", web::get().to(of("text/event-stream", false)))
            .route("/short", web::get().to(|| async { HttpResponse::Ok().content_type("text/css").body("a") }))
            .wrap(from_fn(compress));
        let service = test::init_service(service).await;
        for (path, method, asked, is_compressed) in [
            ("/json", Method::GET, "gzip", true),
            ("/json", Method::GET, "br, GZIP;q=0.5", true),
            ("/json", Method::GET, "gzip;q=0", false),
            ("/json", Method::GET, "br", false),
            ("/json", Method::HEAD, "gzip", false),
            ("/json", Method::POST, "gzip", false),
            ("/marked", Method::GET, "gzip", false),
            ("/events", Method::GET, "gzip", false),
            ("/short", Method::GET, "gzip", false),
        ] {
            let request = TestRequest::with_uri(path).method(method.clone());
            let request = request.insert_header((header::ACCEPT_ENCODING, asked)).to_request();
            let response = test::call_service(&service, request).await;
            let coding = response.headers().get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
            assert_eq!(coding == Some("gzip"), is_compressed, "{method} {path} {asked}");
            let varies = response.headers().get(header::VARY).is_some();
            assert_eq!(varies, path == "/json" && method == Method::GET, "{method} {path} {asked}");
        }
    }
}
