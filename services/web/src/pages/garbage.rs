//! The one page of numbers about garbage.

use askama::Template;
use axum::extract::State;

use super::{Page, page};
use crate::view::{self, text};
use crate::{Web, load};

#[derive(Template)]
#[template(path = "garbage.html")]
struct GarbagePage {
    kinds: Vec<view::Garbage>,
}

pub(super) async fn garbage(State(web): State<Web>) -> Page {
    page(&GarbagePage { kinds: load::garbage(&web).await? })
}
