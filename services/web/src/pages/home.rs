//! All applications.

use askama::Template;
use axum::extract::State;

use super::{Page, page};
use crate::view::{self, text};
use crate::{Web, load};

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    apps: Vec<view::App>,
}

pub(super) async fn home(State(web): State<Web>) -> Page {
    page(&Home { apps: load::apps(&web).await? })
}
