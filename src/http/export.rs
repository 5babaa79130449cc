//! `GET /kills/export`: all kills that are wanted, streamed; and the manifest of such a file.

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
    audit::{Cursor, Filter},
    auth::Scope,
    domain::Problem,
    history::{Export, Form, Format, Manifest, Rows, Wanted},
};

use super::{
    Readers, answers, caller::Authenticated, current::CurrentKills, held::Held, kills::unreadable_record,
    problem::Failure, query, schema::ListProblems, tokens, visits,
};

/// How the file is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wish {
    /// `ndjson`: a line for each kill with everything on record, then the sealed blocks that hold them, then the
    /// manifest. `csv`: a table, whose manifest is where `Link` says.
    #[param(value_type = Option<Format>, default = "ndjson", example = "csv")]
    pub(super) format: Option<String>,
    /// Of a table: `kills` has a row for each kill, with its sessions in one cell; `sessions` has one for each session, and
    /// one for a kill without sessions.
    #[param(value_type = Option<Rows>, default = "kills")]
    pub(super) rows: Option<String>,
    /// `true`, of a table: it begins with a mark of UTF-8 (U+FEFF), without which some spreadsheets take it for another
    /// encoding, and cells that a spreadsheet would take for another number than is written are given a leading `'`: 15
    /// digits or more, zeros at the beginning, `1e5`, `1.10`.
    #[param(value_type = Option<bool>, default = false)]
    pub(super) excel: Option<String>,
}

/// Of which file the manifest is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Made {
    /// Where the file began, from the `Link` that came with it. Left out: a file that begins now.
    pub(super) place: Option<String>,
}

/// Export kills
///
/// Everything on record of every kill that passes the filters, newest first, as the record stood when the export began.
/// Where the record cannot be read on, the transfer is aborted.
///
/// The last line of NDJSON is a manifest: how many kills there are, the first and the last, and the SHA-256 of every byte
/// before it. A file without one was cut off. The manifest of a table is not in it: it is where the `Link` of the answer
/// says, `rel="describedby"`.
///
/// In CSV a cell that begins with `=`, `+`, `-`, `@`, tab or carriage return is given a leading `'`.
#[utoipa::path(
    get, path = "/kills/export", operation_id = "exportKills", tag = "kills", params(Wanted, Wish),
    responses(
        (status = 200, description = "The file", content(
            (String = "application/x-ndjson"),
            (String = "text/csv"),
        ), headers(
            ("Content-Disposition" = String, description = "`attachment`, with a name for the file"),
            ("Link" = String, description = "Of a table, its manifest: `rel=\"describedby\"` (RFC 8288)"),
        )),
        ListProblems,
    ),
)]
pub(super) async fn export(
    request: HttpRequest,
    caller: Authenticated,
    kills: CurrentKills,
    readers: web::Data<Readers>,
) -> Result<HttpResponse, Failure> {
    caller.require(&[Scope::KillsExport])?;
    let (wanted, wish) = query::wanted::<Wish>(request.query_string(), &OWN)?;
    visits::asks_for(&request, &wanted);
    let filter = wanted.filter()?;
    let form = wish.form()?;
    let name = format!("killgate-{}.{}", kills.clock().now().date(), form.format);
    let mut response = HttpResponse::Ok();
    response
        .content_type(form.format.media_type())
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if answers::is_head(&request) {
        return Ok(response.streaming(stream::empty::<io::Result<Bytes>>()));
    }
    let seat = readers.files.take(&caller.0.subject).await?;
    let filters = tokens::without("", &serde_json::to_string(&wanted).unwrap_or_default());
    let export = Export::begin(kills.audit().clone(), wanted, filter, form).await;
    let export = export.map_err(|error| unreadable_record(&error))?;
    if form.format == Format::Csv {
        response.insert_header((header::LINK, manifest_link(&request, export.place())));
    }
    let told = Told { caller: caller.0.subject, filters, form, span: Span::current(), export };
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

/// Where the manifest of the file is that begins at that place.
fn manifest_link(request: &HttpRequest, place: &Cursor) -> String {
    let query = query::at(request, "place", place);
    format!("</kills/export/manifest?{query}>; rel=\"describedby\"; type=\"application/json\"")
}

/// Read the manifest of an export
///
/// What `GET /kills/export` with the same parameters gives: how many kills, the first and the last, and the SHA-256 of every
/// byte, in NDJSON of those before its own manifest. The kills are read once more for it, which takes as long as the file
/// itself. Kills that came since then are in neither; where one that was open has learned more, the sums differ, and both
/// are to be fetched again.
#[utoipa::path(
    get, path = "/kills/export/manifest", operation_id = "readManifest", tag = "kills", params(Wanted, Wish, Made),
    responses((status = 200, description = "The manifest", body = Manifest), ListProblems),
)]
pub(super) async fn manifest(
    request: HttpRequest,
    caller: Authenticated,
    kills: CurrentKills,
    readers: web::Data<Readers>,
) -> Result<HttpResponse, Failure> {
    caller.require(&[Scope::KillsExport])?;
    let own: Vec<&str> = OWN.into_iter().chain(["place"]).collect();
    let (wanted, Both { wish, made }) = query::wanted::<Both>(request.query_string(), &own)?;
    visits::asks_for(&request, &wanted);
    let place = query::place("place", made.place.as_deref(), false)?;
    let filter = Filter { place, ..wanted.filter()? };
    let form = wish.form()?;
    let seat = readers.files.take(&caller.0.subject).await?;
    let export = Export::begin(kills.audit().clone(), wanted, filter, form).await;
    let export = export.map_err(|error| unreadable_record(&error))?;
    let manifest = export.into_manifest().await.map_err(|error| unreadable_record(&error))?;
    let mut response = HttpResponse::Ok();
    response.content_type(header::ContentType::json()).insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(response.body(Held::json(&manifest, seat)?))
}

/// The parameters of a manifest beside the filters.
#[derive(Debug, Deserialize)]
struct Both {
    #[serde(flatten)]
    wish: Wish,
    #[serde(flatten)]
    made: Made,
}

/// The parameters of an export beside the filters.
const OWN: [&str; 3] = ["format", "rows", "excel"];

impl Wish {
    /// How the file is written.
    fn form(&self) -> Result<Form, Problem> {
        let format = self.format.as_deref().map_or(Some(Format::Ndjson), Format::parse);
        let format = format.ok_or_else(|| Problem::no_such_word("format", &Format::ALL.map(Format::as_str)))?;
        let rows = self.rows.as_deref().map_or(Some(Rows::default()), Rows::parse);
        let rows = rows.ok_or_else(|| Problem::no_such_word("rows", &Rows::ALL.map(Rows::as_str)))?;
        let excel = match self.excel.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::invalid("excel", "must be true or false")),
        };
        let form = Form { format, rows, excel };
        match form.out_of_place() {
            Some(field) => Err(Problem::invalid(field, "goes with format=csv only")),
            None => Ok(form),
        }
    }
}

/// An export that is told in the log when it ends, however it does.
struct Told {
    caller: String,
    filters: String,
    form: Form,
    span: Span,
    export: Export,
}

impl Drop for Told {
    fn drop(&mut self) {
        let Self { caller, filters, form: Form { format, rows, .. }, span, export } = self;
        let (kills, complete) = (export.kills(), export.manifest().is_some());
        span.in_scope(|| tracing::info!(caller, filters, %format, %rows, kills, complete, "export"));
    }
}
