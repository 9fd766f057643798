//! Shows a push's build to its client until it has ended, and says what git is to say of the push then.

use std::pin::pin;
use std::time::Duration;

use domain::push_options::Wait;
use futures::StreamExt as _;
use jiff::Timestamp;
use store::build::Build;
use tokio::time::Instant;

use super::accept::Settled;
use super::follow::follow;
use super::narrate::{About, Narrator, Verdict, already_live};
use super::settle::Push;
use super::wire::{Gone, Wire};

/// Longer than any build may take. A view that is cut ends cleanly; what it shows goes on.
const VIEW_MAX: Duration = Duration::from_secs(60 * 60);
const VIEW_GRACE: Duration = Duration::from_secs(60);
/// A builder that is free takes a build within this time. Whoever looked sooner would slow it down, to tell of its place
/// in a queue where it no longer is.
const TAKEN_WITHIN: Duration = Duration::from_millis(30);
/// How often the narrator is asked whether there is something to say although nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// `Ok` is what git is told of the push.
pub(super) async fn show(
    push: &Push,
    settled: &Settled,
    wire: &mut Wire,
) -> Result<Result<(), String>, Gone> {
    let about = |build: &Build| About::new(&push.app.name, build, &push.git.links);
    let verdict = match settled {
        Settled::Rejected(why) => return Ok(Err(why.clone())),
        Settled::Live(build) => {
            say(wire, already_live(&about(build), wire.is_quiet)).await?;
            Ok(())
        }
        // Nobody could be told anything for so long: it is accepted, and that is what is said.
        Settled::Queued(_) | Settled::Attached(_) if !wire.can_stream() => Ok(()),
        Settled::Queued(build) | Settled::Attached(build) => {
            let mut narrator = Narrator::new(about(build), wire.is_quiet, Timestamp::now());
            let is_attached = matches!(settled, Settled::Attached(_));
            say(wire, narrator.begin(is_attached)).await?;
            if !is_attached && push.options.wait != Wait::Queued {
                tokio::time::sleep(TAKEN_WITHIN).await;
            }
            // A client that takes nothing for so long is as good as gone.
            let viewed = tokio::time::timeout(VIEW_MAX + VIEW_GRACE, view(push, build, &mut narrator, wire));
            viewed.await.unwrap_or(Err(Gone))?
        }
    };
    // Whoever asks next sees the branch where this push says it is.
    if verdict.is_ok()
        && let Err(error) = push.git.project(push.app.id, &push.repository).await
    {
        tracing::warn!(push.app.name, "projecting heads: {error:#}");
    }
    Ok(verdict)
}

async fn say(wire: &mut Wire, lines: Vec<String>) -> Result<(), Gone> {
    for line in lines {
        wire.say(&line).await?;
    }
    Ok(())
}

async fn view(
    push: &Push,
    build: &Build,
    narrator: &mut Narrator,
    wire: &mut Wire,
) -> Result<Result<(), String>, Gone> {
    let until = Instant::now() + VIEW_MAX;
    let events = follow(push.git.db.clone(), &push.git.rings, build.id, push.options.wait);
    let mut events = pin!(events);
    let mut tick = tokio::time::interval(TICK);
    loop {
        let lines = tokio::select! {
            batch = events.next() => match batch {
                Some(batch) => batch.into_iter().flat_map(|event| narrator.tell(event, Timestamp::now())).collect(),
                None => narrator.detach(),
            },
            _ = tick.tick() => narrator.tick(Timestamp::now()),
            () = wire.due() => {
                wire.tick().await?;
                continue;
            }
            () = push.git.shutdown.cancelled() => narrator.detach(),
            () = tokio::time::sleep_until(until) => narrator.detach(),
        };
        say(wire, lines).await?;
        match narrator.verdict() {
            None => {}
            Some(Verdict::Ok) => return Ok(Ok(())),
            Some(Verdict::Failed(why)) => return Ok(Err(why.clone())),
        }
    }
}
