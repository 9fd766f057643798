//! Making and revoking tokens: what the API and the form take, checked and stored in one place.

use anyhow::{Context as _, Result};
use domain::scope::Scope;
use store::token::{BOOTSTRAP, NewToken};
use uuid::Uuid;

use crate::Web;
use crate::auth::Caller;
use crate::create::FieldError;
use crate::view;

const NAME_MAX: usize = 60;
const DAY: i64 = 24 * 60 * 60;
const LIFE_MIN: i64 = 60;
const LIFE_MAX: i64 = 3650 * DAY;

/// What a caller gives; an empty text counts as left out.
#[derive(Clone, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedToken {
    /// Whose or what for it is; pushes made with it carry this name.
    #[schema(example = "ci")]
    #[serde(default)]
    pub(crate) name: String,
    /// `read`, `push` or `admin`
    #[schema(example = "push")]
    #[serde(default)]
    pub(crate) scope: String,
    /// The one application that it is for; all when left out.
    #[serde(default)]
    pub(crate) app: String,
    /// How long it lasts: a number and `m`, `h` or `d`. For ever when left out.
    #[schema(example = "90d")]
    #[serde(default)]
    pub(crate) expires: String,
}

/// A new token and its secret, which is shown once.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub(crate) struct CreatedToken {
    pub(crate) token: view::Token,
    pub(crate) secret: String,
}

pub(crate) enum Outcome {
    Created(CreatedToken),
    Wrong(Vec<FieldError>),
    /// There is a token of this name.
    Taken,
}

pub(crate) async fn create(web: &Web, Caller(creator): &Caller, wanted: &WantedToken) -> Result<Outcome> {
    let mut errors = Vec::new();
    let mut need = |field, wrong: Option<String>| {
        errors.extend(wrong.map(|detail| FieldError { field, detail }));
    };
    let name = wanted.name.trim();
    let scope = wanted.scope.trim().parse::<Scope>();
    let app_id = match wanted.app.trim() {
        "" => Ok(None),
        app => match store::app::by_name(&web.db, app).await? {
            Some(app) => Ok(Some(app.id)),
            None => Err(format!("there is no application called {app:?}")),
        },
    };
    let seconds = match wanted.expires.trim() {
        "" => Ok(None),
        text => seconds(text).map(Some).ok_or_else(|| {
            "give a number and m, h or d, such as 90d; at least a minute and at most 3650 days".to_owned()
        }),
    };
    need("name", check_name(name).err());
    need("scope", scope.as_ref().err().map(ToString::to_string));
    need("app", app_id.as_ref().err().cloned());
    need("expires", seconds.as_ref().err().cloned());
    let (Ok(scope), Ok(app_id), Ok(seconds), true) = (scope, app_id, seconds, errors.is_empty()) else {
        return Ok(Outcome::Wrong(errors));
    };
    let new = NewToken { name, scope, app_id, seconds, created_by: &creator.name };
    let Some((id, secret)) = store::token::create(&web.db, &new).await? else { return Ok(Outcome::Taken) };
    let created = store::token::find(&web.db, &id.to_string()).await?;
    let token = view::Token::from(created.context("the new token is gone already")?);
    Ok(Outcome::Created(CreatedToken { token, secret }))
}

/// It is said to git clients as who pushed, so it holds nothing that a terminal or a log would act upon.
fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_alphanumeric() || " ._@+-".contains(c);
    if !name.starts_with(char::is_alphanumeric) || name.chars().count() > NAME_MAX || !name.chars().all(fits)
    {
        return Err(format!(
            "a name has 1 to {NAME_MAX} letters, digits, spaces and . _ @ + -, and starts with a letter or digit"
        ));
    }
    // It could be told neither from another token's id nor from the one made at install.
    if Uuid::try_parse(name).is_ok() || name == BOOTSTRAP {
        return Err("this name is kept for Slipway itself".to_owned());
    }
    Ok(())
}

fn seconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "m" => 60,
        "h" => 60 * 60,
        "d" => DAY,
        _ => return None,
    };
    let is_number = number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<i64>().ok().filter(|_| is_number)?.checked_mul(unit)?;
    (LIFE_MIN..=LIFE_MAX).contains(&seconds).then_some(seconds)
}

pub(crate) enum Revoked {
    Gone,
    Unknown,
    /// The one made at install, which every start would make anew.
    Kept,
}

pub(crate) async fn revoke(web: &Web, id_or_name: &str) -> Result<Revoked> {
    let Some(found) = store::token::find(&web.db, id_or_name).await? else { return Ok(Revoked::Unknown) };
    if found.token.name == BOOTSTRAP {
        return Ok(Revoked::Kept);
    }
    store::token::revoke(&web.db, found.token.id).await?;
    Ok(Revoked::Gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_nothing_that_a_terminal_acts_upon() {
        for good in ["ci", "Ada on the train", "Jürgen", "a@b.c", "2"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let uuid = Uuid::nil().to_string();
        for bad in ["", "-x", "a\nb", "a\u{1b}[1m", "a/b", "\u{202e}a", &"x".repeat(61), BOOTSTRAP, &uuid] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lifetimes_are_bounded() {
        for (text, expected) in [("1m", 60), ("12h", 43_200), ("90d", 7_776_000), ("3650d", LIFE_MAX)] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for bad in ["", "d", "0d", "3651d", "-1d", "+1d", "1.5h", "1w", "1é", "9999999999999999999d"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
