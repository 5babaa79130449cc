//! What holds for every answer, whichever handler gives it: HEAD says what GET says, an error is a problem document, what is
//! for one caller is kept by nobody, and a body that nobody wanted does not hold the connection.

use std::{
    cell::RefCell,
    error::Error as StdError,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
    middleware::Next,
    web::Bytes,
};
use futures_util::Stream;

use crate::domain::{Problem, ProblemCode};

use super::{
    connection::certificate_of,
    problem::{Failure, PROBLEM_JSON},
};

/// Marks a request of which only the head is wanted.
#[derive(Debug, Clone, Copy)]
struct HeadOnly;

/// Whether only the head is wanted: what costs anything beyond it need not be done.
pub(super) fn is_head(request: &HttpRequest) -> bool {
    request.extensions().get::<HeadOnly>().is_some()
}

/// Hands a HEAD to the handler of its GET; the server leaves out the body.
pub(super) async fn head_as_get(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if *request.method() == Method::HEAD {
        request.extensions_mut().insert(HeadOnly);
        request.head_mut().method = Method::GET;
    }
    next.call(request).await
}

/// Makes a problem document of every error that is none, such as what cannot be written as JSON.
pub(super) async fn errors_as_problems(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status();
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !(status.is_client_error() || status.is_server_error()) || media_type == Some(PROBLEM_JSON) {
        return Ok(response);
    }
    if let Some(error) = response.response().error() {
        tracing::error!(%error, "an error that no handler gave");
    }
    let mut problem: HttpResponse = Failure::from(of_status(status)).error_response();
    for (name, value) in response.headers() {
        // What is told of the answer as a whole stays, such as who may read it.
        let is_of_body = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING].contains(name);
        if !is_of_body && !problem.headers().contains_key(name) {
            problem.headers_mut().append(name.clone(), value.clone());
        }
    }
    Ok(response.into_response(problem))
}

/// Has nobody on the way keep what is for one caller, whom a token or a certificate names (RFC 9111, section 5.2.2.5).
pub(super) async fn kept_by_nobody(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let is_personal =
        request.headers().contains_key(header::AUTHORIZATION) || certificate_of(request.request()).is_some();
    let mut response = next.call(request).await?;
    if is_personal {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

fn of_status(status: StatusCode) -> Problem {
    let code = match status {
        StatusCode::NOT_FOUND => ProblemCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => ProblemCode::TooSlow,
        StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::TooLarge,
        status if status.is_client_error() => ProblemCode::Malformed,
        _ => ProblemCode::Internal,
    };
    let sentence = if code == ProblemCode::Internal { "the gateway failed; see its log" } else { "it cannot be read" };
    Problem::new(code, sentence)
}

/// Keeps a request's payload until its answer is written. The server closes a connection on which there is still
/// something to be read by then; a payload of chunks that was let go before, it would drain for ever.
pub(super) async fn keep_payload(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let payload = request.take_payload();
    if matches!(payload, Payload::None) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let shared = Rc::new(RefCell::new(payload));
    request.set_payload(Payload::Stream { payload: Box::pin(Shared(Rc::clone(&shared))) });
    let response = next.call(request).await?;
    Ok(keeping(response, shared))
}

/// The answer, with something that is kept until it is written or given up.
pub(super) fn keeping(
    response: ServiceResponse<impl MessageBody + 'static>,
    kept: impl Unpin + 'static,
) -> ServiceResponse<BoxBody> {
    response.map_body(|_, body| BoxBody::new(Keeping { body: body.boxed(), _kept: kept }))
}

struct Shared(Rc<RefCell<Payload>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

/// The body of an answer, and what is kept with it.
struct Keeping<T> {
    body: BoxBody,
    _kept: T,
}

impl<T: Unpin> MessageBody for Keeping<T> {
    type Error = Box<dyn StdError>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, middleware::from_fn, test, web};

    use super::*;

    #[actix_web::test]
    async fn an_error_that_is_no_problem_document_is_made_one_and_nothing_else_is() {
        let plain = |status: u16| async move {
            HttpResponse::build(StatusCode::from_u16(status).expect("a status")).body("Json serialize error")
        };
        let service = App::new()
            .route("/failed", web::get().to(move || plain(500)))
            .route("/odd", web::get().to(move || plain(418)))
            .route("/well", web::get().to(move || plain(200)))
            .wrap(from_fn(errors_as_problems));
        let service = test::init_service(service).await;
        for (path, status, code) in [("/failed", 500, "internal"), ("/odd", 400, "malformed"), ("/well", 200, "")] {
            let response = test::call_service(&service, test::TestRequest::get().uri(path).to_request()).await;
            assert_eq!(response.status().as_u16(), status, "{path}");
            let media_type = response.headers().get(header::CONTENT_TYPE).cloned();
            let body = String::from_utf8(test::read_body(response).await.to_vec()).unwrap();
            assert_eq!(media_type.is_some_and(|value| value == PROBLEM_JSON), status != 200, "{path}");
            assert!(body.contains(code) && body.contains("Json serialize error") == (status == 200), "{path}: {body}");
        }
    }
}
