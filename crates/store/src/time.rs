//! A moment as PostgreSQL keeps it and JSON shows it.

use std::fmt;

use jiff::Timestamp;
use sqlx::postgres::{PgTypeInfo, PgValueRef};
use sqlx::{Decode, Postgres, Type};

/// A `timestamptz`. Exists because `jiff::Timestamp` cannot be decoded by sqlx itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Time(pub Timestamp);

impl Time {
    /// Milliseconds from `earlier` to this; 0 when it is not later.
    pub fn since_ms(self, earlier: Time) -> u64 {
        u64::try_from(self.0.as_millisecond() - earlier.0.as_millisecond()).unwrap_or(0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        <jiff_sqlx::Timestamp as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Time {
    fn decode(value: PgValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        Ok(Time(<jiff_sqlx::Timestamp as Decode<'r, Postgres>>::decode(value)?.to_jiff()))
    }
}
