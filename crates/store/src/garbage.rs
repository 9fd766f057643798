//! Images that nothing needs: marked first, then removed from the registry.
//!
//! - Whoever records an image [`hold`]s all rows of its digest first, so that nobody removes it meanwhile.
//! - [`mark`] asks the policy while it holds the rows; what is marked is used by no build again.
//! - [`Removal`] holds the rows of one digest while the registry is told to forget it, and says before what of it no kept
//!   row needs. A crash before its end leaves the rows marked, and the next sweep begins them anew.

mod sweep;
#[cfg(test)]
mod tests;

use anyhow::Result;
use domain::garbage::{ImageFacts, Policy, is_image_garbage};
use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

pub use sweep::{Counts, Overview, Sweep, image_counts, overview, record_logs, take_turn, tell};

/// Keeps the image in the registry until the caller's transaction ends, if it is there. `false`: it was removed once, and
/// the registry has to be asked again.
pub async fn hold(conn: &mut PgConnection, repository: &str, digest: &str) -> Result<bool> {
    let removed: Vec<bool> = sqlx::query_scalar(
        "select removed_at is not null from image where digest = $1 and repository = $2 order by id for share",
    )
    .bind(digest)
    .bind(repository)
    .fetch_all(conn)
    .await?;
    Ok(!removed.contains(&true))
}

#[derive(FromRow)]
struct Row {
    id: Uuid,
    age_seconds: i64,
    is_in_use: bool,
    rank: Option<i64>,
    is_newest_of_branch: bool,
}

impl Row {
    fn facts(&self) -> ImageFacts {
        ImageFacts {
            age_seconds: u64::try_from(self.age_seconds).unwrap_or(0),
            is_in_use: self.is_in_use,
            rank: self.rank.map(|rank| u32::try_from(rank).unwrap_or(u32::MAX)),
            is_newest_of_branch: self.is_newest_of_branch,
        }
    }
}

/// Applications with images that are old enough to be garbage.
pub async fn apps(db: &PgPool, policy: &Policy) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "select distinct app_id from image where garbage_at is null and created_at <= now() - make_interval(days => $1)",
    )
    .bind(days(policy))
    .fetch_all(db)
    .await?)
}

/// Marks the images of one application that are garbage; answers how many.
pub async fn mark(db: &PgPool, app_id: Uuid, policy: &Policy) -> Result<u64> {
    let mut tx = db.begin().await?;
    let held: Vec<Uuid> = sqlx::query_scalar(
        "select id from image where app_id = $1 and garbage_at is null and created_at <= now() - make_interval(days => $2)
         order by id for update",
    )
    .bind(app_id)
    .bind(days(policy))
    .fetch_all(&mut *tx)
    .await?;
    // A statement of its own: it sees what those had written that were waited for.
    let rows: Vec<Row> = sqlx::query_as(
        "select i.id, floor(extract(epoch from clock_timestamp() - i.created_at))::bigint as age_seconds,
             coalesce(r.state in ('queued', 'rolling', 'live'), false) as is_in_use, r.rank,
             br.commit is not null and not exists (
                 select from build newer where newer.branch_id = b.branch_id and newer.number > b.number
                                           and newer.state = 'succeeded') as is_newest_of_branch
         from image i join build b on b.id = i.build_id join branch br on br.id = b.branch_id
         left join (
             select build_id, state, row_number() over (partition by environment_id order by version desc) as rank
             from release where environment_id in (select id from environment where app_id = $2)
         ) r on r.build_id = b.id
         where i.id = any($1)",
    )
    .bind(&held)
    .bind(app_id)
    .fetch_all(&mut *tx)
    .await?;
    let garbage = rows.iter().filter(|row| is_image_garbage(policy, &row.facts()));
    let garbage: Vec<Uuid> = garbage.map(|row| row.id).collect();
    let marked = sqlx::query("update image set garbage_at = now() where id = any($1)")
        .bind(&garbage)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(marked.rows_affected())
}

/// A manifest in a repository of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, FromRow)]
pub struct Manifest {
    pub repository: String,
    pub digest: String,
}

/// What is marked and still in the registry, the longest marked first. `app_id`: of one application only.
pub async fn marked(db: &PgPool, app_id: Option<Uuid>, limit: i64) -> Result<Vec<Manifest>> {
    Ok(sqlx::query_as(
        "select repository, digest from image
         where garbage_at is not null and removed_at is null and ($1::uuid is null or app_id = $1)
         group by repository, digest order by min(garbage_at), digest limit $2",
    )
    .bind(app_id)
    .bind(limit)
    .fetch_all(db)
    .await?)
}

/// One digest that is being removed; nobody can record an image of it meanwhile. Dropping it gives it up.
#[derive(Debug)]
pub struct Removal {
    tx: Transaction<'static, Postgres>,
    ids: Vec<Uuid>,
    /// Of the indices over it that go.
    pub indices: Vec<String>,
    /// The image itself goes too: no kept row names it.
    pub is_whole: bool,
}

#[derive(FromRow)]
struct Held {
    id: Uuid,
    index_digest: Option<String>,
    is_kept: bool,
    is_removed: bool,
}

/// `None`: nothing of it is marked any more.
pub async fn begin(db: &PgPool, manifest: &Manifest) -> Result<Option<Removal>> {
    let mut tx = db.begin().await?;
    sqlx::query("select from image where digest = $1 and repository = $2 order by id for update")
        .bind(&manifest.digest)
        .bind(&manifest.repository)
        .execute(&mut *tx)
        .await?;
    // Anew: rows that were added by whoever held these are among them now.
    let rows: Vec<Held> = sqlx::query_as(
        "select id, index_digest, garbage_at is null as is_kept, removed_at is not null as is_removed from image
         where digest = $1 and repository = $2",
    )
    .bind(&manifest.digest)
    .bind(&manifest.repository)
    .fetch_all(&mut *tx)
    .await?;
    let is_going = |row: &&Held| !row.is_kept && !row.is_removed;
    let ids: Vec<Uuid> = rows.iter().filter(is_going).map(|row| row.id).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    let kept: Vec<&Held> = rows.iter().filter(|row| row.is_kept).collect();
    let is_kept = |index: &String| kept.iter().any(|row| row.index_digest.as_ref() == Some(index));
    let mut indices: Vec<String> = rows
        .iter()
        .filter(is_going)
        .filter_map(|row| row.index_digest.clone())
        .filter(|index| !is_kept(index))
        .collect();
    indices.sort();
    indices.dedup();
    Ok(Some(Removal { tx, ids, indices, is_whole: kept.is_empty() }))
}

/// The registry has it no more; what is known to be in it goes too.
pub async fn end(mut removal: Removal) -> Result<u64> {
    if removal.is_whole {
        // The same image may be in another registry, too.
        sqlx::query(
            "delete from sbom using image
             where image.id = any($1) and sbom.app_id = image.app_id and sbom.digest = image.digest
               and not exists (select from image other
                     where other.digest = sbom.digest and other.app_id = sbom.app_id and other.removed_at is null
                       and other.id <> all($1))",
        )
        .bind(&removal.ids)
        .execute(&mut *removal.tx)
        .await?;
    }
    let ended = sqlx::query("update image set removed_at = clock_timestamp() where id = any($1)")
        .bind(&removal.ids)
        .execute(&mut *removal.tx)
        .await?;
    removal.tx.commit().await?;
    Ok(ended.rows_affected())
}

fn days(policy: &Policy) -> i32 {
    i32::try_from(policy.image_days).unwrap_or(i32::MAX)
}
