//! Times as each engine keeps them: `timestamptz` in Postgres, milliseconds since 1970 in SQLite.

use sqlx::{
    Database, Decode, Encode, Postgres, Sqlite, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgTypeInfo, PgValueFormat},
};
use time::{OffsetDateTime, macros::datetime};

use crate::clock::{from_unix_millis, unix_millis};

/// A time in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp(pub(super) OffsetDateTime);

/// The time as every engine can keep it.
pub(super) fn whole_millis(at: OffsetDateTime) -> OffsetDateTime {
    from_unix_millis(unix_millis(at))
}

impl Type<Postgres> for Timestamp {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        OffsetDateTime::array_type_info()
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buf: &mut <Postgres as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&whole_millis(self.0), buf)
    }
}

impl<'r> Decode<'r, Postgres> for Timestamp {
    /// A time that no calendar has, such as `infinity`, is an error; the driver's own reading panics there (sqlx 0.9.0).
    fn decode(value: <Postgres as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => {
                let micros = <i64 as Decode<Postgres>>::decode(value)?;
                let moment = POSTGRES_EPOCH.checked_add(time::Duration::microseconds(micros));
                moment.map(Self).ok_or_else(|| "a time that no calendar has".into())
            }
            PgValueFormat::Text => Decode::<Postgres>::decode(value).map(Self),
        }
    }
}

/// What Postgres counts microseconds from.
const POSTGRES_EPOCH: OffsetDateTime = datetime!(2000-01-01 0:00 UTC);

impl Type<Sqlite> for Timestamp {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &<Sqlite as Database>::TypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(ty)
    }
}

impl Encode<'_, Sqlite> for Timestamp {
    fn encode_by_ref(&self, buf: &mut <Sqlite as Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode_by_ref(&unix_millis(self.0), buf)
    }
}

impl<'r> Decode<'r, Sqlite> for Timestamp {
    fn decode(value: <Sqlite as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        <i64 as Decode<Sqlite>>::decode(value).map(|millis| Self(from_unix_millis(millis)))
    }
}
