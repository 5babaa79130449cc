//! How rows of `blocks` read as blocks, on either engine.
//!
//! Postgres keeps entries and versions as arrays, SQLite as bytes and JSON.

use sqlx::{Database, Decode, FromRow, Postgres, Sqlite, Type, error::BoxDynError, types::Json};
use uuid::Uuid;

use super::moment::Moment;
use crate::seal::{Block, Checkpoint, Head, Leaf};

/// The columns of a signed head, but for how many entries there are.
macro_rules! head_columns {
    () => {
        "number, sealed_at, total, listing, root, previous, public_key, signature"
    };
}
pub(super) use head_columns;

#[derive(FromRow)]
pub(super) struct HeadRow {
    number: i64,
    sealed_at: Moment,
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
