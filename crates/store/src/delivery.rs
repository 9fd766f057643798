//! Webhook deliveries and what was made of them. Bodies are not kept, only their size and SHA-256.

use anyhow::Result;
use domain::verdict::Verdict;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::Time;

/// Refused deliveries come from anybody, so only the newest are kept.
const REFUSED_MAX: i64 = 1000;

#[derive(Debug, Clone, FromRow, serde::Serialize)]
pub struct Delivery {
    pub id: Uuid,
    pub hook_id: Uuid,
    pub delivery_key: Option<String>,
    pub event: Option<String>,
    pub verdict: String,
    pub why: Option<String>,
    #[sqlx(rename = "ref")]
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    pub commit: Option<String>,
    pub body_bytes: i64,
    pub received_at: Time,
}

#[derive(Debug, Clone)]
pub struct NewDelivery<'a> {
    pub hook_id: Uuid,
    pub app_id: Option<Uuid>,
    pub delivery_key: Option<&'a str>,
    pub event: Option<&'a str>,
    pub verdict: Verdict,
    pub why: Option<&'a str>,
    pub reference: Option<&'a str>,
    pub commit: Option<&'a str>,
    pub body_sha256: Option<&'a [u8]>,
    pub body_bytes: i64,
    /// The span that it was sent from, as the header `traceparent` of version 00 is written.
    pub trace_parent: Option<&'a str>,
}

/// Records a delivery and answers the verdict that was stored: `Duplicate` when a verified one with the same
/// key is there already.
pub async fn record(conn: &mut PgConnection, delivery: &NewDelivery<'_>) -> Result<Verdict> {
    if insert(conn, delivery, delivery.verdict).await? {
        return Ok(delivery.verdict);
    }
    insert(conn, delivery, Verdict::Duplicate).await?;
    Ok(Verdict::Duplicate)
}

async fn insert(conn: &mut PgConnection, delivery: &NewDelivery<'_>, verdict: Verdict) -> Result<bool> {
    let inserted = sqlx::query(
        "insert into delivery (id, hook_id, app_id, delivery_key, event, verdict, why, ref, commit, body_sha256, body_bytes, trace_parent)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         on conflict (hook_id, delivery_key) where verdict in ('accepted', 'ignored') do nothing",
    )
    .bind(Uuid::now_v7())
    .bind(delivery.hook_id)
    .bind(delivery.app_id)
    .bind(delivery.delivery_key)
    .bind(delivery.event)
    .bind(verdict.as_str())
    .bind(delivery.why)
    .bind(delivery.reference)
    .bind(delivery.commit)
    .bind(delivery.body_sha256)
    .bind(delivery.body_bytes)
    .bind(delivery.trace_parent)
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub async fn list(db: &PgPool, app_id: Uuid, limit: i64) -> Result<Vec<Delivery>> {
    Ok(sqlx::query_as("select * from delivery where app_id = $1 order by received_at desc, id desc limit $2")
        .bind(app_id)
        .bind(limit)
        .fetch_all(db)
        .await?)
}

/// Keeps the newest refused deliveries, so that a flood of them ends in a bounded table.
pub async fn forget_refused(db: &PgPool) -> Result<u64> {
    let gone = sqlx::query(
        "delete from delivery where verdict not in ('accepted', 'ignored') and received_at < (
             select received_at from delivery where verdict not in ('accepted', 'ignored')
             order by received_at desc offset $1 limit 1
         )",
    )
    .bind(REFUSED_MAX)
    .execute(db)
    .await?;
    Ok(gone.rows_affected())
}
