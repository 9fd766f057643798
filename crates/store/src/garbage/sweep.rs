//! What each look for garbage found and did, and the numbers of all of them for the one page.

use anyhow::Result;
use domain::garbage::GarbageKind;
use sqlx::{FromRow, PgPool, Postgres, Transaction};

use crate::{Time, Word};

/// So far the numbers look back.
const DAYS: i32 = 30;
/// A builder or BuildKit that told nothing for so long, while others did, is gone, and what it held with it.
const HOLDER_HOURS: i32 = 3;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Counts {
    pub count: i64,
    pub bytes: i64,
}

/// One look for garbage of one kind at one place.
#[derive(Debug, Clone)]
pub struct Sweep<'a> {
    pub kind: GarbageKind,
    /// Whose disk it is; empty for what there is once.
    pub holder: &'a str,
    /// By which it went, in words.
    pub rule: &'a str,
    pub kept: Counts,
    /// Garbage that is still there.
    pub left: Counts,
    pub removed: Counts,
    /// What it could not do.
    pub fault: Option<&'a str>,
}

/// The right to look for garbage of a kind at a place, kept until it is dropped. `None`: somebody else looks just now, or
/// did within the last `seconds`.
pub async fn take_turn(
    db: &PgPool,
    kind: GarbageKind,
    holder: &str,
    seconds: u32,
) -> Result<Option<Transaction<'static, Postgres>>> {
    let mut tx = db.begin().await?;
    let is_free: bool = sqlx::query_scalar(
        "select pg_try_advisory_xact_lock(hashtextextended('sweep/' || $1 || '/' || $2, 0))",
    )
    .bind(kind.as_str())
    .bind(holder)
    .fetch_one(&mut *tx)
    .await?;
    // A statement of its own: it sees what the one before had recorded.
    let is_due: bool = sqlx::query_scalar(
        "select not exists (select from sweep where kind = $1 and holder = $2 and at > now() - make_interval(secs => $3))",
    )
    .bind(kind.as_str())
    .bind(holder)
    .bind(f64::from(seconds))
    .fetch_one(&mut *tx)
    .await?;
    if is_free && is_due {
        return Ok(Some(tx));
    }
    // Not left to the drop, which would keep the right for a moment more.
    tx.rollback().await?;
    Ok(None)
}

/// Writes the sweep down and says in the log what it did. A fault that is there each time is told once; the page goes on
/// showing it.
pub async fn tell(db: &PgPool, sweep: &Sweep<'_>) -> Result<()> {
    let before = record(db, sweep).await?;
    let (kind, holder, removed) = (sweep.kind.as_str(), sweep.holder, sweep.removed);
    if removed != Counts::default() {
        tracing::info!(kind, holder, removed.count, removed.bytes, "removed garbage");
    }
    if let Some(fault) = sweep.fault.filter(|fault| before.as_deref() != Some(*fault)) {
        tracing::warn!(kind, holder, "looking for garbage: {fault}");
    }
    Ok(())
}

/// Writes the sweep down; forgets those that nobody looks back to. Answers the fault of the one before it.
pub(super) async fn record(db: &PgPool, sweep: &Sweep<'_>) -> Result<Option<String>> {
    let before: Option<Option<String>> = sqlx::query_scalar(
        "select fault from sweep where kind = $1 and holder = $2 order by at desc limit 1",
    )
    .bind(sweep.kind.as_str())
    .bind(sweep.holder)
    .fetch_optional(db)
    .await?;
    sqlx::query(
        "with forgotten as (delete from sweep where at < now() - make_interval(days => $11))
         insert into sweep (kind, holder, rule, kept_count, kept_bytes, left_count, left_bytes, removed_count, removed_bytes, fault)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(sweep.kind.as_str())
    .bind(sweep.holder)
    .bind(sweep.rule)
    .bind(sweep.kept.count)
    .bind(sweep.kept.bytes)
    .bind(sweep.left.count)
    .bind(sweep.left.bytes)
    .bind(sweep.removed.count)
    .bind(sweep.removed.bytes)
    .bind(sweep.fault)
    .bind(DAYS)
    .execute(db)
    .await?;
    Ok(before.flatten())
}

/// The kept images and caches, and all that the registry has of ours. A layer is stored once, however many have it.
pub async fn image_counts(db: &PgPool) -> Result<(Counts, Counts)> {
    Ok((image_count(db, false).await?, image_count(db, true).await?))
}

async fn image_count(db: &PgPool, with_garbage: bool) -> Result<Counts> {
    Ok(sqlx::query_as(
        "with there as (
             (select distinct on (repository, digest) layers, size_bytes from image
              where removed_at is null and (garbage_at is null or $1) order by repository, digest, layers nulls last)
             union all
             select layers, 0 from registry_cache where (garbage_at is null and app_id is not null) or $1
         ), layer as (
             select distinct on (it ->> 'digest') (it ->> 'size')::bigint as size from there, jsonb_array_elements(layers) it
         )
         select count(*) as count, (coalesce(sum(size_bytes) filter (where layers is null), 0)
             + (select coalesce(sum(size), 0) from layer))::bigint as bytes from there",
    )
    .bind(with_garbage)
    .fetch_one(db)
    .await?)
}

