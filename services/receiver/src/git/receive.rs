//! `POST /<application>.git/git-receive-pack`: reads what is pushed, decides by policy, and has it taken
//! ([`super::take`]).

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::push_options::{self, PushOptions};
use domain::scope::Scope;
use futures::StreamExt as _;
use gitwire::report::Verdict;
use gitwire::request::{self, BadRequest, Update};
use host::trace::parent::{self, Parent};
use store::app::{App, NewApp};
use tokio_stream::wrappers::ReceiverStream;

use super::auth::{self, Asker, Refusal, Target};
use super::policy::{self, Action};
use super::settle::{self, Push, Pushed};
use super::{Git, take, wire};

const REQUEST: &str = "application/x-git-receive-pack-request";
const RESULT: &str = "application/x-git-receive-pack-result";
/// `PACK`, its version and the number of its objects, four bytes each.
const PACK_HEADER: usize = 12;
/// As many as a history of some hundred thousand commits has.
const OBJECTS_MAX: u32 = 2_000_000;

pub(super) async fn receive(
    State(git): State<Arc<Git>>,
    Path(repository): Path<String>,
    request: Request,
) -> Response {
    let answer = async {
        let (asker, target) =
            auth::admit(&git, request.headers(), request.extensions(), &repository, Scope::Push).await?;
        check_headers(request.headers())?;
        let pusher = match asker {
            Asker::Client(token) => token.name,
            Asker::Builder(_) => return Err(Refusal::new(StatusCode::FORBIDDEN, "a builder does not push")),
        };
        let from = (pusher, parent::of(request.headers()));
        push(&git, target, from, request.into_body().into_data_stream()).await
    };
    answer.await.unwrap_or_else(IntoResponse::into_response)
}

fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let is =
        |name: HeaderName, value: &str| headers.get(name).is_some_and(|it| it.as_bytes() == value.as_bytes());
    if !is(header::CONTENT_TYPE, REQUEST) {
        let text = format!("a push has content type {REQUEST}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    if headers.contains_key(header::CONTENT_ENCODING) && !is(header::CONTENT_ENCODING, "identity") {
        let text = "send the push as it is: a pack is compressed already";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    Ok(())
}

async fn push(
    git: &Arc<Git>,
    target: Target,
    (pusher, trace_parent): (String, Option<Parent>),
    mut body: BodyDataStream,
) -> Result<Response, Refusal> {
    let (request, mut rest) = read_request(git, &mut body).await?;
    if request.updates.is_empty() {
        // What git sends before a large push, to be asked for its password.
        return Ok(result(Body::empty()));
    }
    let (mut wire, stream) = wire::open(&request.capabilities);
    if let Ok(rest) = &mut rest {
        read_header(rest, &mut body).await;
    }
    let judged = rest.map_err(|why| refuse_all(&request, &why.to_string())).and_then(|rest| {
        let (options, actions) = judge(&request, &target)?;
        let objects = objects(&rest);
        if objects > OBJECTS_MAX {
            let why = format!("the push brings {objects} objects; {OBJECTS_MAX} are allowed at a time");
            return Err(refuse_all(&request, &why));
        }
        Ok((options, actions, rest))
    });
    let (options, actions, rest) = match judged {
        Ok(judged) => judged,
        Err(verdicts) => {
            drain(git, &mut body).await;
            for line in refused_lines(&verdicts) {
                wire.say(&line).await.ok();
            }
            // Fits into the channel: nobody reads from it yet.
            wire.report(&verdicts).await.ok();
            return Ok(result(Body::from_stream(ReceiverStream::new(stream).map(Ok::<_, std::io::Error>))));
        }
    };
    let app = ensure_app(git, target, &actions).await?;
    let repository = git.repositories.repository(app.id);
    repository.ensure()?;
    let pushed = Pushed::new(actions);
    let push = Push { git: git.clone(), app, repository, pushed, pusher, options, trace_parent };
    let updates = push.pushed.updates();
    if updates.is_empty() {
        git.tasks.spawn(settle::settle(push, None, wire));
        drain(git, &mut body).await;
    } else {
        let permit = git.receiving.acquire().await?;
        take::take(push, &request.shallow, &updates, (rest, body), wire).await?;
        drop(permit);
    }
    Ok(result(Body::from_stream(ReceiverStream::new(stream).map(Ok::<_, std::io::Error>))))
}

/// The request and the beginning of its pack, or why it is refused: then it is as much of it as was read.
async fn read_request(
    git: &Git,
    body: &mut BodyDataStream,
) -> Result<(request::Request, Result<Vec<u8>, BadRequest>), Refusal> {
    let mut reader = request::Reader::new();
    loop {
        let Some(chunk) = body.next().await else {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "the push ended before it had begun"));
        };
        let chunk = chunk.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the push was cut off"))?;
        match reader.feed(&chunk) {
            Ok(None) => {}
            Ok(Some((request, rest))) => return Ok((request, Ok(rest))),
            Err(error) if reader.so_far().updates.is_empty() => {
                // A client that cannot send its push to the end never hears what was wrong with it.
                drain(git, body).await;
                return Err(Refusal::new(StatusCode::BAD_REQUEST, error.to_string()));
            }
            Err(error) => return Ok((reader.so_far().clone(), Err(error))),
        }
    }
}

