//! A token, without its secret.

use domain::scope::Scope;
use store::Time;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Token {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    #[schema(value_type = String)]
    pub(crate) scope: Scope,
    /// The application that it is for; nothing when it is for all.
    pub(crate) app: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Time,
    /// The name of the token that made it.
    pub(crate) created_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) expires_at: Option<Time>,
    pub(crate) is_expired: bool,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) last_used_at: Option<Time>,
}

impl From<store::token::Listed> for Token {
    fn from(row: store::token::Listed) -> Token {
        Token {
            id: row.token.id,
            name: row.token.name,
            scope: row.token.scope.0,
            app: row.app,
            created_at: row.created_at,
            created_by: row.created_by,
            expires_at: row.expires_at,
            is_expired: row.is_expired,
            last_used_at: row.last_used_at,
        }
    }
}

impl Token {
    /// The one made at install is replaced in its Secret.
    pub(crate) fn may_be_revoked(&self) -> bool {
        self.name != store::token::BOOTSTRAP
    }
}
