//! All applications that the caller may see.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use domain::scope::Scope;

use super::{Page, page};
use crate::auth::Caller;
use crate::view::{self, text};
use crate::{Web, load};

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    apps: Vec<view::App>,
    may_create: bool,
    is_admin: bool,
}

pub(super) async fn home(State(web): State<Web>, Extension(caller): Extension<Caller>) -> Page {
    page(&Home {
        apps: load::apps(&web, &caller).await?,
        may_create: caller.0.allows(None, Scope::Push),
        is_admin: caller.0.allows(None, Scope::Admin),
    })
}
