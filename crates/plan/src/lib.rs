//! Decides how a repository is built, from the listing of its tree and the bytes of two files. No I/O.
//!
//! [`locate`] says which files to read, [`plan`] makes a [`Plan`] of their bytes or says why there is none.

use domain::reason::{Reason, ReasonCode};

pub mod dockerignore;
pub mod parts;
pub mod rewrite;
pub mod tree;

mod dockerfile;
mod glob;
mod instruction;

use dockerignore::Matcher;
use tree::{Kind, Tree};

/// A Dockerfile or .dockerignore larger than this is taken for a mistake.
const FILE_MAX: u64 = 1 << 20;
/// So many names are shown when there is no Dockerfile.
const SEEN_MAX: usize = 12;

/// Which files to read before planning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    pub dockerfile: String,
    pub dockerignore: Option<String>,
    /// The folder whose files can be copied; empty: the whole repository.
    pub context: String,
}

/// How to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where it lies in the repository, for people; BuildKit gets the bytes.
    pub dockerfile: String,
    pub dockerfile_bytes: Vec<u8>,
    /// The folder that is sent to the build; empty: the whole repository.
    pub context: String,
    /// What of it is not sent.
    pub ignore: Matcher,
    /// Why it is built this way, in one line.
    pub why: String,
}

/// Why a repository cannot be built. Always the user's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplannable {
    #[error("the repository has no {path}; it has: {}", list(seen))]
    DockerfileMissing { path: String, seen: Vec<String> },
    #[error("{path}{}: {what}", line.map(|line| format!(" line {line}")).unwrap_or_default())]
    DockerfileInvalid { path: String, line: Option<usize>, what: String },
    #[error("the repository has no folder {path}, which is the application's context")]
    ContextMissing { path: String },
    #[error("{path}: {what}")]
    SourceInvalid { path: String, what: String },
}

fn list(seen: &[String]) -> String {
    if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") }
}

impl From<Unplannable> for Reason {
    fn from(unplannable: Unplannable) -> Reason {
        let code = match &unplannable {
            Unplannable::DockerfileMissing { .. } => ReasonCode::DockerfileMissing,
            Unplannable::DockerfileInvalid { .. } => ReasonCode::DockerfileInvalid,
            Unplannable::ContextMissing { .. } | Unplannable::SourceInvalid { .. } => {
                ReasonCode::SourceInvalid
            }
        };
        Reason::new(code, unplannable.to_string())
    }
}

/// Finds the application's Dockerfile and the ignore file that belongs to it: the one named after the Dockerfile
/// beside it, else the one at the top of the context.
pub fn locate(tree: &Tree, dockerfile: &str, context: &str) -> Result<Located, Unplannable> {
    let path = tree::clean(dockerfile);
    let Some(found) = tree.file(&path) else {
        return Err(Unplannable::DockerfileMissing { path, seen: seen(tree) });
    };
    if found.size > FILE_MAX {
        let what = format!("it is larger than {FILE_MAX} bytes");
        return Err(Unplannable::DockerfileInvalid { path, line: None, what });
    }
    let beside = format!("{path}.dockerignore");
    let context = tree::clean(context);
    if !context.is_empty() && tree.get(&context).is_none_or(|it| it.kind != Kind::Directory) {
        return Err(Unplannable::ContextMissing { path: context });
    }
    let ignore = tree.file(&beside).or_else(|| tree.file(&format!("{context}/.dockerignore")));
    if let Some(ignore) = ignore.filter(|it| it.size > FILE_MAX) {
        let what = format!("it is larger than {FILE_MAX} bytes");
        return Err(Unplannable::SourceInvalid { path: ignore.path.clone(), what });
    }
    Ok(Located { dockerfile: found.path.clone(), dockerignore: ignore.map(|it| it.path.clone()), context })
}

/// The names at the top, and Dockerfiles deeper down: one of them is probably meant.
fn seen(tree: &Tree) -> Vec<String> {
    let top = tree.entries().iter().filter(|it| !it.path.contains('/'));
    let deeper =
        tree.entries().iter().filter(|it| it.kind != Kind::Directory && it.path.ends_with("/Dockerfile"));
    let mut names: Vec<String> = deeper.take(SEEN_MAX / 2).map(|it| it.path.clone()).collect();
    names.extend(
        top.map(|it| if it.kind == Kind::Directory { format!("{}/", it.path) } else { it.path.clone() }),
    );
    let more = names.len().saturating_sub(SEEN_MAX);
    names.truncate(SEEN_MAX);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names
}

/// Makes the plan of the bytes of the files that [`locate`] named.
pub fn plan(located: &Located, dockerfile: &[u8], dockerignore: Option<&[u8]>) -> Result<Plan, Unplannable> {
    let path = &located.dockerfile;
    let dockerfile_bytes = dockerfile::sanitize(dockerfile).map_err(|invalid| {
        Unplannable::DockerfileInvalid { path: path.clone(), line: invalid.line, what: invalid.what }
    })?;
    let ignore_path = located.dockerignore.as_deref().unwrap_or(".dockerignore");
    let ignore =
        dockerignore::parse(dockerignore.unwrap_or_default()).map_err(|bad| Unplannable::SourceInvalid {
            path: ignore_path.to_owned(),
            what: format!("line {}: the pattern {:?} is malformed", bad.line, bad.pattern),
        })?;
    let context = located.context.clone();
    let of = if context.is_empty() { String::new() } else { format!(" for {context}") };
    let why = match ignore.len() {
        0 => format!("there is a {path}{of}"),
        1 => format!("there is a {path}{of}; {ignore_path} has 1 pattern"),
        n => format!("there is a {path}{of}; {ignore_path} has {n} patterns"),
    };
    Ok(Plan { dockerfile: path.clone(), dockerfile_bytes, context, ignore, why })
}

#[cfg(test)]
mod tests;
