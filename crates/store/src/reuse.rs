//! Images that need not be built again: the same input, from bases whose names still mean the same.

use anyhow::Result;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::{layers, provenance};

/// An image that was built from an input.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Known {
    pub build_id: Uuid,
    pub number: i32,
    pub repository: String,
    pub digest: String,
}

/// The newest image of the application that was built from `input` and is not garbage, unless one of its bases may be
/// another one by now: what a name means is known from the last build that asked, which must be of the last hour.
pub async fn known(db: &PgPool, app_id: Uuid, input: &[u8]) -> Result<Option<Known>> {
    Ok(sqlx::query_as(
        "select image.build_id, build.number, image.repository, image.digest
         from image join build on build.id = image.build_id
         where image.app_id = $1 and image.input = $2 and image.garbage_at is null and not exists (
             select from build_base base where base.build_id = image.build_id and base.digest is distinct from (
                 select newest.digest from build_base newest join build asked on asked.id = newest.build_id
                 where newest.name = base.name and asked.reuses is null
                   and asked.finished_at > now() - interval '1 hour'
                 order by asked.finished_at desc limit 1))
         order by image.created_at desc limit 1",
    )
    .bind(app_id)
    .bind(input)
    .fetch_optional(db)
    .await?)
}

/// The build's image may be used again for this input, if it was said which bases it has.
pub async fn remember(conn: &mut PgConnection, build_id: Uuid, input: &[u8]) -> Result<()> {
    sqlx::query("update image set input = $2 where build_id = $1 and index_digest is not null")
        .bind(build_id)
        .bind(input)
        .execute(conn)
        .await?;
    Ok(())
}

/// The build used the image of `of` again, and so its layers and all that was attested of it. Call it after
/// [`crate::build::record_image`], in the same transaction.
pub async fn record(conn: &mut PgConnection, build_id: Uuid, of: Uuid) -> Result<()> {
    sqlx::query("update build set reuses = $2 where id = $1")
        .bind(build_id)
        .bind(of)
        .execute(&mut *conn)
        .await?;
    layers::inherit(&mut *conn, build_id, of).await?;
    provenance::inherit(conn, build_id, of).await
}

/// The number of the build whose image this one used again.
pub async fn of_build(db: &PgPool, build_id: Uuid) -> Result<Option<i32>> {
    Ok(sqlx::query_scalar(
        "select made.number from build join build made on made.id = build.reuses where build.id = $1",
    )
    .bind(build_id)
    .fetch_optional(db)
    .await?)
}

#[cfg(test)]
mod tests;
