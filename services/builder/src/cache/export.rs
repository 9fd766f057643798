//! One export: BuildKit is asked for the same build again, of which it has every step, and pushes what the steps made.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use buildkit::bounded::{self, Receiver};
use buildkit::progress::Event;
use buildkit::session::{self, Services};
use buildkit::solve::{self, CacheMode, Push, SolveRequest};
use buildkit::{Names, SecretValues};
use redact::Redactor;
use store::cache::{self, Exported, Turn};
use uuid::Uuid;

use crate::Builder;
use crate::input::Input;
use crate::make;

/// The one tag in an application's repository that moves.
const TAG: &str = "cache";
/// At most one export of an application in this time, by whichever builder.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// What steps tell meanwhile is dropped at once.
const EVENTS_ROOM: u32 = 1 << 20;

/// A build whose cache is to be exported.
pub(super) struct Wanted {
    pub(super) app_id: Uuid,
    pub(super) app: String,
    /// The BuildKit that has it.
    pub(super) daemon: String,
    pub(super) input: Input,
    pub(super) key: Vec<u8>,
    /// It used no cache: what it made is new, even from a known input.
    pub(super) is_anew: bool,
    /// For a step that BuildKit does not have any more: without them it would make something else.
    pub(super) secrets: SecretValues,
    pub(super) redactor: Redactor,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// The cache's digest.
    Exported(String),
    /// The registry has it.
    Needless,
    Later(Duration),
}

pub(super) async fn run(builder: &Builder, mode: CacheMode, wanted: &Wanted) -> Result<Outcome> {
    let input = (!wanted.is_anew).then_some(wanted.key.as_slice());
    match cache::take_turn(&builder.db, wanted.app_id, input, EVERY).await? {
        Turn::Taken => {}
        Turn::After(wait) => return Ok(Outcome::Later(wait)),
        Turn::Needless => return Ok(Outcome::Needless),
    }
    let repository = builder.images.repository(&wanted.app);
    let digest = push(builder, mode, wanted, &repository).await?;
    record(builder, wanted, repository, &digest).await?;
    Ok(Outcome::Exported(digest))
}

async fn push(builder: &Builder, mode: CacheMode, wanted: &Wanted, repository: &str) -> Result<String> {
    let channel = builder.pool.with_room(&wanted.daemon).context("its BuildKit is away or full")?;
    let app_key = wanted.app_id.to_string();
    // Not the session that rests: the application's next build is to find that one as it left it.
    let session = session::open(channel, &app_key).await?;
    session.serve(Services {
        sources: wanted.input.sources(),
        logins: builder.images.logins(),
        secrets: wanted.secrets.clone(),
    });
    let request = SolveRequest {
        reference: Uuid::new_v4().simple().to_string(),
        session_id: session.id().to_owned(),
        inputs: make::inputs(&wanted.input, &app_key, session.id()),
        frontend_attrs: make::attributes(&wanted.input, &app_key),
        import: None,
        push: Push::Cache(format!("{repository}:{TAG}"), mode),
    };
    let (sender, events) = bounded::channel(EVENTS_ROOM);
    tokio::select! {
        solved = solve::solve(channel, request, &wanted.redactor, Names::default(), &sender) => Ok(solved?.digest),
        step = runs(events) => bail!("BuildKit does not have it any more: {step} would run again"),
    }
}

/// The first step that runs. Those that BuildKit has say nothing.
async fn runs(mut events: Receiver<Event>) -> String {
    let mut names = std::collections::HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Step(step) => {
                if step.completed.is_some() && !step.cached && step.name.contains("] RUN ") {
                    return step.name;
                }
                names.insert(step.number, step.name);
            }
            Event::Line(line) => return names.remove(&line.step).unwrap_or_default(),
        }
    }
    // The solve is over.
    std::future::pending().await
}

async fn record(builder: &Builder, wanted: &Wanted, repository: String, digest: &str) -> Result<()> {
    let found = builder.images.confirm(repository, digest).await.map_err(|reason| anyhow!(reason.message))?;
    let layers = found.written_layers();
    let exported = Exported {
        app_id: wanted.app_id,
        repository: &found.repository,
        digest,
        input: &wanted.key,
        layers: &layers,
    };
    let mut tx = builder.db.begin().await?;
    cache::record(&mut tx, &exported).await?;
    // BuildKit pushes nothing that is there; it may have been garbage, and removed since.
    ensure!(builder.images.has(&found).await, "the registry does not have {digest} any more");
    tx.commit().await?;
    Ok(())
}
