//! A commit's way into the application's mirror: as a pack from our own receiver where that has one, else by git.

use std::path::Path;
use std::time::Duration;

use domain::commit::Commit;
use domain::reason::{Reason, ReasonCode};
use gitrepo::{Credentials, Remote, Snapshot};
use reqwest::StatusCode;
use store::app::App;
use store::queue::Job;

use crate::Builder;

/// The user name that the receiver expects beside a lease.
const BUILDER: &str = "build";
/// A pack is small and made in memory; what takes longer is left to git.
const PACK_TIMEOUT: Duration = Duration::from_secs(10);
const PACK_MAX: u64 = 64 << 20;

pub(crate) async fn fetch(
    builder: &Builder,
    app: &App,
    job: &Job,
    mirror: &Path,
    commit: &Commit,
    branch: &str,
) -> Result<Snapshot, Reason> {
    let remote = remote(builder, app, job)?;
    let pack = match &app.forge {
        Some(_) => None,
        None => pack(builder, &remote, job, mirror, commit).await,
    };
    gitrepo::fetch(mirror, &remote, commit, branch, pack).await.map_err(|error| Reason::from(&error))
}

/// The application's forge, or our own receiver, which knows a builder by the lease it holds.
fn remote(builder: &Builder, app: &App, job: &Job) -> Result<Remote, Reason> {
    let remote = match &app.forge {
        Some(forge) => {
            let login = forge.token.as_deref().map(|token| Credentials::new(forge.user.as_deref(), token));
            Remote::new(&forge.repo_url, login)
        }
        None => {
            let url = format!("{}/{}.git", builder.git_url.as_str().trim_end_matches('/'), app.name);
            Remote::new(&url, Some(Credentials::new(Some(BUILDER), &job.lease.to_string())))
        }
    };
    remote.map_err(|error| Reason::new(ReasonCode::RepositoryRefused, error.to_string()))
}

/// What the mirror misses of the commit. Whatever goes wrong here, git goes another way.
async fn pack(
    builder: &Builder,
    remote: &Remote,
    job: &Job,
    mirror: &Path,
    commit: &Commit,
) -> Option<Vec<u8>> {
    let have = gitrepo::kept(mirror).await.ok()?;
    if have.is_empty() || have.contains(commit) {
        return None;
    }
    let have = have.iter().map(Commit::as_str).collect::<Vec<_>>().join(",");
    let url = format!("{}/pack?want={commit}&have={have}", remote.url());
    let asked = async {
        let request = builder.http.get(url).basic_auth(BUILDER, Some(job.lease)).timeout(PACK_TIMEOUT);
        let response = request.send().await?.error_for_status()?;
        let fits = response.content_length().is_some_and(|length| length <= PACK_MAX);
        let is_pack = response.status() == StatusCode::OK && fits;
        anyhow::Ok(if is_pack { Some(response.bytes().await?.to_vec()) } else { None })
    };
    asked.await.unwrap_or_else(|error| {
        tracing::warn!("asking the receiver for a pack: {error:#}");
        None
    })
}
