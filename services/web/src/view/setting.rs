//! What an application's builds are given, as it is listed.

use store::Time;
use store::setting::Listed;

/// A build secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Secret {
    pub(crate) name: String,
    /// Nothing: for every environment that has none of its own.
    pub(crate) environment: Option<String>,
    /// The name of the token that set it.
    pub(crate) set_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) set_at: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Argument {
    pub(crate) name: String,
    /// Nothing: for every environment that has none of its own.
    pub(crate) environment: Option<String>,
    pub(crate) value: String,
    /// The name of the token that set it.
    pub(crate) set_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) set_at: Time,
}

impl From<Listed> for Secret {
    fn from(row: Listed) -> Secret {
        Secret { name: row.name, environment: row.environment, set_by: row.set_by, set_at: row.set_at }
    }
}

impl From<Listed> for Argument {
    fn from(row: Listed) -> Argument {
        Argument {
            name: row.name,
            environment: row.environment,
            value: row.value.unwrap_or_default(),
            set_by: row.set_by,
            set_at: row.set_at,
        }
    }
}
