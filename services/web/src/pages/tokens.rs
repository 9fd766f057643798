//! Tokens: the list, the form that makes one, and the one look at its secret.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use domain::scope::Scope;
use host::Problem;

use super::{Page, Unshown, page};
use crate::auth::Caller;
use crate::create::FieldError;
use crate::tokens::{self, CreatedToken, Outcome, Revoked, WantedToken};
use crate::view::{self, text};
use crate::{Web, load};

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    tokens: Vec<view::Token>,
    /// The names of those that a token can be for.
    apps: Vec<String>,
    scopes: &'static [Scope],
    filled: WantedToken,
    errors: Vec<FieldError>,
    created: Option<CreatedToken>,
}

impl TokensPage {
    async fn load(web: &Web) -> Result<TokensPage, Unshown> {
        let apps = store::app::list(&web.db).await?;
        Ok(TokensPage {
            tokens: load::tokens(web).await?,
            apps: apps.into_iter().map(|app| app.name).collect(),
            scopes: Scope::ALL,
            filled: WantedToken { scope: Scope::Push.to_string(), ..WantedToken::default() },
            errors: Vec::new(),
            created: None,
        })
    }

    fn error(&self, field: &str) -> Option<&str> {
        self.errors.iter().find(|error| error.field == field).map(|error| error.detail.as_str())
    }
}

pub(super) async fn tokens(State(web): State<Web>) -> Page {
    page(&TokensPage::load(&web).await?)
}

pub(super) async fn create(
    State(web): State<Web>,
    Extension(caller): Extension<Caller>,
    Form(filled): Form<WantedToken>,
) -> Result<Response, Unshown> {
    let again = |errors| (filled.clone(), errors, None);
    let (status, (filled, errors, created)) = match tokens::create(&web, &caller, &filled).await? {
        Outcome::Created(created) => {
            let empty = WantedToken { scope: Scope::Push.to_string(), ..WantedToken::default() };
            (StatusCode::CREATED, (empty, Vec::new(), Some(created)))
        }
        Outcome::Wrong(errors) => (StatusCode::UNPROCESSABLE_ENTITY, again(errors)),
        Outcome::Taken => {
            let detail = "there is a token of this name: revoke it first".to_owned();
            (StatusCode::CONFLICT, again(vec![FieldError { field: "name", detail }]))
        }
    };
    let all = TokensPage::load(&web).await?;
    Ok((status, page(&TokensPage { filled, errors, created, ..all })?).into_response())
}

pub(super) async fn revoke(State(web): State<Web>, Path(id): Path<String>) -> Result<Response, Unshown> {
    match tokens::revoke(&web, &id).await? {
        // Whoever sends the form twice gets what they want.
        Revoked::Gone | Revoked::Unknown => Ok(Redirect::to("/tokens").into_response()),
        Revoked::Kept => {
            let detail = "This token was made at install: change it in the Secret slipway-admin.";
            Err(Problem::client(StatusCode::CONFLICT, detail).into())
        }
    }
}
