//! The form that creates an application, and what to do next: the hook, whose secret is shown once, or the first push.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::forge_kind::ForgeKind;

use super::{Page, Unshown, page};
use crate::create::{self, FieldError, NewHook, Wanted};
use crate::{Web, load, view};

/// The form as it was filled in. Everything is text, so that what is wrong can be shown again.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Filled {
    name: String,
    forge: String,
    repo_url: String,
    forge_user: String,
    forge_token: String,
    default_branch: String,
    dockerfile: String,
    context: String,
    target: String,
    port: String,
    health_path: String,
}

impl From<&Filled> for Wanted {
    fn from(filled: &Filled) -> Wanted {
        let port = filled.port.trim();
        Wanted {
            name: filled.name.trim().to_owned(),
            forge: Some(filled.forge.clone()),
            repo_url: Some(filled.repo_url.clone()),
            forge_user: Some(filled.forge_user.clone()),
            forge_token: Some(filled.forge_token.clone()),
            api_url: None,
            default_branch: Some(filled.default_branch.clone()),
            dockerfile: Some(filled.dockerfile.clone()),
            context: Some(filled.context.clone()),
            target: Some(filled.target.clone()),
            // What is no number is no port either.
            port: (!port.is_empty()).then(|| port.parse().unwrap_or(-1)),
            health_path: Some(filled.health_path.clone()),
        }
    }
}

#[derive(Template)]
#[template(path = "new_app.html")]
struct FormPage {
    forges: &'static [ForgeKind],
    filled: Filled,
    errors: Vec<FieldError>,
}

impl FormPage {
    fn new(filled: Filled, errors: Vec<FieldError>) -> FormPage {
        FormPage { forges: ForgeKind::ALL, filled, errors }
    }

    fn error(&self, field: &str) -> Option<&str> {
        self.errors.iter().find(|error| error.field == field).map(|error| error.detail.as_str())
    }
}

pub(super) async fn form() -> Page {
    page(&FormPage::new(Filled::default(), Vec::new()))
}

#[derive(Template)]
#[template(path = "created.html")]
struct CreatedPage {
    app: view::App,
    hook: Option<NewHook>,
}

pub(super) async fn send(State(web): State<Web>, Form(filled): Form<Filled>) -> Result<Response, Unshown> {
    let wanted = Wanted::from(&filled);
    let new = match create::check(&wanted) {
        Ok(new) => new,
        Err(errors) => return again(StatusCode::UNPROCESSABLE_ENTITY, filled, errors),
    };
    match create::create(&web, &new).await? {
        Some((app, hook)) => {
            let app = load::app_view(&web, &app).await?;
            let created = page(&CreatedPage { app, hook })?;
            Ok((StatusCode::CREATED, created).into_response())
        }
        None => {
            let detail = "there is an application of this name already".to_owned();
            again(StatusCode::CONFLICT, filled, vec![FieldError { field: "name", detail }])
        }
    }
}

fn again(status: StatusCode, filled: Filled, errors: Vec<FieldError>) -> Result<Response, Unshown> {
    Ok((status, page(&FormPage::new(filled, errors))?).into_response())
}
