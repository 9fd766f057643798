//! Why an environment has no pod that answers, as PostgreSQL knows it. Read only for pages, at most once a second each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use domain::state::{BuildState, ReleaseState};
use http::StatusCode;
use sqlx::PgPool;
use store::build::Build;
use store::release::Release;
use tokio::time::Instant;
use url::Url;

use crate::page::Page;

const FRESH: Duration = Duration::from_secs(1);
/// Anybody can ask for any host.
const CACHE_MAX: usize = 1000;
/// Builds that are looked through for the environment's newest.
const BUILDS: i64 = 50;

pub(crate) struct Situations {
    db: PgPool,
    base_url: String,
    cache: Mutex<HashMap<String, (Instant, Arc<Situation>)>>,
}

/// What is known of the environment with a certain label.
#[derive(Debug)]
enum Situation {
    Unknown,
    /// The application exists, and the branch was not built yet.
    Known {
        app: String,
        env: String,
    },
    Built {
        app: String,
        env: String,
        build: Box<Build>,
        release: Option<Box<Release>>,
        is_live: bool,
    },
    /// The database did not say.
    Unclear,
}

impl Situations {
    pub(crate) fn new(db: PgPool, base_url: &Url) -> Situations {
        let base_url = base_url.as_str().trim_end_matches('/').to_owned();
        Situations { db, base_url, cache: Mutex::default() }
    }

    /// The page for an environment that nothing can be forwarded to.
    pub(crate) async fn page(&self, label: &str, host: &str) -> Page {
        page(&*self.look(label).await, host, &self.base_url)
    }

    async fn look(&self, label: &str) -> Arc<Situation> {
        if let Some((at, situation)) = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(label)
            && at.elapsed() < FRESH
        {
            return situation.clone();
        }
        let situation = Arc::new(load(&self.db, label).await.unwrap_or_else(|error| {
            tracing::warn!(label, "looking up an environment: {error:#}");
            Situation::Unclear
        }));
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|_, (at, _)| at.elapsed() < FRESH);
        if cache.len() < CACHE_MAX {
            cache.insert(label.to_owned(), (Instant::now(), situation.clone()));
        }
        situation
    }
}

async fn load(db: &PgPool, label: &str) -> Result<Situation> {
    let environments = store::environment::all_named(db).await?;
    let environment = environments.into_iter().find(|it| domain::name::label(&it.name, &it.app) == label);
    // Before its first build has succeeded an environment is only a name.
    let (app, env) = match (&environment, label.split_once("--")) {
        (Some(known), _) => (known.app.clone(), known.name.clone()),
        (None, Some((env, app))) => (app.to_owned(), env.to_owned()),
        (None, None) => return Ok(Situation::Unknown),
    };
    let Some(row) = store::app::by_name(db, &app).await? else { return Ok(Situation::Unknown) };
    let builds = store::build::list(db, row.id, None, BUILDS).await?;
    let newest = builds.into_iter().find(|it| it.environment == env);
    let newest = match newest {
        Some(build) if environment.is_none() && !is_of_interest(db, &build).await? => None,
        newest => newest,
    };
    let Some(build) = newest else {
        let is_main = environment.is_some()
            || domain::name::environment(&row.default_branch, &row.default_branch) == env;
        return Ok(if is_main { Situation::Known { app, env } } else { Situation::Unknown });
    };
    let release = store::release::of_build(db, build.id).await?;
    let is_live = match &environment {
        Some(known) => store::release::live_of(db, known.id).await?.is_some(),
        None => false,
    };
    Ok(Situation::Built { app, env, build: Box::new(build), release: release.map(Box::new), is_live })
}

/// Of a build whose environment is not there: whether it is still to make it, or says why it could not. Any other one's
/// environment was removed.
async fn is_of_interest(db: &PgPool, build: &Build) -> Result<bool> {
    Ok(match build.state.0 {
        BuildState::Queued | BuildState::Running => true,
        BuildState::Failed => {
            store::branch::get(db, build.branch_id).await?.is_some_and(|branch| branch.commit.is_some())
        }
        BuildState::Succeeded | BuildState::Superseded | BuildState::Cancelled => false,
    })
}

