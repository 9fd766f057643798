//! What the builds of an application are given. Secrets lie here sealed, and only a build opens them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use domain::setting::SettingKind;
use redact::Redactor;
use secrecy::{ExposeSecret as _, SecretSlice};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;
use vault::{Place, Vault};

use crate::{Time, Word};

/// Of one application, over all its environments: they travel to each of its builds.
pub const SETTINGS_MAX: i64 = 200;
pub const BYTES_MAX: i64 = 4 << 20;

/// Which setting is meant.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    pub app_id: Uuid,
    pub name: &'a str,
    /// `None`: for every environment that has none of its own.
    pub environment: Option<&'a str>,
}

/// A setting as it is listed: of a secret there is no value.
#[derive(Debug, Clone, FromRow)]
pub struct Listed {
    #[sqlx(try_from = "String")]
    pub kind: Word<SettingKind>,
    pub name: String,
    pub environment: Option<String>,
    /// An argument's value.
    pub value: Option<String>,
    /// The name of the token that set it.
    pub set_by: String,
    pub set_at: Time,
}

/// What became of a wish to set something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    Done,
    /// The application would have more settings, or more bytes in them, than it may.
    TooMany,
}

/// What one build is given.
#[derive(Clone, Default)]
pub struct Settings {
    /// The Dockerfile's `ARG`s.
    pub args: BTreeMap<String, String>,
    /// By the ids that steps mount them by.
    pub secrets: Arc<BTreeMap<String, SecretSlice<u8>>>,
    /// What stands for each secret where others may look: it changes with the value.
    pub hashes: BTreeMap<String, String>,
}

impl Settings {
    /// Takes these secrets out of what the build says.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.secrets.iter().map(|(id, value)| (id.as_str(), value.expose_secret())))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("args", &self.args)
            .field("hashes", &self.hashes)
            .finish_non_exhaustive()
    }
}

pub async fn set_secret(db: &PgPool, vault: &Vault, which: Which<'_>, value: &[u8], by: &str) -> Result<Set> {
    let sealed = vault.seal(place(which), value)?;
    set(db, which, SettingKind::Secret, Some(&sealed), None, by).await
}

pub async fn set_argument(db: &PgPool, which: Which<'_>, value: &str, by: &str) -> Result<Set> {
    set(db, which, SettingKind::Argument, None, Some(value), by).await
}

async fn set(
    db: &PgPool,
    which: Which<'_>,
    kind: SettingKind,
    sealed: Option<&[u8]>,
    value: Option<&str>,
    by: &str,
) -> Result<Set> {
    let size = sealed.map_or(0, <[u8]>::len) + value.map_or(0, str::len);
    let set = sqlx::query(
        "insert into build_setting (app_id, kind, name, environment, sealed, value, set_by)
         select $1, $2, $3, $4, $5, $6, $7
         where (select count(*) < $8
                       and coalesce(sum(coalesce(octet_length(sealed), 0) + coalesce(octet_length(value), 0)), 0) + $9 <= $10
                from build_setting
                where app_id = $1 and (kind, name, coalesce(environment, '')) <> ($2, $3, coalesce($4, '')))
         on conflict (app_id, kind, name, environment) do update
         set sealed = excluded.sealed, value = excluded.value, set_by = excluded.set_by, set_at = now()",
    )
    .bind(which.app_id)
    .bind(kind.as_str())
    .bind(which.name)
    .bind(which.environment)
    .bind(sealed)
    .bind(value)
    .bind(by)
    .bind(SETTINGS_MAX)
    .bind(i64::try_from(size)?)
    .bind(BYTES_MAX)
    .execute(db)
    .await?;
    Ok(if set.rows_affected() == 1 { Set::Done } else { Set::TooMany })
}

/// `false`: there is none.
pub async fn unset(db: &PgPool, kind: SettingKind, which: Which<'_>) -> Result<bool> {
    let gone = sqlx::query(
        "delete from build_setting
         where app_id = $1 and kind = $2 and name = $3 and environment is not distinct from $4",
    )
    .bind(which.app_id)
    .bind(kind.as_str())
    .bind(which.name)
    .bind(which.environment)
    .execute(db)
    .await?;
    Ok(gone.rows_affected() == 1)
}

/// Those of one kind, by name, the one for all environments first.
pub async fn list(db: &PgPool, app_id: Uuid, kind: SettingKind) -> Result<Vec<Listed>> {
    Ok(sqlx::query_as(
        "select kind, name, environment, value, set_by, set_at from build_setting
         where app_id = $1 and kind = $2 order by name, environment nulls first",
    )
    .bind(app_id)
    .bind(kind.as_str())
    .fetch_all(db)
    .await?)
}

#[derive(FromRow)]
struct Stored {
    app_id: Uuid,
    name: String,
    environment: Option<String>,
    sealed: Option<Vec<u8>>,
    value: Option<String>,
}

impl Stored {
    fn which(&self) -> Which<'_> {
        Which { app_id: self.app_id, name: &self.name, environment: self.environment.as_deref() }
    }
}

/// What a build for this environment is given: what is set for the environment, else what is set for all.
pub async fn of_build(db: &PgPool, vault: &Vault, app_id: Uuid, environment: &str) -> Result<Settings> {
    let rows: Vec<Stored> = sqlx::query_as(
        "select distinct on (kind, name) app_id, name, environment, sealed, value from build_setting
         where app_id = $1 and (environment is null or environment = $2)
         order by kind, name, environment nulls last",
    )
    .bind(app_id)
    .bind(environment)
    .fetch_all(db)
    .await?;
    let (mut args, mut secrets, mut hashes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for row in rows {
        if let Some(sealed) = &row.sealed {
            let value = vault.open(place(row.which()), sealed);
            let value = value.with_context(|| format!("the build secret {} cannot be opened", row.name))?;
            hashes.insert(row.name.clone(), vault.hash(app_id, &row.name, value.expose_secret()));
            secrets.insert(row.name, value);
        } else if let Some(value) = row.value {
            args.insert(row.name, value);
        }
    }
    Ok(Settings { args, secrets: Arc::new(secrets), hashes })
}

/// Seals anew what was sealed with an older key, so that the key can go. Gives how many there were.
pub async fn reseal(db: &PgPool, vault: &Vault) -> Result<u64> {
    let rows: Vec<Stored> = sqlx::query_as(
        "select app_id, name, environment, sealed, value from build_setting where kind = $1 order by app_id",
    )
    .bind(SettingKind::Secret.as_str())
    .fetch_all(db)
    .await?;
    let mut resealed = 0;
    for row in rows {
        let which = row.which();
        let Some(sealed) = row.sealed.as_deref().filter(|sealed| !vault.is_current(sealed)) else { continue };
        let value = match vault.open(place(which), sealed) {
            Ok(value) => value,
            Err(error) => {
                tracing::warn!(%which.app_id, which.name, which.environment, "a build secret cannot be opened: {error}");
                continue;
            }
        };
        // One that was set meanwhile stays.
        let done = sqlx::query(
            "update build_setting set sealed = $5
             where app_id = $1 and kind = $2 and name = $3 and environment is not distinct from $4 and sealed = $6",
        )
        .bind(which.app_id)
        .bind(SettingKind::Secret.as_str())
        .bind(which.name)
        .bind(which.environment)
        .bind(vault.seal(place(which), value.expose_secret())?)
        .bind(sealed)
        .execute(db)
        .await?;
        resealed += done.rows_affected();
    }
    Ok(resealed)
}

const fn place(which: Which<'_>) -> Place<'_> {
    Place { app: which.app_id, environment: which.environment, name: which.name }
}

#[cfg(test)]
mod tests;
