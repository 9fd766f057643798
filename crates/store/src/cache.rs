//! Caches of builds in the registry: whose turn it is to export one, which one there is, and which BuildKit needs it.

use std::time::Duration;

use anyhow::Result;
use domain::cache::{BUILDS_ENOUGH, Built, IDLE_SECONDS_MAX, is_cold};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::layers::Layer;

/// A BuildKit that built nothing of an application for so long is forgotten.
const REMEMBERED_DAYS: i32 = 30;

/// An application's cache, and what each BuildKit built of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// By digest: what others write into the registry is not believed.
    reference: String,
    built: Vec<(String, Built)>,
}

impl Known {
    /// What the BuildKit of this id is to import.
    pub fn import(&self, worker: &str) -> Option<&str> {
        let built = self.built.iter().find(|(it, _)| it == worker).map(|(_, built)| *built);
        is_cold(built).then_some(self.reference.as_str())
    }
}

#[derive(FromRow)]
struct Row {
    reference: String,
    worker: Option<String>,
    builds: Option<i32>,
    idle_seconds: Option<i64>,
}

/// `None`: the registry has no cache of the application.
pub async fn known(db: &PgPool, app_id: Uuid) -> Result<Option<Known>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select cache.repository || '@' || cache.digest as reference, built.worker, built.builds,
             floor(extract(epoch from now() - built.built_at))::bigint as idle_seconds
         from registry_cache cache left join worker_build built on built.app_id = cache.app_id
         where cache.app_id = $1 and cache.garbage_at is null",
    )
    .bind(app_id)
    .fetch_all(db)
    .await?;
    let Some(reference) = rows.first().map(|row| row.reference.clone()) else { return Ok(None) };
    let built =
        |row: Row| Some((row.worker?, Built { builds: row.builds?, idle_seconds: row.idle_seconds? }));
    Ok(Some(Known { reference, built: rows.into_iter().filter_map(built).collect() }))
}

/// The BuildKit of this id built the application: from what it `imported`, which does not give it all, or by itself, and
/// then it has all of it. Of one that is warm it is written down once an hour.
pub async fn built(db: &PgPool, app_id: Uuid, worker: &str, imported: bool) -> Result<()> {
    sqlx::query(
        "insert into worker_build as it (app_id, worker, builds) values ($1, $2, $5)
         on conflict (app_id, worker) do update set built_at = now(), builds =
             case when it.built_at < now() - make_interval(secs => $4) then $5 else least(it.builds + $5, $3) end
         where it.builds < $3 or it.built_at < now() - interval '1 hour'",
    )
    .bind(app_id)
    .bind(worker)
    .bind(BUILDS_ENOUGH)
    .bind(f64::from(IDLE_SECONDS_MAX))
    .bind(if imported { 1 } else { BUILDS_ENOUGH })
    .execute(db)
    .await?;
    Ok(())
}

/// The BuildKit of this id has nothing any more.
pub async fn forget(db: &PgPool, worker: &str) -> Result<()> {
    sqlx::query("delete from worker_build where worker = $1").bind(worker).execute(db).await?;
    Ok(())
}

/// Whether an application's cache may be exported now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Taken,
    /// Somebody did so not long ago.
    After(Duration),
    /// It is there already.
    Needless,
}

/// `input`: what the build was made from, unless its cache is another one in any case.
pub async fn take_turn(db: &PgPool, app_id: Uuid, input: Option<&[u8]>, every: Duration) -> Result<Turn> {
    let is_there: bool = sqlx::query_scalar(
        "select exists (select from registry_cache where app_id = $1 and input = $2 and garbage_at is null)",
    )
    .bind(app_id)
    .bind(input)
    .fetch_one(db)
    .await?;
    if is_there {
        return Ok(Turn::Needless);
    }
    // Within a statement now() is one moment: the age of what it wrote itself is zero.
    let age: f64 = sqlx::query_scalar(
        "insert into cache_turn as it (app_id, taken_at) values ($1, now())
         on conflict (app_id) do update set taken_at =
             case when it.taken_at <= now() - make_interval(secs => $2) then now() else it.taken_at end
         returning extract(epoch from now() - taken_at)::float8",
    )
    .bind(app_id)
    .bind(every.as_secs_f64())
    .fetch_one(db)
    .await?;
    Ok(if age > 0.0 { Turn::After(every.saturating_sub(Duration::from_secs_f64(age))) } else { Turn::Taken })
}

/// A turn that was taken and not used is the next one's.
pub async fn give_back(db: &PgPool, app_id: Uuid) -> Result<()> {
    sqlx::query("delete from cache_turn where app_id = $1").bind(app_id).execute(db).await?;
    Ok(())
}

/// A cache as the registry has it.
#[derive(Debug, Clone, Copy)]
pub struct Exported<'a> {
    pub app_id: Uuid,
    pub repository: &'a str,
    pub digest: &'a str,
    pub input: &'a [u8],
    pub layers: &'a [Layer<'a>],
}

/// Puts it in the place of the application's former one, which is garbage from then on. Nobody removes this one until
/// the transaction ends; it may have been garbage, and be removed, before: ask the registry then.
pub async fn record(conn: &mut PgConnection, exported: &Exported<'_>) -> Result<()> {
    sqlx::query("update registry_cache set garbage_at = now() where app_id = $1 and garbage_at is null")
        .bind(exported.app_id)
        .execute(&mut *conn)
        .await?;
    sqlx::query(
        "insert into registry_cache (id, app_id, repository, digest, input, layers) values ($1, $2, $3, $4, $5, $6)
         on conflict (repository, digest) do update set app_id = excluded.app_id, input = excluded.input,
             layers = excluded.layers, created_at = now(), garbage_at = null",
    )
    .bind(Uuid::now_v7())
    .bind(exported.app_id)
    .bind(exported.repository)
    .bind(exported.digest)
    .bind(exported.input)
    .bind(Json(exported.layers))
    .execute(&mut *conn)
    .await?;
    sqlx::query("delete from worker_build where built_at < now() - make_interval(days => $1)")
        .bind(REMEMBERED_DAYS)
        .execute(conn)
        .await?;
    Ok(())
}

/// One cache that is being removed; nobody can record it meanwhile. Dropping it gives it up.
#[derive(Debug)]
pub struct Removal {
    tx: Transaction<'static, Postgres>,
    id: Uuid,
    /// `HOST/NAME@DIGEST`
    pub reference: String,
}

/// Caches that a newer one took the place of, or whose application is gone.
pub async fn garbage(db: &PgPool, limit: i64) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "select id from registry_cache where garbage_at is not null or app_id is null order by garbage_at, id limit $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await?)
}

/// `None`: it is gone, or needed again.
pub async fn begin(db: &PgPool, id: Uuid) -> Result<Option<Removal>> {
    let mut tx = db.begin().await?;
    let reference: Option<String> = sqlx::query_scalar(
        "select repository || '@' || digest from registry_cache
         where id = $1 and (garbage_at is not null or app_id is null) for update",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await?;
    Ok(reference.map(|reference| Removal { tx, id, reference }))
}

/// The registry has it no more.
pub async fn end(mut removal: Removal) -> Result<()> {
    sqlx::query("delete from registry_cache where id = $1")
        .bind(removal.id)
        .execute(&mut *removal.tx)
        .await?;
    removal.tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests;
