//! How blocks are kept as rows of `blocks` and read from them, the same on either engine but for the words that each has
//! of its own.
//!
//! Postgres keeps entries as an array, SQLite as bytes.

use sqlx::{Database, Decode, FromRow, Postgres, Sqlite, Type, error::BoxDynError};
use time::OffsetDateTime;
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
        /// When it ended, where it is not in the index yet.
        unindexed_since: Option<OffsetDateTime>,
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
        leaves.push(line.leaf());
    }
    leaves.sort_unstable_by_key(|leaf| leaf.id);
    let absent = wanted.iter().filter(|id| leaves.binary_search_by_key(*id, |leaf| leaf.id).is_err());
    let absent = absent.map(|id| Leaf { id: *id, hash: chain::leaf(absence(*id).as_bytes()) });
    let absent: Vec<Leaf> = absent.collect();
    leaves.extend(absent);
    leaves.sort_unstable_by_key(|leaf| leaf.id);
    leaves
}

/// The line of a kill that was to be sealed and is not there, or cannot be read.
fn absence(id: Uuid) -> String {
    format!(r#"{{"absent":{{"id":"{id}"}}}}"#)
}

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
        let Self { head, entries: Ids(entries), leaves } = self;
        let (hashes, rest) = leaves.as_chunks::<32>();
        if hashes.len() != entries.len() || !rest.is_empty() {
            return Err(damaged(head.number, "leaves"));
        }
        let members = entries.into_iter().zip(hashes);
        let leaves = members.map(|(id, hash)| Leaf { id, hash: *hash }).collect();
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

/// The columns of a signed head, but for how many entries there are.
macro_rules! head_columns {
    () => {
        "number, sealed_at, total, listing, root, previous, public_key, signature"
    };
}
pub(super) use head_columns;

/// The functions for what was sealed and what waits for it, for connections of a kind. `$count` is how many entries a block
/// has, `$entries` makes a value of them. `$among` is the condition that a column is one of the
/// ids in `$1`, which `$ids` makes of them, and `$waits_for` the statement for how long the first `$1` have waited.
macro_rules! seal_functions {
    (
        $Connection:ty, count: $count:literal, entries: $entries:path, among: $among:literal,
        ids: $ids:path, waits_for: $waits_for:expr
    ) => {
        use std::collections::BTreeSet;

        use time::OffsetDateTime;
        use uuid::Uuid;

        use super::read::among;
        use crate::{
            audit::{
                Line,
                sealed::{BlockRow, HeadRow, hashes, head_columns},
                timestamp::Timestamp,
            },
            chain::{Block, Checkpoint},
        };

        async fn add_block(
            connection: &mut $Connection,
            Block { head, signature, leaves }: &Block,
        ) -> sqlx::Result<()> {
            sqlx::query(ADD_BLOCK)
                .bind(head.number)
                .bind(Timestamp(head.sealed_at))
                .bind(head.total)
                .bind(head.listing.as_slice())
                .bind(head.root.as_slice())
                .bind(head.previous.as_slice())
                .bind(head.public_key.as_slice())
                .bind(signature.as_slice())
                .bind($entries(leaves))
                .bind(hashes(leaves))
                .execute(connection)
                .await?;
            Ok(())
        }

        const ADD_BLOCK: &str = concat!(
            "INSERT INTO blocks (",
            head_columns!(),
            ", entries, leaves) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        );

        pub(in crate::audit) async fn blocks(
            connection: &mut $Connection,
            after: i64,
            limit: u32,
        ) -> sqlx::Result<Vec<Block>> {
            let rows: Vec<BlockRow> =
                sqlx::query_as(BLOCKS).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
            rows.into_iter().map(BlockRow::read).collect()
        }

        const BLOCKS: &str = concat!(
            "SELECT ",
            head_columns!(),
            ", ",
            $count,
            " AS count, entries, leaves \
             FROM blocks WHERE number > $1 ORDER BY number LIMIT $2"
        );

        pub(in crate::audit) async fn heads(
            connection: &mut $Connection,
            after: i64,
            limit: u32,
        ) -> sqlx::Result<Vec<Checkpoint>> {
            let rows: Vec<HeadRow> =
                sqlx::query_as(HEADS).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
            rows.into_iter().map(HeadRow::read).collect()
        }

        const HEADS: &str = concat!(
            "SELECT ",
            head_columns!(),
            ", ",
            $count,
            " AS count FROM blocks WHERE number > $1 ORDER BY number LIMIT $2"
        );

        /// The last block's head.
        pub(in crate::audit) async fn last_head(connection: &mut $Connection) -> sqlx::Result<Option<Checkpoint>> {
            let row: Option<HeadRow> = sqlx::query_as(LAST).fetch_optional(connection).await?;
            row.map(HeadRow::read).transpose()
        }

        const LAST: &str =
            concat!("SELECT ", head_columns!(), ", ", $count, " AS count FROM blocks ORDER BY number DESC LIMIT 1");

        /// The number of the last block before the first one that was sealed at that time or later.
        pub(in crate::audit) async fn block_before(
            connection: &mut $Connection,
            at: OffsetDateTime,
        ) -> sqlx::Result<i64> {
            sqlx::query_scalar(BLOCK_BEFORE).bind(Timestamp(at)).fetch_one(connection).await
        }

        const BLOCK_BEFORE: &str = "SELECT coalesce(min(number) - 1, (SELECT coalesce(max(number), 0) FROM blocks)) \
             FROM blocks WHERE sealed_at >= $1";

        /// For how many seconds the oldest of up to `most` entries that are to be sealed next has waited; `None` if none
        /// waits.
        pub(in crate::audit) async fn waits_for(connection: &mut $Connection, most: u32) -> sqlx::Result<Option<i64>> {
            sqlx::query_scalar($waits_for).bind(i64::from(most)).fetch_one(connection).await
        }

        /// Up to `most` of what is to be sealed next.
        pub(in crate::audit) async fn next_to_seal(connection: &mut $Connection, most: u32) -> sqlx::Result<Vec<Uuid>> {
            sqlx::query_scalar(NEXT).bind(i64::from(most)).fetch_all(connection).await
        }

        const NEXT: &str = "SELECT entry_id FROM unsealed ORDER BY entry_id LIMIT $1";

        /// The lines of these kills, but of those that cannot be returned or read.
        async fn lines_of(
            connection: &mut $Connection,
            kills: &[Uuid],
            unreturned: &BTreeSet<Uuid>,
        ) -> sqlx::Result<Vec<Line>> {
            let returned: Vec<Uuid> = kills.iter().filter(|id| !unreturned.contains(*id)).copied().collect();
            let found = among(connection, &returned).await?;
            Ok(found.into_iter().filter_map(|(_, folded)| Some(folded.ok()?.line())).collect())
        }

        /// Those of them that are to be sealed.
        pub(in crate::audit) async fn waiting(connection: &mut $Connection, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
            sqlx::query_scalar(WAITING).bind($ids(ids)).fetch_all(connection).await
        }

        const WAITING: &str = concat!("SELECT entry_id FROM unsealed WHERE entry_id ", $among);
    };
}
pub(super) use seal_functions;