fn page(situation: &Situation, host: &str, base_url: &str) -> Page {
    match situation {
        Situation::Unknown => Page::unknown(host),
        Situation::Unclear => {
            let text =
                "No pod of this environment answers, and the database that knows why does not answer either.";
            Page { is_passing: true, ..Page::new(StatusCode::SERVICE_UNAVAILABLE, "Not available", text) }
        }
        Situation::Known { app, env } => {
            let text = format!("Push to the repository of {app}; what is built then runs here.");
            let page = Page::new(StatusCode::NOT_FOUND, format!("{env} of {app} has no version yet"), text);
            Page { link: Some(format!("{base_url}/apps/{app}")), is_passing: true, ..page }
        }
        Situation::Built { app, env, build, release, is_live } => {
            let page = built(&format!("{env} of {app}"), build, release.as_deref(), *is_live);
            Page { link: Some(format!("{base_url}/apps/{app}/builds/{}", build.number)), ..page }
        }
    }
}

fn built(name: &str, build: &Build, release: Option<&Release>, is_live: bool) -> Page {
    let soon = |title: String, text: &str| Page {
        is_passing: true,
        ..Page::new(StatusCode::SERVICE_UNAVAILABLE, title, text)
    };
    if is_live {
        let title = format!("{name} does not answer");
        let text = "Its pod is not there or starts again. The page looks again by itself.";
        return Page { status: StatusCode::BAD_GATEWAY, ..soon(title, text) };
    }
    let number = build.number;
    match (build.state.0, release.map(|release| (release.state.0, release))) {
        (_, Some((ReleaseState::Failed, release))) => {
            Page::failed(format!("Version {} of {name} failed", release.version), release.reason.as_deref())
        }
        (_, Some((ReleaseState::Queued | ReleaseState::Rolling, release))) => {
            soon(format!("{name} is starting"), &format!("Version {} is being rolled out.", release.version))
        }
        (BuildState::Failed, _) => {
            Page::failed(format!("Build #{number} of {name} failed"), build.reason.as_deref())
        }
        (BuildState::Queued | BuildState::Running, _) => soon(
            format!("{name} is being built"),
            &format!("Build #{number} runs. The page looks again by itself."),
        ),
        (BuildState::Succeeded | BuildState::Superseded | BuildState::Cancelled, _) => {
            soon(format!("{name} is not running"), &format!("Build #{number} ended as {}.", build.state.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::reason::{Reason, ReasonCode};
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn build(state: BuildState, reason: Option<Reason>) -> Build {
        Build {
            id: Uuid::nil(),
            app_id: Uuid::nil(),
            branch_id: Uuid::nil(),
            number: 7,
            branch: "main".to_owned(),
            commit: "a".repeat(40),
            pusher: None,
            rebuild_of: None,
            environment: "main".to_owned(),
            no_cache: false,
            ttl_seconds: None,
            subject: None,
            author: None,
            state: store::Word(state),
            attempt: 1,
            reason: reason.map(sqlx::types::Json),
            superseded_by: None,
            cancelled_by: None,
            cancelled_at: None,
            digest: None,
            created_at: store::Time(Timestamp::UNIX_EPOCH),
            started_at: None,
            finished_at: None,
        }
    }

    fn release(state: ReleaseState, reason: Option<Reason>) -> Release {
        Release {
            id: Uuid::nil(),
            environment_id: Uuid::nil(),
            build_id: Uuid::nil(),
            version: 3,
            image: String::new(),
            port: 8080,
            health_path: "/".to_owned(),
            state: store::Word(state),
            manifests: None,
            reason: reason.map(sqlx::types::Json),
            created_at: store::Time(Timestamp::UNIX_EPOCH),
            started_at: None,
            finished_at: None,
        }
    }

    fn shown(build: Build, release: Option<Release>, is_live: bool) -> Page {
        let (app, env) = ("demo".to_owned(), "main".to_owned());
        let release = release.map(Box::new);
        page(&Situation::Built { app, env, build: Box::new(build), release, is_live }, "h", "http://s")
    }

    #[test]
    fn a_failure_says_why() {
        let reason = Reason::new(ReasonCode::StepFailed, "step 3 failed").with_lines(vec!["boom".to_owned()]);
        let page = shown(build(BuildState::Failed, Some(reason)), None, false);
        assert_eq!(page.title, "Build #7 of main of demo failed");
        assert!(page.text.starts_with("step 3 failed. "), "{}", page.text);
        assert_eq!(page.lines, ["boom"]);
        assert_eq!(page.link.as_deref(), Some("http://s/apps/demo/builds/7"));
        assert!(!page.is_passing);

        let reason = Reason::new(ReasonCode::CrashedOnStart, "exit code 1");
        let page = shown(
            build(BuildState::Succeeded, None),
            Some(release(ReleaseState::Failed, Some(reason))),
            false,
        );
        assert_eq!(page.title, "Version 3 of main of demo failed");
    }

    #[test]
    fn what_is_under_way_looks_again() {
        for (state, release) in [
            (BuildState::Queued, None),
            (BuildState::Running, None),
            (BuildState::Succeeded, Some(release(ReleaseState::Queued, None))),
            (BuildState::Succeeded, Some(release(ReleaseState::Rolling, None))),
        ] {
            let page = shown(build(state, None), release, false);
            assert!(page.is_passing && page.status == StatusCode::SERVICE_UNAVAILABLE, "{page:?}");
        }
    }

    #[test]
    fn live_without_a_pod_is_a_bad_gateway() {
        let failed = release(ReleaseState::Failed, None);
        let page = shown(build(BuildState::Succeeded, None), Some(failed), true);
        assert_eq!(page.status, StatusCode::BAD_GATEWAY);
        assert!(page.is_passing);
    }

    #[test]
    fn unknown_is_not_found() {
        assert_eq!(page(&Situation::Unknown, "h", "http://s").status, StatusCode::NOT_FOUND);
    }

    async fn shown_at(db: &sqlx::PgPool, label: &str) -> StatusCode {
        page(&load(db, label).await.unwrap(), "h", "http://s").status
    }

    #[sqlx::test(migrator = "store::MIGRATOR")]
    async fn what_is_to_be_removed_is_unknown_at_once(db: sqlx::PgPool) {
        let mut conn = db.acquire().await.unwrap();
        let new = store::app::NewApp::pushed("demo", "main");
        let app = store::app::create(&mut conn, &new).await.unwrap().unwrap();
        let branch = store::branch::touch(&mut conn, app.id, "feature").await.unwrap();
        let build = store::push::record(&mut conn, &branch, &"a".repeat(40)).await.unwrap().unwrap();
        assert_eq!(
            shown_at(&db, "feature--demo").await,
            StatusCode::SERVICE_UNAVAILABLE,
            "it is being built"
        );
        let reason = Reason::new(ReasonCode::StepFailed, "step 3 failed");
        assert!(store::build::fail(&mut conn, build.id, &reason).await.unwrap());
        let new = store::environment::NewEnvironment {
            app_id: app.id,
            branch_id: branch.id,
            name: "feature",
            namespace: "env-demo--feature",
            ttl_seconds: None,
        };
        let environment = store::environment::ensure(&mut conn, &new).await.unwrap();
        let failed = shown_at(&db, "feature--demo").await;
        assert!(failed != StatusCode::NOT_FOUND, "it says why");
        store::branch::delete(&mut conn, branch.id).await.unwrap();
        assert!(store::environment::ask_removal(&mut conn, environment.id).await.unwrap());
        assert_eq!(shown_at(&db, "feature--demo").await, StatusCode::NOT_FOUND);
        assert_eq!(shown_at(&db, "main--demo").await, StatusCode::NOT_FOUND, "nothing was pushed to it");
    }
}
