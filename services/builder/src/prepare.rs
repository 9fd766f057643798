//! From a fetched commit to what BuildKit gets: the plan, the context and its parts, the Dockerfile as it is sent.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use domain::reason::{Reason, ReasonCode};
use gitrepo::{GitError, Snapshot};
use plan::{Plan, Unplannable};
use store::app::App;
use store::setting::Settings;

use crate::input::{Given, Input};
use crate::recent;
use crate::source::Context;
use crate::times;

/// Reads and hashes: off the runtime.
pub(crate) async fn prepare(
    snapshot: Snapshot,
    app: &App,
    settings: &Settings,
    mirror: PathBuf,
) -> Result<(Plan, Input), Reason> {
    let (args, hashes) = (settings.args.clone(), settings.hashes.clone());
    let (dockerfile, folder, target) = (app.dockerfile.clone(), app.context.clone(), app.target.clone());
    let work = move || {
        let plan = plan(&snapshot, &dockerfile, &folder)?;
        let mut context = Context::new(snapshot, &plan.context, &plan.ignore);
        let mut times = times::load(&mirror);
        if context.date(&mut times, now_ns()) {
            times::save(&mirror, &times);
        }
        let given = Given { args, target, secret_keys: &hashes };
        let (input, recent) = Input::new(context, &plan, given, &recent::load(&mirror));
        if !recent.is_empty() {
            recent::save(&mirror, &recent);
        }
        Ok((plan, input))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Reason::new(ReasonCode::Internal, format!("planning the build: {error}")))?
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn plan(snapshot: &Snapshot, dockerfile: &str, context: &str) -> Result<Plan, Reason> {
    let read = |path: &str| snapshot.file(path).map_err(|error| Reason::from(&GitError::Other(error)));
    let located = plan::locate(snapshot.tree(), dockerfile, context).map_err(Reason::from)?;
    let dockerfile = read(&located.dockerfile)?;
    let dockerignore = located.dockerignore.as_deref().map(read).transpose()?;
    plan::plan(&located, &dockerfile, dockerignore.as_deref()).map_err(|error: Unplannable| error.into())
}
