//! The last words of a push: for people, and as the one line that git shows beside the ref.

use domain::reason::Reason;

use super::event::End;
use super::{About, detail, phase, problem, words};

/// Of the lines that prove a failure; its page has more.
const PROOF_MAX: usize = 20;
/// Git shows it in one line.
const VERDICT_MAX: usize = 200;
/// Of the token that cancelled a build.
const NAME_MAX: usize = 60;

/// Whether the push did what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    /// One line.
    Failed(String),
}

pub(super) fn end(about: &About, end: &End, is_quiet: bool) -> (Vec<String>, Verdict) {
    let number = about.number;
    match end {
        End::Queued => (goes_on(about, is_quiet, &format!("Build #{number} goes on by itself")), Verdict::Ok),
        End::Built => (goes_on(about, is_quiet, "Its release goes on by itself"), Verdict::Ok),
        End::Live { after, is_replaced } => {
            let replaced = if *is_replaced { "; a newer release has taken its place" } else { "" };
            let was = if *is_replaced { "Was live" } else { "Live" };
            let said = phase(format!("{was} after {}{replaced}", words::humane(*after)));
            // The last line is the URL and nothing else: scripts read it.
            let lines = [said, detail(&about.url)];
            (lines.into_iter().skip(usize::from(is_quiet)).collect(), Verdict::Ok)
        }
        End::Failed(reason) => failed(about, &format!("build #{number} failed"), reason),
        End::ReleaseFailed { version, reason } => {
            failed(about, &format!("release v{version} failed"), reason)
        }
        End::Superseded { by: Some(newer) } => {
            let follow = format!("that one goes on: slipway logs {} {newer} -f", about.app);
            over(&format!("build #{number} was superseded by #{newer}"), &follow)
        }
        End::Superseded { by: None } => over(&format!("build #{number} was superseded"), &about.page),
        End::Cancelled { by } => {
            let by = by.as_ref().map(|by| format!(" by {}", words::line(by, NAME_MAX))).unwrap_or_default();
            over(
                &format!("build #{number} was cancelled{by}"),
                "push the same commit again to build it after all",
            )
        }
        End::ReleaseSuperseded { version, by } => {
            let by = by.map(|newer| format!(" by v{newer}")).unwrap_or_default();
            over(&format!("release v{version} was superseded{by}"), &about.page)
        }
        End::Gone => {
            let why = "its application, branch or environment was removed meanwhile";
            over(&format!("build #{number} is gone"), why)
        }
    }
}

fn goes_on(about: &About, is_quiet: bool, what: &str) -> Vec<String> {
    if is_quiet {
        return Vec::new();
    }
    let see = format!("to see it: slipway logs {} {} -f, or {}", about.app, about.number, about.page);
    vec![phase(what), detail(see)]
}

fn failed(about: &About, what: &str, reason: &Reason) -> (Vec<String>, Verdict) {
    let text = format!("{what}: {}", reason.message);
    let mut lines = vec![problem(capital(&words::line(&text, 1000)))];
    let proof = &reason.lines[reason.lines.len().saturating_sub(PROOF_MAX)..];
    // The hint speaks of lines below it.
    lines.push(problem(&reason.hint));
    lines.extend(proof.iter().map(|line| problem(format!("  {line}"))));
    lines.push(problem(&about.page));
    (lines, Verdict::Failed(words::line(&text, VERDICT_MAX)))
}

fn over(what: &str, then: &str) -> (Vec<String>, Verdict) {
    let lines = vec![problem(format!("{}: this push is over", capital(what))), problem(then)];
    (lines, Verdict::Failed(words::line(what, VERDICT_MAX)))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
