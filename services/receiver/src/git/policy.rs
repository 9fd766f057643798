//! What is done with each ref of a push. Pure: the request alone decides, and the default branch's name.

use std::collections::HashMap;

use domain::commit::Commit;
use domain::name::environment_of_push;
use gitwire::refname::{self, RefKind};
use gitwire::report::Verdict;
use gitwire::request::{Request, Update};

/// The environment that no push removes.
const MAIN: &str = "main";
/// So much of one ref's name is shown in what is said about another.
const SHOWN_MAX: usize = 80;
/// What a push does, by what is pushed; printed in pushes and in docs/git-remote.md.
const TABLE: [(&str, &str); 12] = [
    ("main, master, the default branch", "built, runs in the environment main"),
    ("any other branch", "built, runs in an environment of its own"),
    ("a branch with -o env=NAME", "built, runs in the environment NAME"),
    ("a branch by force", "built like any other push"),
    ("a branch deleted", "its environment is removed"),
    ("main, master or default deleted", "refused: a push does not remove main"),
    ("several branches", "refused: one branch per push"),
    ("a tag, alone or with a branch", "kept, not built"),
    ("a tag deleted", "deleted"),
    ("any other ref", "refused: only branches and tags"),
    ("a signed push", "refused: push without --signed"),
    ("a SHA-256 repository", "refused: only SHA-1 is understood"),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Build { branch: String, old: Option<Commit>, new: Commit },
    StoreTag(Update),
    DeleteTag(Update),
    DeleteBranch { branch: String, old: Commit },
}

/// What is to be done, or why nothing of the push is: then each of its refs has a verdict.
pub(crate) fn judge(request: &Request, default_branch: &str) -> Result<Vec<Action>, Vec<Verdict>> {
    let whole = why_not_at_all(request);
    let uses = uses(request);
    let branches = request.updates.iter().filter(|update| is_branch(&update.name)).count();
    let judged: Vec<Result<Action, String>> = request
        .updates
        .iter()
        .map(|update| match (whole, uses[update.name.as_str()], is_branch(&update.name)) {
            (Some(why), ..) => Err(why.to_owned()),
            (None, 2.., _) => Err("the push names this ref more than once".to_owned()),
            (None, _, true) if branches > 1 => Err("one branch per push: push this one by itself".to_owned()),
            _ => judge_one(update, default_branch),
        })
        .collect();
    let guilty =
        request.updates.iter().zip(&judged).find_map(|(update, it)| Some((update, it.as_ref().err()?)));
    let Some((guilty, why)) = guilty else {
        return Ok(judged.into_iter().flatten().collect());
    };
    let shown: String = guilty.name.chars().take(SHOWN_MAX).collect();
    let innocent = format!("not done: {shown}: {why}");
    let verdict = |(update, it): (&Update, &Result<Action, String>)| {
        let why = it.as_ref().err().unwrap_or(&innocent);
        Verdict { name: update.name.clone(), result: Err(why.clone()) }
    };
    Err(request.updates.iter().zip(&judged).map(verdict).collect())
}

/// Why the push is refused whatever its refs are.
fn why_not_at_all(request: &Request) -> Option<&'static str> {
    if request.has_certificate {
        return Some(
            "Slipway cannot check a signed push: push without --signed; signed commits and tags are fine",
        );
    }
    let is_long = |id: &Option<Commit>| id.as_ref().is_some_and(|id| id.as_str().len() != 40);
    let has_long = request.updates.iter().any(|update| is_long(&update.old) || is_long(&update.new))
        || request.shallow.iter().any(|id| id.as_str().len() != 40);
    let format = request.capabilities.value("object-format").unwrap_or("sha1");
    (has_long || format != "sha1")
        .then_some("the repository has SHA-256 ids, and Slipway understands only SHA-1 so far")
}

fn uses(request: &Request) -> HashMap<&str, usize> {
    let mut uses = HashMap::new();
    for update in &request.updates {
        *uses.entry(update.name.as_str()).or_default() += 1;
    }
    uses
}

fn is_branch(name: &str) -> bool {
    matches!(refname::check(name), Ok(RefKind::Branch(_)))
}

fn judge_one(update: &Update, default_branch: &str) -> Result<Action, String> {
    let kind = refname::check(&update.name).map_err(|error| error.to_string())?;
    match (kind, update.old.clone(), update.new.clone()) {
        (RefKind::Branch(branch), Some(_), None) if environment_of_push(branch, default_branch) == MAIN => {
            Err(format!("{branch} runs in the environment main, which a push does not remove"))
        }
        (RefKind::Branch(branch), Some(old), None) => {
            Ok(Action::DeleteBranch { branch: branch.to_owned(), old })
        }
        (RefKind::Tag(_), Some(_), None) => Ok(Action::DeleteTag(update.clone())),
        (RefKind::Branch(branch), old, Some(new)) if old.as_ref() != Some(&new) => {
            Ok(Action::Build { branch: branch.to_owned(), old, new })
        }
        (RefKind::Tag(_), old, Some(new)) if old.as_ref() != Some(&new) => {
            Ok(Action::StoreTag(update.clone()))
        }
        _ => Err("it is to stay what it is: there is nothing to do".to_owned()),
    }
}

/// The policy in plain lines of at most 76 columns.
pub(crate) fn table() -> String {
    TABLE.iter().map(|(pushed, done)| format!("{pushed:<35}{done}\n")).collect()
}

#[cfg(test)]
mod tests;
