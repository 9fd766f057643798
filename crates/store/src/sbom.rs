//! What is in images: documents that are made after the builds, one try at a time, each of which may die.

use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::Time;

/// Then it is given up.
pub const ATTEMPT_MAX: i32 = 5;
/// Who has begun a try and not ended it within this time is taken for dead. A try must be over before.
pub const TRY_MAX: Duration = Duration::from_secs(15 * 60);
/// Documents are made once and read seldom.
const LEVEL: i32 = 9;

/// An image whose document somebody has begun to make.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Wanted {
    pub app_id: Uuid,
    pub digest: String,
    pub repository: String,
    /// Counts from 1.
    pub attempt: i32,
    pub created_at: Time,
}

/// The image wants a document. Call it last in the transaction that records the image: another build that ends with the
/// same image waits for this one, and must hold nothing that this one needs.
pub async fn want(conn: &mut PgConnection, app_id: Uuid, digest: &str) -> Result<()> {
    sqlx::query("insert into sbom (app_id, digest) values ($1, $2) on conflict do nothing")
        .bind(app_id)
        .bind(digest)
        .execute(conn)
        .await?;
    Ok(())
}

/// Begins a try for the newest image that wants one: once its release is over the hill, or after a while. When there is
/// none, those are given up that had all their tries.
pub async fn begin(db: &PgPool) -> Result<Option<Wanted>> {
    // Image by image, from the newest on: an `exists` beside an `or` would read all releases there are.
    let next: Option<Wanted> = sqlx::query_as(
        "with next as (
             select s.app_id, s.digest, i.repository from sbom s
             cross join lateral (
                 select (array_agg(repository order by image.created_at desc))[1] as repository,
                     bool_or(r.state not in ('queued', 'rolling')) as is_over
                 from image left join release r on r.build_id = image.build_id
                 where image.digest = s.digest and image.app_id = s.app_id and removed_at is null
                 having count(*) > 0
             ) i
             where due_at is not null and attempt < $2 and (due_at <= now() or (attempt = 0 and is_over))
             order by s.created_at desc limit 1 for update of s skip locked
         )
         update sbom set attempt = attempt + 1, due_at = now() + make_interval(secs => $1) from next
         where sbom.app_id = next.app_id and sbom.digest = next.digest
         returning sbom.app_id, sbom.digest, next.repository, sbom.attempt, sbom.created_at",
    )
    .bind(TRY_MAX.as_secs_f64())
    .bind(ATTEMPT_MAX)
    .fetch_optional(db)
    .await?;
    if next.is_none() {
        sqlx::query(
            "update sbom set due_at = null, fault = coalesce(fault, 'each builder that read it died')
             where due_at <= now() and attempt >= $1",
        )
        .bind(ATTEMPT_MAX)
        .execute(db)
        .await?;
    }
    Ok(next)
}

/// Keeps the document, a JSON text. `false`: the image is gone, or somebody else was faster.
pub async fn finish(db: &PgPool, wanted: &Wanted, document: &str) -> Result<bool> {
    let document = document.to_owned();
    // The largest take 0.2 s of a core, and whoever serves builds here is not to wait for that.
    let packing = tokio::task::spawn_blocking(move || zstd::bulk::compress(document.as_bytes(), LEVEL));
    let packed = packing.await?.context("compressing an SBOM")?;
    let kept = sqlx::query(
        "update sbom set document = $3, due_at = null, fault = null
         where app_id = $1 and digest = $2 and document is null",
    )
    .bind(wanted.app_id)
    .bind(&wanted.digest)
    .bind(packed)
    .execute(db)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// The try ended without a document; the next one begins after a while that grows, and none after the last.
pub async fn fail(db: &PgPool, wanted: &Wanted, fault: &str) -> Result<()> {
    sqlx::query(
        "update sbom set fault = $4,
             due_at = case when attempt < $5 then now() + make_interval(mins => (4 ^ (attempt - 1))::int) end
         where app_id = $1 and digest = $2 and attempt = $3 and document is null",
    )
    .bind(wanted.app_id)
    .bind(&wanted.digest)
    .bind(wanted.attempt)
    .bind(fault)
    .bind(ATTEMPT_MAX)
    .execute(db)
    .await?;
    Ok(())
}

/// The try never was: its builder shuts down.
pub async fn hand_back(db: &PgPool, wanted: &Wanted) -> Result<()> {
    sqlx::query(
        "update sbom set attempt = attempt - 1, due_at = now()
         where app_id = $1 and digest = $2 and attempt = $3 and due_at is not null",
    )
    .bind(wanted.app_id)
    .bind(&wanted.digest)
    .bind(wanted.attempt)
    .execute(db)
    .await?;
    Ok(())
}

/// How the document of a build's image stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The JSON text.
    Made(String),
    /// What went wrong so far.
    Wanted(Option<String>),
    GivenUp(String),
    /// The registry has the image no more.
    Gone,
}

#[derive(FromRow)]
struct Row {
    is_wanted: Option<bool>,
    fault: Option<String>,
    document: Option<Vec<u8>>,
}

/// `None`: the build made no image.
pub async fn of_build(db: &PgPool, build_id: Uuid) -> Result<Option<Standing>> {
    let row: Option<Row> = sqlx::query_as(
        "select due_at is not null and sbom.app_id is not null as is_wanted, fault, document
         from image left join sbom on sbom.app_id = image.app_id and sbom.digest = image.digest and removed_at is null
         where build_id = $1",
    )
    .bind(build_id)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(match row {
        Row { document: Some(packed), .. } => {
            let text = zstd::stream::decode_all(packed.as_slice()).context("unpacking an SBOM")?;
            Standing::Made(String::from_utf8(text).context("an SBOM is not text")?)
        }
        Row { is_wanted: Some(true), fault, .. } => Standing::Wanted(fault),
        Row { fault: Some(fault), .. } => Standing::GivenUp(fault),
        Row { fault: None, .. } => Standing::Gone,
    }))
}

/// Whether the document of the build's image is there.
pub async fn is_made(db: &PgPool, build_id: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "select exists (
             select from image join sbom on sbom.app_id = image.app_id and sbom.digest = image.digest
             where build_id = $1 and removed_at is null and document is not null)",
    )
    .bind(build_id)
    .fetch_one(db)
    .await?)
}

#[cfg(test)]
mod tests;
