//! `GET /evidence`: how far the record is sealed.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    audit::Verification,
    auth::Scope,
    chain::{Checkpoint, check::Wrong, hex},
    evidence::Delivery,
};

use super::{
    Readers, Sealing, caller::Authenticated, current::CurrentKills, kills::unreadable_record, problem::Failure, query,
    schema::EvidenceProblems,
};

/// How far the record is sealed. Whether it still is what was sealed is told by `killgate audit verify`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Evidence {
    /// The public key that this gateway seals with, as 64 hexadecimal digits; `null` where it has none.
    public_key: Option<String>,
    /// The last block of the record, whoever sealed it; `null` where there is none.
    last_block: Option<LastBlock>,
    /// For how many whole seconds the oldest entry that is to be sealed next has waited; `null` where none waits.
    waiting_seconds: Option<i64>,
    /// Where this gateway delivers checkpoints.
    checkpoints: Vec<CheckpointInfo>,
    /// What the last `killgate audit verify` found that was noted in the record; `null` where none was. It is the word of
    /// whoever ran it.
    last_verification: Option<VerificationInfo>,
}

/// What a check of the whole record found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerificationInfo {
    /// When it was done, by the clock of whoever did it.
    #[serde(with = "crate::clock::rfc3339")]
    at: OffsetDateTime,
    /// The exit status: 0 where nothing is wrong, 3 where nothing is sealed, else the sum of what is wrong.
    #[schema(value_type = u32, example = 0)]
    status: u8,
    /// What is wrong, by the words of the check, such as `CHANGED`.
    found: Vec<&'static str>,
    /// How many blocks there were.
    blocks: u64,
    /// How many kills and removals were what was sealed.
    verified: u64,
}

impl From<Verification> for VerificationInfo {
    fn from(Verification { at, status, blocks, verified }: Verification) -> Self {
        let found = Wrong::ALL.into_iter().filter(|wrong| status & wrong.status() != 0).map(Wrong::word).collect();
        Self { at, status, found, blocks, verified }
    }
}

/// The last block of the record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LastBlock {
    #[schema(example = 4711)]
    number: i64,
    #[serde(with = "crate::clock::rfc3339")]
    sealed_at: OffsetDateTime,
    /// How many entries it has.
    entries: i64,
    /// How many entries it and all blocks before it have.
    total: i64,
    /// The hash of its head, as 64 hexadecimal digits.
    head: String,
    /// The key that it names as the one it is signed with.
    public_key: String,
    /// Whether its signature is that key's. Whose key that is, is for the reader to know.
    is_signed: bool,
}

/// A place that checkpoints are delivered to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckpointInfo {
    /// `file` or `url`: `seal.checkpoint_file` or `seal.checkpoint_url`.
    #[schema(example = "file")]
    to: &'static str,
    /// The last block of which it has the checkpoint, as far as this gateway knows.
    number: Option<i64>,
    /// When this gateway delivered that one; `null` where it has not delivered any.
    #[serde(with = "crate::clock::rfc3339::option")]
    at: Option<OffsetDateTime>,
    /// Whether the last try failed.
    is_failing: bool,
}

impl From<Checkpoint> for LastBlock {
    fn from(last: Checkpoint) -> Self {
        let is_signed = last.is_signed();
        let Checkpoint { head, .. } = last;
        Self {
            number: head.number,
            sealed_at: head.sealed_at,
            entries: head.entries,
            total: head.total,
            head: hex(&head.hash()),
            public_key: hex(&head.public_key),
            is_signed,
        }
    }
}

/// How far the record is sealed
#[utoipa::path(
    get, path = "/evidence", operation_id = "readEvidence", tag = "kills",
    responses((status = 200, description = "The last block, and how far checkpoints have come", body = Evidence), EvidenceProblems),
)]
pub(super) async fn evidence(
    request: HttpRequest,
    caller: Authenticated,
    kills: CurrentKills,
    sealing: web::Data<Sealing>,
    readers: web::Data<Readers>,
) -> Result<HttpResponse, Failure> {
    caller.require(&[Scope::KillsRead])?;
    query::none(&request)?;
    let _seat = readers.pages.take(&caller.0.subject).await?;
    let last = kills.audit().last_head().await.map_err(|error| unreadable_record(&error))?;
    let waiting_seconds = match sealing.public_key {
        Some(_) => kills.audit().waits_for(sealing.most).await.map_err(|error| unreadable_record(&error))?,
        None => None,
    };
    let verification = kills.audit().last_verification().await.map_err(|error| unreadable_record(&error))?;
    let checkpoints = sealing.delivered.all().into_iter();
    let checkpoints =
        checkpoints.map(|(to, Delivery { number, at, is_failing })| CheckpointInfo { to, number, at, is_failing });
    Ok(HttpResponse::Ok().json(Evidence {
        public_key: sealing.public_key.map(|key| hex(&key)),
        last_block: last.map(LastBlock::from),
        waiting_seconds,
        checkpoints: checkpoints.collect(),
        last_verification: verification.map(VerificationInfo::from),
    }))
}