/// The numbers of the logs of builds, which are dropped by the day when they are older than `keep_days`.
pub async fn record_logs(db: &PgPool, keep_days: u32, fault: Option<&str>) -> Result<()> {
    let counts = |is_old: bool| {
        sqlx::query_as(
            "select count(*) as count, coalesce(sum(coalesce(object_bytes, stored_bytes)), 0)::bigint as bytes
             from build_log where expired_at is null and (day < (now() at time zone 'utc')::date - $1) = $2",
        )
        .bind(i32::try_from(keep_days.min(36_500)).unwrap_or(i32::MAX))
        .bind(is_old)
        .fetch_one(db)
    };
    let (kept, left): (Counts, Counts) = (counts(false).await?, counts(true).await?);
    let rule = format!("Kept: those of the builds of the last {keep_days} days.");
    let kind = GarbageKind::Logs;
    record(db, &Sweep { kind, holder: "", rule: &rule, kept, left, removed: Counts::default(), fault })
        .await?;
    Ok(())
}

/// The numbers of one kind, at all places together.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Overview {
    #[sqlx(try_from = "String")]
    pub kind: Word<GarbageKind>,
    pub rule: String,
    pub kept_count: i64,
    pub kept_bytes: i64,
    pub left_count: i64,
    pub left_bytes: i64,
    /// In the last 30 days.
    pub removed_count: i64,
    pub removed_bytes: i64,
    pub looked_at: Time,
    /// At so many places.
    pub holders: i64,
    /// What the last look at each place could not do.
    pub faults: Vec<String>,
}

/// The numbers of each kind that was looked for.
pub async fn overview(db: &PgPool) -> Result<Vec<Overview>> {
    Ok(sqlx::query_as(
        "with newest as (
             select distinct on (kind, holder) * from sweep s
             where at > (select max(at) from sweep t where t.kind = s.kind) - make_interval(hours => $2)
             order by kind, holder, at desc, id desc
         ), removed as (
             select kind, sum(removed_count)::bigint as count, sum(removed_bytes)::bigint as bytes from sweep
             where at > now() - make_interval(days => $1) and kind <> 'logs' group by kind
             union all
             -- Their own rows say it exactly.
             select 'logs', count(*), coalesce(sum(stored_bytes), 0)::bigint from build_log
             where expired_at > now() - make_interval(days => $1)
         )
         select kind, (array_agg(rule order by at desc))[1] as rule, sum(kept_count)::bigint as kept_count,
             sum(kept_bytes)::bigint as kept_bytes, sum(left_count)::bigint as left_count,
             sum(left_bytes)::bigint as left_bytes, max(removed.count) as removed_count,
             max(removed.bytes) as removed_bytes, max(at) as looked_at, count(*) as holders,
             array_remove(array_agg(case holder when '' then fault else holder || ': ' || fault end order by holder), null)
                 as faults
         from newest join removed using (kind) group by kind
         order by array_position(array['images', 'mirrors', 'repositories', 'caches', 'logs'], kind)",
    )
    .bind(DAYS)
    .bind(HOLDER_HOURS)
    .fetch_all(db)
    .await?)
}
