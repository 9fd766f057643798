//! What an application's builds are given: what the API takes, checked and stored in one place.

use anyhow::Result;
use domain::name::check_environment;
use domain::setting::{
    BadSetting, SECRET_MAX, SettingKind, check_argument, check_argument_name, check_secret_name,
};
use store::app::App;
use store::setting::{self, BYTES_MAX, SETTINGS_MAX, Set, Which};

use crate::Web;
use crate::auth::Caller;
use crate::create::FieldError;

/// Sets a secret. Nothing: it is set; else what is wrong.
pub(crate) async fn set_secret(
    web: &Web,
    Caller(token): &Caller,
    which: Which<'_>,
    value: &[u8],
) -> Result<Vec<FieldError>> {
    let errors = wrong(which, check_secret_name(which.name), check_secret(value));
    if !errors.is_empty() {
        return Ok(errors);
    }
    let set = setting::set_secret(&web.db, &web.vault, which, value, &token.name).await?;
    Ok(told(set, SettingKind::Secret, which, &token.name))
}

/// Sets an argument. Nothing: it is set; else what is wrong.
pub(crate) async fn set_argument(
    web: &Web,
    Caller(token): &Caller,
    which: Which<'_>,
    value: &[u8],
) -> Result<Vec<FieldError>> {
    let text = std::str::from_utf8(value);
    let checked = match text {
        Ok(text) => check_argument(text).map_err(|error| error.to_string()),
        Err(_) => Err("an argument is text in UTF-8".to_owned()),
    };
    let errors = wrong(which, check_argument_name(which.name), checked);
    if !errors.is_empty() {
        return Ok(errors);
    }
    let set = setting::set_argument(&web.db, which, text.unwrap_or_default(), &token.name).await?;
    Ok(told(set, SettingKind::Argument, which, &token.name))
}

/// `false`: there is none.
pub(crate) async fn unset(
    web: &Web,
    Caller(token): &Caller,
    kind: SettingKind,
    which: Which<'_>,
) -> Result<bool> {
    let gone = setting::unset(&web.db, kind, which).await?;
    if gone {
        tracing::info!(%which.app_id, %kind, which.name, which.environment, by = token.name, "it was unset");
    }
    Ok(gone)
}

/// An environment that is left out is an empty text in a URL.
pub(crate) fn which<'a>(app: &App, name: &'a str, environment: Option<&'a str>) -> Which<'a> {
    let environment = environment.map(str::trim).filter(|name| !name.is_empty());
    Which { app_id: app.id, name, environment }
}

/// A shorter value would be in every log by chance, so it could not be kept out of them.
fn check_secret(value: &[u8]) -> Result<(), String> {
    if value.len() > SECRET_MAX {
        return Err(format!("a secret has at most {} KiB", SECRET_MAX >> 10));
    }
    if !redact::is_searchable(value) {
        return Err(format!(
            "a secret has a line of at least {} bytes: a shorter one cannot be kept out of logs",
            redact::VALUE_MIN
        ));
    }
    Ok(())
}

fn wrong(which: Which<'_>, name: Result<(), BadSetting>, value: Result<(), String>) -> Vec<FieldError> {
    let name = name.map_err(|error| error.to_string());
    let environment = which.environment.map_or(Ok(()), check_environment).map_err(|error| error.to_string());
    [("name", name), ("env", environment), ("value", value)]
        .into_iter()
        .filter_map(|(field, checked)| checked.err().map(|detail| FieldError { field, detail }))
        .collect()
}

fn told(set: Set, kind: SettingKind, which: Which<'_>, by: &str) -> Vec<FieldError> {
    match set {
        Set::Done => {
            tracing::info!(%which.app_id, %kind, which.name, which.environment, by, "it was set");
            Vec::new()
        }
        Set::TooMany => {
            let detail = format!(
                "an application has at most {SETTINGS_MAX} secrets and arguments, of {} MiB together: unset some",
                BYTES_MAX >> 20
            );
            vec![FieldError { field: "value", detail }]
        }
    }
}
