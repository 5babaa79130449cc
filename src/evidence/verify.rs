//! Checks the record against its blocks and against outside checkpoints, while others may be writing.
//!
//! Blocks are read first, then every kill. A kill that changes meanwhile is not what the blocks read so far say, so
//! what is suspect is looked at again once newer blocks are known, until no newer ones come. Kills are read some at a
//! time, each with whether it waits to be sealed as of the same moment.

use std::collections::BTreeSet;

use anyhow::bail;
use time::{Date, macros::format_description};
use uuid::Uuid;

use crate::{
    audit::{Audit, AuditError, Removal, Standing},
    chain::{
        Checkpoint, Leaf,
        check::{Check, Found, Removed, Report, Scope, Trusted, Waits, Wrong},
    },
    clock::Clock,
};

/// How many kills are read at once.
const KILLS: u32 = 1000;
/// How many blocks are read at once; each has the hashes of up to some thousand kills.
const BLOCKS: u32 = 20;
/// For how long a kill that has ended may wait to be indexed, which takes a moment.
const UNINDEXED: time::Duration = time::Duration::HOUR;
/// How often what is suspect is looked at again, where newer blocks keep coming.
const ROUNDS: u32 = 100;

/// Checks the whole record. Blocks must be signed with one of these keys.
///
/// # Errors
/// It could not be checked: the database is away, or a month was removed meanwhile.
pub async fn verify(audit: &Audit, keys: Vec<Trusted>, checkpoints: Vec<Checkpoint>) -> anyhow::Result<Report> {
    let mut check = Check::new(Scope::Record, keys, checkpoints);
    let removals = audit.removals().await?;
    blocks(audit, &mut check).await?;
    let before = check.last_block();
    kills(audit, &mut check).await?;
    if audit.removals().await? != removals {
        bail!("a month was removed while the record was read; verify it again");
    }
    tell_removals(audit, &mut check, &removals, None).await?;
    for _ in 0..ROUNDS {
        if !blocks(audit, &mut check).await? && !check.has_suspects() {
            break;
        }
        let again = check.look_again(before);
        for ids in again.chunks(KILLS as usize) {
            tell(audit, &mut check, ids).await?;
        }
        tell_removals(audit, &mut check, &removals, Some(&again.into_iter().collect())).await?;
        // Whoever changed a kill meanwhile had it sealed by a block that came after, or it waits for one.
        if !check.has_suspects() || !has_newer(audit, &check).await? {
            break;
        }
    }
    Ok(check.finish(&removals.iter().map(removed).collect::<Vec<_>>()))
}

/// Reads the blocks that the check does not have yet; true if there were any.
async fn blocks(audit: &Audit, check: &mut Check) -> Result<bool, AuditError> {
    let (mut after, mut any) = (check.last_block(), false);
    loop {
        let blocks = match audit.blocks(after, BLOCKS).await {
            Err(AuditError::Corrupt { .. }) => one_by_one(audit, check, &mut after).await?,
            blocks => blocks?,
        };
        let Some(last) = blocks.last() else { return Ok(any) };
        after = last.head.number;
        any = true;
        for block in &blocks {
            check.block(block);
        }
    }
}

/// The next block that can be read; those that cannot are told.
async fn one_by_one(audit: &Audit, check: &mut Check, after: &mut i64) -> Result<Vec<crate::chain::Block>, AuditError> {
    loop {
        match audit.blocks(*after, 1).await {
            Err(AuditError::Corrupt { why, .. }) => {
                check.found(Wrong::Chain, format_args!("a block after block {after} cannot be read: {why}"));
                *after += 1;
            }
            read => return read,
        }
    }
}

async fn has_newer(audit: &Audit, check: &Check) -> Result<bool, AuditError> {
    Ok(audit.last_head().await?.is_some_and(|last| last.head.number > check.last_block()))
}

/// Reads every kill.
async fn kills(audit: &Audit, check: &mut Check) -> Result<(), AuditError> {
    let mut after = None;
    loop {
        let ids = audit.ids(after, KILLS).await?;
        index(audit, check, after, ids.last().copied()).await?;
        let Some(last) = ids.last() else { return Ok(()) };
        after = Some(*last);
        tell(audit, check, &ids).await?;
    }
}

/// Holds the index against the log.
async fn index(audit: &Audit, check: &mut Check, after: Option<Uuid>, upto: Option<Uuid>) -> Result<(), AuditError> {
    for id in audit.misindexed(after, upto).await? {
        check.misindexed(id);
    }
    Ok(())
}

async fn tell(audit: &Audit, check: &mut Check, ids: &[Uuid]) -> Result<(), AuditError> {
    let now = Clock::system().now();
    for standing in audit.standing(ids).await? {
        match standing {
            Standing::Kill { line, waits, unindexed_since, is_held } => {
                if unindexed_since.is_some_and(|since| (now - since).abs() > UNINDEXED) {
                    check.misindexed(line.id);
                }
                check.entry(&Found {
                    id: line.id,
                    hash: line.hash(),
                    events_at: line.events_at(),
                    waits: if is_held && !waits { Waits::Held } else { waits_if(waits) },
                });
            }
            Standing::Unreadable(id) => check.unreadable(id),
        }
    }
    Ok(())
}

/// Tells the removals, or those of them that are to be looked at again.
async fn tell_removals(
    audit: &Audit,
    check: &mut Check,
    removals: &[Removal],
    only: Option<&BTreeSet<Uuid>>,
) -> Result<(), AuditError> {
    let removals: Vec<&Removal> =
        removals.iter().filter(|removal| only.is_none_or(|only| only.contains(&removal.id))).collect();
    let ids: Vec<Uuid> = removals.iter().map(|removal| removal.id).collect();
    let waiting = audit.waiting(&ids).await?;
    for removal in removals {
        let Leaf { id, hash } = removal.leaf();
        check.entry(&Found { id, hash, events_at: Vec::new(), waits: waits_if(waiting.contains(&id)) });
    }
    Ok(())
}

const fn waits_if(waits: bool) -> Waits {
    if waits { Waits::Yes } else { Waits::No }
}

/// A removal as the check takes it; one whose month cannot be read excuses nothing.
pub(super) fn removed(removal: &Removal) -> Removed {
    let Removal { id, month, kills, removed_at, removed_by, reason, .. } = removal;
    let day = Date::parse(month, format_description!("[year]-[month]-[day]")).unwrap_or(Date::MIN);
    let told = format!("the month {month} was removed at {removed_at} by {removed_by} with {kills} kills: {reason}");
    Removed { id: *id, month: day, kills: *kills, told }
}