/// As much of the pack as its header takes; a push that only deletes has none.
async fn read_header(rest: &mut Vec<u8>, body: &mut BodyDataStream) {
    while rest.len() < PACK_HEADER {
        let Some(Ok(chunk)) = body.next().await else { return };
        rest.extend_from_slice(&chunk);
    }
}

/// How many objects a pack says it has. Git would make room for all of them before it reads the first.
fn objects(pack: &[u8]) -> u32 {
    match pack.get(..PACK_HEADER) {
        Some([b'P', b'A', b'C', b'K', _, _, _, _, count @ ..]) => {
            count.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        }
        _ => 0,
    }
}

fn judge(request: &request::Request, target: &Target) -> Result<(PushOptions, Vec<Action>), Vec<Verdict>> {
    let default_branch = match target {
        Target::App(app) => app.default_branch.as_str(),
        Target::New(_) => "main",
    };
    let options =
        push_options::parse(&request.options).map_err(|error| refuse_all(request, &error.to_string()))?;
    let actions = policy::judge(request, default_branch)?;
    if let Target::New(name) = target
        && built_branch(&actions).is_none()
    {
        let why = format!("there is no application {name:?} yet: its first push has to be a branch");
        return Err(refuse_all(request, &why));
    }
    Ok((options, actions))
}

fn refuse_all(request: &request::Request, why: &str) -> Vec<Verdict> {
    let refused = |update: &Update| Verdict { name: update.name.clone(), result: Err(why.to_owned()) };
    request.updates.iter().map(refused).collect()
}

fn built_branch(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| match action {
        Action::Build { branch, .. } => Some(branch.as_str()),
        Action::StoreTag(_) | Action::DeleteTag(_) | Action::DeleteBranch { .. } => None,
    })
}

/// The whole table for a push that no rule allows: git shows each ref's own reason below it.
fn refused_lines(verdicts: &[Verdict]) -> Vec<String> {
    if verdicts.len() < 2 {
        return Vec::new();
    }
    let table = policy::table();
    std::iter::once(" !     Nothing of this push was done. What a push does here:".to_owned())
        .chain(table.lines().map(|line| format!("       {line}")))
        .collect()
}

/// A first push creates the application; its branch becomes the default one.
async fn ensure_app(git: &Git, target: Target, actions: &[Action]) -> Result<App, Refusal> {
    let name = match target {
        Target::App(app) => return Ok(*app),
        Target::New(name) => name,
    };
    let branch = built_branch(actions).ok_or_else(|| anyhow::anyhow!("a first push of no branch"))?;
    let mut conn = git.db.acquire().await?;
    if let Some(app) = store::app::create(&mut conn, &NewApp::pushed(&name, branch)).await? {
        tracing::info!(app.name, "created by its first push");
        return Ok(app);
    }
    drop(conn);
    let created = store::app::by_name(&git.db, &name).await?;
    created.filter(|app| app.forge.is_none()).ok_or_else(|| {
        Refusal::new(StatusCode::CONFLICT, "the application was created by somebody else meanwhile")
    })
}

/// Reads a refused push to its end, within reason.
async fn drain(git: &Git, body: &mut BodyDataStream) {
    let mut size: u64 = 0;
    while let Some(Ok(chunk)) = body.next().await {
        size += chunk.len() as u64;
        if size > git.pack_max_bytes {
            return;
        }
    }
}

fn result(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, RESULT),
        (header::CACHE_CONTROL, "no-cache"),
        // nginx would keep lines back otherwise
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_objects_a_pack_says_it_has() {
        assert_eq!(objects(b"PACK\0\0\0\x02\0\x1e\x84\x81and so on"), 2_000_001);
        assert_eq!(objects(b"PACK\0\0\0\x02\0\0"), 0, "cut off");
        assert_eq!(objects(b"no pack at all"), 0);
    }
}
