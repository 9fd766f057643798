//! What of a repository is built, and where it listens: the rules by which an application is created and changed. Pure.
//! An empty text is the default.

use super::check::{check_text, check_that};

/// A path inside the repository.
pub(crate) fn dockerfile(given: &str) -> Result<&str, String> {
    let path = if given.trim().is_empty() { "Dockerfile" } else { given.trim() };
    check_that(is_inside(path), "give a path inside the repository, such as deploy/Dockerfile")?;
    Ok(path)
}

/// A folder inside the repository; empty: all of it.
pub(crate) fn context(given: &str) -> Result<&str, String> {
    let folder = given.trim().trim_end_matches('/');
    let is_context = folder.is_empty() || is_inside(folder);
    check_that(is_context, "give a folder inside the repository, such as services/shop")?;
    Ok(folder)
}

/// A stage of the Dockerfile; `None`: its last.
pub(crate) fn target(given: &str) -> Result<Option<&str>, String> {
    let stage = given.trim();
    let is_stage = check_text(stage).is_ok() && !stage.contains(char::is_whitespace);
    check_that(is_stage, "give the name of a stage, as in FROM ... AS name")?;
    Ok(Some(stage).filter(|stage| !stage.is_empty()))
}

pub(crate) fn port(given: i64) -> Result<u16, String> {
    let port = u16::try_from(given).ok().filter(|port| *port > 0);
    port.ok_or_else(|| "give a number from 1 to 65535".to_owned())
}

fn is_inside(path: &str) -> bool {
    check_text(path).is_ok() && !path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_text_is_the_default() {
        for empty in ["", " "] {
            assert_eq!(dockerfile(empty), Ok("Dockerfile"));
            assert_eq!((context(empty), target(empty)), (Ok(""), Ok(None)));
        }
        assert_eq!((context(" services/shop/ "), target(" app ")), (Ok("services/shop"), Ok(Some("app"))));
    }

    #[test]
    fn nothing_outside_the_repository() {
        for path in ["/etc/Dockerfile", "../Dockerfile", "a/../b", "./a", "a//b", "a\nb"] {
            assert!(dockerfile(path).is_err() && context(path).is_err(), "{path:?}");
        }
        assert!(dockerfile("deploy/").is_err() && dockerfile(&"a".repeat(501)).is_err());
        assert_eq!(
            (dockerfile("deploy/web.Dockerfile"), port(65_535)),
            (Ok("deploy/web.Dockerfile"), Ok(65_535))
        );
        for number in [-1, 0, 65_536] {
            assert!(port(number).is_err(), "{number}");
        }
        assert!(target("two words").is_err());
    }
}
