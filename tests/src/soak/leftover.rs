//! What must not be left when everything has settled: in PostgreSQL, in the repositories, and between both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use sqlx::{FromRow, PgPool};
use tokio::process::Command;
use uuid::Uuid;

/// The pins of so many newest builds of a branch may stay.
const RECENT: i32 = 3;
/// Held by the processes that write to a repository, and always there.
const LOCK: &str = "slipway.lock";

#[derive(Debug, FromRow)]
struct Push {
    id: Uuid,
    app_id: Uuid,
    branch: String,
    commit: String,
    state: String,
    head: Option<String>,
    /// Whether its build waits, runs or is being rolled out; none without a build of its own.
    is_in_flight: Option<bool>,
    /// How many builds of the branch are newer.
    newer: i32,
}

#[derive(Debug, FromRow)]
struct Branch {
    app_id: Uuid,
    name: String,
    head: Option<String>,
}

/// Each in words; none is what should be.
pub async fn leftovers(db: &PgPool, repositories: &Path) -> Result<Vec<String>> {
    let pushes = pushes(db).await?;
    let branches: Vec<Branch> = sqlx::query_as("select app_id, name, head from branch").fetch_all(db).await?;
    let mut left: Vec<String> = pushes.iter().filter_map(undecided).collect();
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(repositories)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(app) = name.strip_suffix(".git").and_then(|name| name.parse::<Uuid>().ok()) else {
            continue;
        };
        seen.insert(app);
        let mut of_repository = files(&path)?;
        let of_app: Vec<&Push> = pushes.iter().filter(|push| push.app_id == app).collect();
        of_repository.extend(pins(&refs(&path, "refs/pushes").await?, &of_app));
        let heads = branches.iter().filter(|branch| branch.app_id == app);
        of_repository.extend(other_heads(&refs(&path, "refs/heads").await?, heads));
        of_repository.extend(fsck(&path).await?);
        left.extend(of_repository.into_iter().map(|it| format!("{name}: {it}")));
    }
    let missing = branches.iter().filter(|branch| branch.head.is_some() && !seen.contains(&branch.app_id));
    left.extend(missing.map(|branch| format!("no repository for {}", branch.app_id)));
    Ok(left)
}

async fn pushes(db: &PgPool) -> Result<Vec<Push>> {
    Ok(sqlx::query_as(
        "select p.id, br.app_id, br.name as branch, p.commit, p.state::text as state, br.head,
                (b.state in ('queued', 'running') or exists (
                    select from release r where r.build_id = b.id and r.state in ('queued', 'rolling'))) as is_in_flight,
                (select count(*)::int from build n where n.branch_id = br.id and n.number > b.number) as newer
         from push p join branch br on br.id = p.branch_id left join build b on b.push_id = p.id",
    )
    .fetch_all(db)
    .await?)
}

fn undecided(push: &Push) -> Option<String> {
    match (push.state.as_str(), push.is_in_flight) {
        ("receiving", _) => Some(format!("push {} is still being received", push.id)),
        ("accepted", None) => Some(format!("push {} was accepted and has no build", push.id)),
        ("accepted", Some(true)) => Some(format!("the build of push {} has not settled", push.id)),
        _ => None,
    }
}

/// What killed git processes leave. A lock makes every later push of the ref fail.
fn files(folder: &Path) -> Result<Vec<String>> {
    let (mut left, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(&inside)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_left = name.ends_with(".lock") && name != LOCK
                || name.ends_with(".keep")
                || name.starts_with("tmp_")
                || name.starts_with(".tmp-");
            if is_left {
                let within = inside.strip_prefix(folder).unwrap_or(&inside).join(&name);
                left.push(format!("the file {}", within.display()));
            } else if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(left)
}

/// Pins that nothing needs, and pushes that need theirs and do not have it.
fn pins(pins: &BTreeMap<String, String>, pushes: &[&Push]) -> Vec<String> {
    let mut left = Vec::new();
    let mut known = BTreeSet::new();
    for push in pushes {
        let name = format!("refs/pushes/{}/heads/{}", push.id, push.branch);
        let is_recent = push.is_in_flight.is_some() && push.newer < RECENT;
        let may_stay =
            is_recent || push.is_in_flight == Some(true) || push.head.as_ref() == Some(&push.commit);
        let must_stay = push.is_in_flight == Some(true) || (push.is_in_flight.is_some() && push.newer == 0);
        match pins.get(&name) {
            Some(commit) if *commit != push.commit => {
                left.push(format!("{name} is {commit}, not {}", push.commit));
            }
            Some(_) if !may_stay => left.push(format!("{name} is not needed: its push is {}", push.state)),
            None if must_stay => left.push(format!("{name} is missing")),
            Some(_) | None => {}
        }
        known.insert(name);
    }
    left.extend(
        pins.keys().filter(|name| !known.contains(*name)).map(|name| format!("{name} is of no push")),
    );
    left
}

fn other_heads<'a>(
    shown: &BTreeMap<String, String>,
    branches: impl Iterator<Item = &'a Branch>,
) -> Vec<String> {
    let head = |branch: &Branch| Some((format!("refs/heads/{}", branch.name), branch.head.clone()?));
    let wanted: BTreeMap<String, String> = branches.filter_map(head).collect();
    let names: BTreeSet<&String> = wanted.keys().chain(shown.keys()).collect();
    let differ = names.into_iter().filter(|name| wanted.get(*name) != shown.get(*name));
    differ
        .map(|name| format!("{name} is {:?}, and {:?} in PostgreSQL", shown.get(name), wanted.get(name)))
        .collect()
}

