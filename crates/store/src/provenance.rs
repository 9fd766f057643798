//! How images were made: the attested provenance, and the images that each build began from.

use anyhow::Result;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

/// An image that a build began from.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Base {
    pub name: String,
    /// The one that the name had then.
    pub digest: String,
}

/// What was attested of an image.
#[derive(Debug, Clone, Copy)]
pub struct Attested<'a> {
    /// Of the index that the attestation hangs on.
    pub index_digest: &'a str,
    pub predicate: &'a serde_json::Value,
    pub bases: &'a [Base],
}

/// Call it after [`crate::build::record_image`], in the same transaction.
pub async fn record(conn: &mut PgConnection, build_id: Uuid, attested: &Attested<'_>) -> Result<()> {
    let (names, digests): (Vec<&str>, Vec<&str>) =
        attested.bases.iter().map(|it| (it.name.as_str(), it.digest.as_str())).unzip();
    sqlx::query(
        "with indexed as (update image set index_digest = $2 where build_id = $1),
              told as (insert into provenance (build_id, predicate) values ($1, $3))
         insert into build_base (build_id, name, digest) select $1, name, digest from unnest($4::text[], $5::text[]) as t (name, digest)
         on conflict do nothing",
    )
    .bind(build_id)
    .bind(attested.index_digest)
    .bind(attested.predicate)
    .bind(names)
    .bind(digests)
    .execute(conn)
    .await?;
    Ok(())
}

/// The image of `from` is the build's too, and so is what was attested of it.
pub async fn inherit(conn: &mut PgConnection, build_id: Uuid, from: Uuid) -> Result<()> {
    sqlx::query(
        "with told as (
             insert into provenance (build_id, predicate) select $1, predicate from provenance where build_id = $2
         ), indexed as (
             update image set index_digest = (select index_digest from image where build_id = $2) where build_id = $1
         )
         insert into build_base (build_id, name, digest) select $1, name, digest from build_base where build_id = $2",
    )
    .bind(build_id)
    .bind(from)
    .execute(conn)
    .await?;
    Ok(())
}

/// The predicate that is attested of the build's image.
pub async fn of_build(db: &PgPool, build_id: Uuid) -> Result<Option<serde_json::Value>> {
    Ok(sqlx::query_scalar("select predicate from provenance where build_id = $1")
        .bind(build_id)
        .fetch_optional(db)
        .await?)
}

pub async fn bases(db: &PgPool, build_id: Uuid) -> Result<Vec<Base>> {
    Ok(sqlx::query_as("select name, digest from build_base where build_id = $1 order by name, digest")
        .bind(build_id)
        .fetch_all(db)
        .await?)
}
