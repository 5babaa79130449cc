//! `GET /kills/export`: all kills that are wanted, streamed.

use std::io;

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodyStream, MessageBody as _},
    http::header,
    web::{self, Bytes},
};
use futures_util::stream;
use serde::Deserialize;
use tracing::Span;
use utoipa::IntoParams;

use crate::{
    auth::Scope,
    domain::Problem,
    history::{Export, Format, Wanted},
    kill::Kills,
};

use super::{
    Readers, answers, caller::Authenticated, held::Held, kills::unreadable_record, problem::Failure, query,
    schema::ListProblems, tokens,
};

/// How the file is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wish {
    /// `ndjson`: a line for each kill with everything on record, then the sealed blocks that hold them, then the
    /// manifest. `csv`: a row for each kill, then the manifest.
    #[param(value_type = Option<String>, pattern = "^(ndjson|csv)$", default = "ndjson", example = "csv")]
    pub(super) format: Option<String>,
    /// `true`: a CSV file begins with a mark of UTF-8 (U+FEFF), without which some spreadsheets take it for another
    /// encoding.
    #[param(value_type = Option<bool>, default = false)]
    pub(super) excel: Option<String>,
}

/// Export kills
///
/// Everything on record of every kill that passes the filters, newest first, as the record stood when the export began.
/// The last line or row is a manifest: how many kills there are, the first and the last, and the SHA-256 of every byte
/// before it. A file without one was cut off. Where the record cannot be read on, the transfer is aborted.
///
/// In CSV a cell that begins with `=`, `+`, `-`, `@`, tab or carriage return is given a leading `'`.
#[utoipa::path(
    get, path = "/kills/export", operation_id = "exportKills", tag = "kills", params(Wanted, Wish),
    responses(
        (status = 200, description = "The file", content(
            (String = "application/x-ndjson"),
            (String = "text/csv"),
        ), headers(("Content-Disposition" = String, description = "`attachment`, with a name for the file"))),
        ListProblems,
    ),
)]
pub(super) async fn export(
    request: HttpRequest,
    caller: Authenticated,
    kills: web::Data<Kills>,
    readers: web::Data<Readers>,
) -> Result<HttpResponse, Failure> {
    caller.require(&[Scope::KillsExport])?;
    let (wanted, wish) = query::wanted::<Wish>(request.query_string(), &["format", "excel"])?;
    let filter = wanted.filter()?;
    let (format, excel) = wish.check()?;
    let name = format!("killgate-{}.{format}", kills.clock().now().date());
    let mut response = HttpResponse::Ok();
    response
        .content_type(format.media_type())
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if answers::is_head(&request) {
        return Ok(response.streaming(stream::empty::<io::Result<Bytes>>()));
    }
    let seat = readers.files.take(&caller.0.subject).await?;
    let filters = tokens::without("", &serde_json::to_string(&wanted).unwrap_or_default());
    let export = Export::begin(kills.audit().clone(), wanted, filter, format).await;
    let export = export.map_err(|error| unreadable_record(&error))?.for_excel(excel);
    let told = Told { caller: caller.0.subject, filters, format, span: Span::current(), export };
    let pieces = stream::try_unfold(told, async |mut told| match told.export.next().await {
        Ok(piece) => Ok(piece.map(|piece| (Bytes::from(piece), told))),
        // An error in the middle of a body closes the connection without the body's end.
        Err(error) => {
            told.span.in_scope(|| tracing::error!(%error, "the record could not be read, so an export is cut off"));
            Err(io::Error::other("the record could not be read"))
        }
    });
    Ok(response.body(Held::new(BodyStream::new(Box::pin(pieces)).boxed(), seat)))
}

impl Wish {
    /// The format, and whether it begins with the mark.
    fn check(&self) -> Result<(Format, bool), Problem> {
        let format = self.format.as_deref().map_or(Some(Format::Ndjson), Format::parse).ok_or_else(|| {
            let words = Format::ALL.map(|format| format.as_str().to_owned());
            Problem::invalid("format", "has no such form").supported(words.into())
        })?;
        match (self.excel.as_deref(), format) {
            (None | Some("false"), _) => Ok((format, false)),
            (Some("true"), Format::Csv) => Ok((format, true)),
            (Some("true"), Format::Ndjson) => Err(Problem::invalid("excel", "goes with format=csv only")),
            (Some(_), _) => Err(Problem::invalid("excel", "must be true or false")),
        }
    }
}

/// An export that is told in the log when it ends, however it does.
struct Told {
    caller: String,
    filters: String,
    format: Format,
    span: Span,
    export: Export,
}

impl Drop for Told {
    fn drop(&mut self) {
        let Self { caller, filters, format, span, export } = self;
        let (kills, complete) = (export.kills(), export.is_complete());
        span.in_scope(|| tracing::info!(caller, filters, %format, kills, complete, "export"));
    }
}