/// Full names, and what they point to.
async fn refs(repository: &Path, prefix: &str) -> Result<BTreeMap<String, String>> {
    let (listed, _) = git(repository, &["for-each-ref", "--format=%(refname) %(objectname)", prefix]).await?;
    Ok(listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect())
}

async fn fsck(repository: &Path) -> Result<Vec<String>> {
    let (found, said) = git(repository, &["fsck", "--full", "--no-dangling", "--no-progress"]).await?;
    // That a repository has no branches yet is nothing to complain about.
    let is_complaint = |line: &&str| !line.is_empty() && !line.starts_with("notice:");
    Ok(found
        .lines()
        .chain(said.lines())
        .filter(is_complaint)
        .map(|line| format!("git fsck: {line}"))
        .collect())
}

/// What it wrote to its output and its error output, however it ended.
async fn git(repository: &Path, arguments: &[&str]) -> Result<(String, String)> {
    let mut command = Command::new("git");
    command.args(["-c", "safe.directory=*", "-c", "transfer.hideRefs="]).args(arguments);
    command.env("GIT_DIR", repository).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.stdin(Stdio::null()).output().await.context("running git")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((text(output.stdout), text(output.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(state: &str, is_in_flight: Option<bool>, newer: i32) -> Push {
        let (id, app_id) = (Uuid::nil(), Uuid::nil());
        let (branch, commit) = ("main".to_owned(), "c1".to_owned());
        Push { id, app_id, branch, commit, state: state.to_owned(), head: None, is_in_flight, newer }
    }

    fn pinned(commit: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(format!("refs/pushes/{}/heads/main", Uuid::nil()), commit.to_owned())])
    }

    #[test]
    fn pins_are_there_while_they_are_needed() {
        let nothing = BTreeMap::new();
        assert!(pins(&pinned("c1"), &[&push("accepted", Some(true), 9)]).is_empty());
        assert!(pins(&pinned("c1"), &[&push("accepted", Some(false), 0)]).is_empty());
        assert!(pins(&nothing, &[&push("accepted", Some(false), 1)]).is_empty());
        assert_eq!(pins(&pinned("c1"), &[&push("accepted", Some(false), RECENT)]).len(), 1);
        let head = Push { head: Some("c1".to_owned()), ..push("accepted", Some(false), RECENT) };
        assert!(pins(&pinned("c1"), &[&head]).is_empty());
        assert_eq!(pins(&pinned("c1"), &[&push("aborted", None, 0)]).len(), 1);
        assert_eq!(pins(&pinned("c2"), &[&push("accepted", Some(true), 0)]).len(), 1);
        assert_eq!(pins(&nothing, &[&push("accepted", Some(true), 0)]).len(), 1);
        assert_eq!(pins(&pinned("c1"), &[]).len(), 1);
    }

    #[test]
    fn heads_are_the_database_s() {
        let branch =
            |head: &str| Branch { app_id: Uuid::nil(), name: "main".to_owned(), head: Some(head.to_owned()) };
        let shown = BTreeMap::from([("refs/heads/main".to_owned(), "c1".to_owned())]);
        assert!(other_heads(&shown, [branch("c1")].iter()).is_empty());
        assert_eq!(other_heads(&shown, [branch("c2")].iter()).len(), 1);
        assert_eq!(other_heads(&shown, [].iter()).len(), 1);
        assert_eq!(other_heads(&BTreeMap::new(), [branch("c1")].iter()).len(), 1);
    }

    #[test]
    fn files_of_killed_processes_are_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("objects/tmp_objdir-incoming-x/pack")).unwrap();
        std::fs::create_dir_all(folder.path().join("objects/pack")).unwrap();
        for name in [LOCK, "HEAD", "objects/pack/pack-1.pack"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(files(folder.path()).unwrap(), ["the file objects/tmp_objdir-incoming-x"]);
        for name in ["HEAD.lock", "objects/pack/pack-1.keep", "objects/pack/tmp_pack_x"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(files(folder.path()).unwrap().len(), 4);
    }
}
