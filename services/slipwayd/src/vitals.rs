//! What every role tells of itself, and what only one of them tells of all: the queue's numbers.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Result, anyhow};
use host::admin::Vitals;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use sqlx::PgPool;
use store::{bell, figures};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Jobs {
    kind: String,
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    state: String,
    reason: String,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    jobs: Family<Jobs, Gauge>,
    oldest: Family<Jobs, Gauge<f64, AtomicU64>>,
    ended: Family<Ended, Gauge>,
}

pub(crate) fn need_database(vitals: &Vitals, db: &PgPool) {
    let db = db.clone();
    vitals.health.needs("PostgreSQL", move || {
        let db = db.clone();
        async move {
            let answers = store::answers(&db).await;
            answers.then_some(()).ok_or_else(|| anyhow!("the database does not answer"))
        }
    });
    vitals.health.needs("the doorbell", async || bell::hears());
}

/// For one role of an installation, so that a sum over all processes is right. Counted when it is asked for; without the
/// database the last numbers stay, and /healthz says that it is away.
pub(crate) fn count_queue(vitals: &Vitals, db: &PgPool) {
    let queue = Arc::new(Queue::default());
    let all = queue.as_ref().clone();
    let Vitals { metrics, .. } = vitals;
    metrics.register("jobs", "Jobs that wait or run", all.jobs);
    metrics.register("job_oldest_seconds", "For how long the first of them has been ready", all.oldest);
    metrics.register("builds_ended_today", "Builds that ended in the last 24 hours, by how", all.ended);
    let db = db.clone();
    metrics.before_each_answer(move || {
        let (db, queue) = (db.clone(), queue.clone());
        async move {
            if let Err(error) = count(&db, &queue).await {
                tracing::debug!("counting the queue: {error:#}");
            }
        }
    });
}

async fn count(db: &PgPool, queue: &Queue) -> Result<()> {
    let (jobs, ended) = (figures::jobs(db).await?, figures::ended(db).await?);
    // What there is none of any more is said no more.
    queue.jobs.clear();
    queue.oldest.clear();
    queue.ended.clear();
    for it in jobs {
        let labels = Jobs { kind: it.kind, state: it.state };
        queue.oldest.get_or_create(&labels).set(it.oldest_seconds);
        queue.jobs.get_or_create(&labels).set(it.count);
    }
    for it in ended {
        let labels = Ended { state: it.state, reason: it.reason };
        queue.ended.get_or_create(&labels).set(it.count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[sqlx::test(migrator = "store::MIGRATOR")]
    async fn the_queue_in_numbers(db: PgPool) {
        let vitals = Vitals::default();
        need_database(&vitals, &db);
        count_queue(&vitals, &db);
        let job =
            "insert into job (kind, lane, lock_key, subject) values ('report', 'a', 'a', gen_random_uuid())";
        sqlx::query(job).execute(&db).await.unwrap();
        let text = vitals.metrics.text().await.unwrap();
        assert!(text.contains("slipway_jobs{kind=\"report\",state=\"queued\"} 1\n"), "{text}");
        sqlx::query("update job set state = 'done', finished_at = now()").execute(&db).await.unwrap();
        let text = vitals.metrics.text().await.unwrap();
        assert!(!text.contains("kind=\"report\""), "{text}");

        let answers = vitals.health.answers().await;
        let database = answers.iter().find(|it| it.need == "PostgreSQL").unwrap();
        assert_eq!(database.fault, None);
        db.close().await;
        let answers = vitals.health.answers().await;
        let database = answers.iter().find(|it| it.need == "PostgreSQL").unwrap();
        assert_eq!(database.fault.as_deref(), Some("the database does not answer"));
    }
}
