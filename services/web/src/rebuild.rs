//! Building a commit again because somebody asks for it, by the API or the form.

use axum::http::StatusCode;
use domain::job::JobKind;
use host::Problem;
use host::trace::parent::Parent;
use store::app::App;
use store::build::Build;
use store::build::rebuild::{self, Rebuilt};

use crate::auth::Caller;
use crate::{Web, load};

/// How it is to be built.
#[derive(Clone, Copy, Debug, serde::Deserialize, utoipa::IntoParams)]
pub(crate) struct Wish {
    /// Every step anew, and no image of an earlier build.
    #[serde(default)]
    no_cache: bool,
}

/// The new build, queued; its trace goes on from the request's. What cannot be built again is a conflict that says what to
/// do instead.
pub(crate) async fn rebuild(
    web: &Web,
    Caller(token): &Caller,
    app: &App,
    number: &str,
    wish: Wish,
    trace_parent: Option<Parent>,
) -> Result<Build, Problem> {
    let build = load::build(web, app, number).await?;
    let mut tx = web.db.begin().await?;
    let rebuilt = rebuild::ask(&mut tx, &build, &token.name, wish.no_cache).await?;
    if let (Rebuilt::Queued(new), Some(parent)) = (&rebuilt, trace_parent) {
        store::traced::go_on(&mut tx, new.id, &parent.to_string()).await?;
    }
    tx.commit().await?;
    let (number, branch) = (build.number, &build.branch);
    let refused = match rebuilt {
        Rebuilt::Queued(new) => {
            store::worker::wake(&web.db, &[JobKind::Build, JobKind::Report]).await;
            tracing::info!(app.name, build.number, by = token.name, new.number, "a commit is built again");
            return Ok(*new);
        }
        Rebuilt::UnderWay(newest) => {
            format!("#{newest} of {branch} is under way: wait for its end, or cancel it first")
        }
        Rebuilt::Older { newest } => format!(
            "#{number} is not what {branch} is now: build #{newest} again, or push the commit that is to run"
        ),
        Rebuilt::Moved => {
            format!("{branch} is gone or no longer what #{number} built: push the commit that is to run")
        }
    };
    Err(Problem::client(StatusCode::CONFLICT, refused))
}
