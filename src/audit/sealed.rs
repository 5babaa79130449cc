//! How rows of `blocks` read as blocks, on either engine.
//!
//! Postgres keeps entries and versions as arrays, SQLite as bytes and JSON.

use sqlx::{Database, Decode, FromRow, Postgres, Sqlite, Type, error::BoxDynError, types::Json};
use uuid::Uuid;

use super::{line::Line, timestamp::Timestamp};
use crate::chain::{self, Block, Checkpoint, Head, Leaf};
use crate::domain::KillId;

/// What came of an attempt to seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// There is nothing to seal.
    Nothing,
    /// Somebody else was at it: what there is to seal may not be what it was.
    Elsewhere,
    /// The block of that number was added; `entries` counts kills and removals, each once.
    Sealed { block: i64, entries: i64 },
}

/// A kill as it stands, for whoever checks it.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    Kill {
        line: Box<Line>,
        /// Whether it is to be sealed, or nothing is.
        waits: bool,
        /// Whether somebody still works on it.
        is_held: bool,
    },
    /// It is there and does not read as a kill.
    Unreadable(KillId),
}

/// How many lines are hashed before others get their turn on the thread.
const AT_ONCE: usize = 64;

/// The leaves of these kills, and of those of `wanted` that are not there, or cannot be read: their absence is sealed,
/// and so found.
pub(super) async fn leaves(lines: Vec<Line>, others: Vec<Leaf>, wanted: &[Uuid]) -> Vec<Leaf> {
    let mut leaves = others;
    for (at, line) in lines.iter().enumerate() {
        if at % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        leaves.extend(line.leaves());
    }
    leaves.sort_unstable_by_key(|leaf| leaf.id);
    let absent = wanted.iter().filter(|id| leaves.binary_search_by_key(*id, |leaf| leaf.id).is_err());
    let absent = absent.map(|id| Leaf { id: *id, version: 0, hash: chain::leaf(absence(*id).as_bytes()) });
    let absent: Vec<Leaf> = absent.collect();
    leaves.extend(absent);
    leaves.sort_unstable_by_key(|leaf| (leaf.id, leaf.version));
    leaves
}

/// The line of a kill that was to be sealed and is not there, or cannot be read.
fn absence(id: Uuid) -> String {
    format!(r#"{{"absent":{{"id":"{id}"}}}}"#)
}

/// The columns of a signed head, but for how many entries there are.
macro_rules! head_columns {
    () => {
        "number, sealed_at, total, listing, root, previous, public_key, signature"
    };
}
pub(super) use head_columns;

/// Adds a block; the same columns in the same order.
macro_rules! add_block {
    () => {
        concat!(
            "INSERT INTO blocks (",
            head_columns!(),
            ", entries, versions, leaves) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        )
    };
}
pub(super) use add_block;

/// All leaves, one after the other.
pub(super) fn hashes(leaves: &[Leaf]) -> Vec<u8> {
    leaves.iter().flat_map(|leaf| leaf.hash).collect()
}

/// A block is sealed on top of none that was not signed: what is chained to that proves nothing.
pub(super) fn is_sound(last: Option<&Checkpoint>) -> sqlx::Result<()> {
    match last {
        Some(last) if !last.is_signed() => Err(sqlx::Error::ColumnDecode {
            index: format!("signature of block {}", last.head.number),
            source: "it is not that of the key it names".into(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// A key that does not sign is no fault of the database, but there is nobody else to tell it.
pub(super) fn unsigned(error: chain::KeyError) -> sqlx::Error {
    sqlx::Error::Encode(error.into())
}

#[derive(FromRow)]
pub(super) struct HeadRow {
    number: i64,
    sealed_at: Timestamp,
    count: i64,
    total: i64,
    listing: Vec<u8>,
    root: Vec<u8>,
    previous: Vec<u8>,
    public_key: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(FromRow)]
pub(super) struct BlockRow {
    #[sqlx(flatten)]
    head: HeadRow,
    entries: Ids,
    versions: Versions,
    leaves: Vec<u8>,
}

impl HeadRow {
    pub(super) fn read(self) -> sqlx::Result<Checkpoint> {
        let head = Head {
            number: self.number,
            sealed_at: self.sealed_at.0,
            entries: self.count,
            total: self.total,
            listing: exactly(self.number, "listing", self.listing)?,
            root: exactly(self.number, "root", self.root)?,
            previous: exactly(self.number, "previous", self.previous)?,
            public_key: exactly(self.number, "public_key", self.public_key)?,
        };
        Ok(Checkpoint { head, signature: exactly(self.number, "signature", self.signature)? })
    }
}

impl BlockRow {
    pub(super) fn read(self) -> sqlx::Result<Block> {
        let Self { head, entries: Ids(entries), versions: Versions(versions), leaves } = self;
        let (hashes, rest) = leaves.as_chunks::<32>();
        if hashes.len() != entries.len() || versions.len() != entries.len() || !rest.is_empty() {
            return Err(damaged(head.number, "leaves"));
        }
        let members = entries.into_iter().zip(versions).zip(hashes);
        let leaves = members.map(|((id, version), hash)| Leaf { id, version, hash: *hash }).collect();
        let Checkpoint { head, signature } = head.read()?;
        Ok(Block { head, signature, leaves })
    }
}

fn exactly<const N: usize>(block: i64, column: &str, bytes: Vec<u8>) -> sqlx::Result<[u8; N]> {
    bytes.try_into().map_err(|_| damaged(block, column))
}

fn damaged(block: i64, column: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: format!("{column} of block {block}"), source: "it has another length".into() }
}

/// Ids, as each engine keeps a list of them.
struct Ids(Vec<Uuid>);

/// Whole numbers, as each engine keeps a list of them.
struct Versions(Vec<i32>);

impl Type<Postgres> for Ids {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <Vec<Uuid> as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Ids {
    fn decode(value: <Postgres as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Decode::<Postgres>::decode(value).map(Self)
    }
}

impl Type<Sqlite> for Ids {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <Vec<u8> as Type<Sqlite>>::type_info()
    }
}

impl<'r> Decode<'r, Sqlite> for Ids {
    fn decode(value: <Sqlite as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <&[u8] as Decode<Sqlite>>::decode(value)?;
        let (ids, []) = bytes.as_chunks::<16>() else { return Err("not a list of ids".into()) };
        Ok(Self(ids.iter().map(|id| Uuid::from_bytes(*id)).collect()))
    }
}

impl Type<Postgres> for Versions {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <Vec<i32> as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Versions {
    fn decode(value: <Postgres as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Decode::<Postgres>::decode(value).map(Self)
    }
}

impl Type<Sqlite> for Versions {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <Json<Vec<i32>> as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &<Sqlite as Database>::TypeInfo) -> bool {
        <Json<Vec<i32>> as Type<Sqlite>>::compatible(ty)
    }
}

impl<'r> Decode<'r, Sqlite> for Versions {
    fn decode(value: <Sqlite as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        <Json<Vec<i32>> as Decode<Sqlite>>::decode(value).map(|json| Self(json.0))
    }
}
