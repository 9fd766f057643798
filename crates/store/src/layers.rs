//! What images consist of, and how much of one its application had before.

use anyhow::Result;
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// A layer or the config of an image, as the registry keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Layer<'a> {
    pub digest: &'a str,
    pub size: i64,
}

/// Call it after [`crate::build::record_image`], in the same transaction.
pub async fn record(conn: &mut PgConnection, build_id: Uuid, layers: &[Layer<'_>]) -> Result<()> {
    sqlx::query("update image set layers = $2 where build_id = $1")
        .bind(build_id)
        .bind(Json(layers))
        .execute(conn)
        .await?;
    Ok(())
}

/// As [`record`], for a build that used the image of `of` again.
pub async fn inherit(conn: &mut PgConnection, build_id: Uuid, of: Uuid) -> Result<()> {
    sqlx::query(
        "update image set layers = (select layers from image where build_id = $2) where build_id = $1",
    )
    .bind(build_id)
    .bind(of)
    .execute(conn)
    .await?;
    Ok(())
}

/// How many bytes of a build's image the application's image before it has not. `None`: there is none before it, or of
/// one of the two it is not known what it consists of.
pub async fn new_bytes(db: &PgPool, build_id: Uuid) -> Result<Option<i64>> {
    let new: Option<Option<i64>> = sqlx::query_scalar(
        "with this as (
             select image.layers, build.number, image.app_id
             from image join build on build.id = image.build_id where image.build_id = $1
         ), before as (
             select image.layers from image join build on build.id = image.build_id, this
             where image.app_id = this.app_id and build.number < this.number order by build.number desc limit 1
         )
         -- A layer may be there twice, and is stored once.
         select (select coalesce(sum(size), 0)::bigint
                 from (select distinct it ->> 'digest' as digest, (it ->> 'size')::bigint as size
                       from jsonb_array_elements(this.layers) it) layer
                 where not exists (select from jsonb_array_elements(before.layers) had
                                   where had ->> 'digest' = layer.digest))
         from this, before where this.layers is not null and before.layers is not null",
    )
    .bind(build_id)
    .fetch_optional(db)
    .await?;
    Ok(new.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{self, NewApp};
    use crate::build;
    use crate::push::{self, Intent};
    use domain::push_options::PushOptions;

    /// A build with an image of these layers.
    async fn built(db: &PgPool, app_id: Uuid, layers: Option<&[Layer<'_>]>) -> Uuid {
        let (id, options, new) = (Uuid::now_v7(), PushOptions::default(), "a".repeat(40));
        let intent =
            Intent { id, app_id, branch: "main", old: None, new: &new, pusher: "ann", options: &options };
        let mut tx = db.begin().await.unwrap();
        push::begin(&mut tx, &intent).await.unwrap();
        let held = push::hold(&mut tx, id).await.unwrap().unwrap();
        let build = push::accept(&mut tx, &held).await.unwrap();
        build::record_image(&mut tx, &build, "registry/demo", "sha256:1", 42).await.unwrap();
        if let Some(layers) = layers {
            record(&mut tx, build.id, layers).await.unwrap();
        }
        tx.commit().await.unwrap();
        build.id
    }

    async fn app(db: &PgPool, name: &str) -> Uuid {
        let mut conn = db.acquire().await.unwrap();
        app::create(&mut conn, &NewApp::pushed(name, "main")).await.unwrap().unwrap().id
    }

    /// An application, the layers of an image of it, if it has one, and how much of that is new.
    type Case<'a> = (Uuid, Option<&'a [Layer<'a>]>, Option<i64>);

    #[sqlx::test(migrator = "crate::MIGRATOR")]
    async fn what_the_image_before_has_is_not_new(db: PgPool) {
        let layer = |digest, size| Layer { digest, size };
        let (base, empty, one, two) = (layer("b", 4000), layer("e", 32), layer("1", 100), layer("2", 7));
        let (demo, other) = (app(&db, "demo").await, app(&db, "other").await);
        let cases: [Case<'_>; 8] = [
            (demo, Some(&[base, one]), None),
            (demo, Some(&[base, one]), Some(0)),
            (demo, Some(&[base, empty, two, empty]), Some(39)),
            // Another application's is none of its business.
            (other, Some(&[base, one]), None),
            (demo, Some(&[base, one, two]), Some(100)),
            (demo, None, None),
            (demo, Some(&[base]), None),
            (demo, Some(&[]), Some(0)),
        ];
        for (round, (app, layers, expected)) in cases.into_iter().enumerate() {
            let build = built(&db, app, layers).await;
            assert_eq!(new_bytes(&db, build).await.unwrap(), expected, "{round}");
        }
        assert_eq!(new_bytes(&db, Uuid::nil()).await.unwrap(), None);

        let made = built(&db, other, Some(&[base, one, two])).await;
        let reusing = built(&db, other, None).await;
        assert_eq!(new_bytes(&db, reusing).await.unwrap(), None);
        inherit(&mut db.acquire().await.unwrap(), reusing, made).await.unwrap();
        assert_eq!(new_bytes(&db, reusing).await.unwrap(), Some(0));
    }
}
