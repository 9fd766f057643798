//! The journal and a real PostgreSQL: long logs, and one that is slow, away, or not ours to write to any more.

use domain::job::JobKind;
use rand::{Rng as _, RngCore as _};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use store::app::NewApp;
use store::log::Logs;
use store::queue;
use tokio::time::{sleep, timeout};

use super::*;

async fn running(db: &PgPool) -> (Build, Job) {
    let mut tx = db.begin().await.unwrap();
    let app = store::app::create(&mut tx, &NewApp::pushed("demo", "main")).await.unwrap().unwrap();
    let main = store::branch::touch(&mut tx, app.id, "main").await.unwrap();
    let build = store::push::record(&mut tx, &main, &"a".repeat(40)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let job = queue::claim(db, &[JobKind::Build], "w", store::worker::LEASE).await.unwrap().unwrap();
    (build, job)
}

/// As it was written.
async fn whole(db: &PgPool, build: &Build) -> Vec<u8> {
    let logs = Logs { db: db.clone(), archive: None };
    let (mut text, mut from) = (Vec::new(), 0);
    loop {
        let raw = log::raw(&logs, build.id, from, 1 << 20).await.unwrap();
        if raw.bytes.is_empty() {
            return text;
        }
        text.extend(raw.bytes);
        from = raw.next_line;
    }
}

async fn send(log: &Log, event: Event) {
    let bytes = event.bytes();
    log.events().send(event, bytes).await.unwrap();
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_long_log_with_long_lines_is_kept_whole(db: PgPool) {
    let (build, job) = running(&db).await;
    let (log, events) = open(Redactor::new([]));
    let mut expected = Vec::new();
    let saying = async {
        for n in 0..200_000 {
            let mut text = format!("{n} {}", "compiling src/main.rs ".repeat(15));
            if n % 50_000 == 7 {
                text = n.to_string().repeat(1 << 17);
            }
            expected.extend(text.as_bytes());
            expected.push(b'\n');
            send(&log, line(1 + n % 3, &text)).await;
        }
        drop(log);
    };
    let ((), written) = tokio::join!(saying, write(&db, &job, &build, NO_LIMIT, events));
    written.unwrap();
    let extent = log::extent(&db, build.id).await.unwrap();
    assert_eq!((extent.line_count, extent.dropped), (200_000, Dropped::default()));
    assert!(expected.len() > 64 << 20 && extent.byte_count == i64::try_from(expected.len()).unwrap());
    assert!(extent.stored_bytes * 10 < extent.byte_count, "{extent:?}");
    // Lines of steps that ran beside each other come together; each line is there once.
    let written = whole(&db, &build).await;
    let sorted = |text: &[u8]| {
        let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort_unstable();
        lines
    };
    assert!(sorted(&written) == sorted(&expected), "every line once");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_database_that_does_not_answer_costs_no_line_and_little_memory(db: PgPool) {
    let (build, job) = running(&db).await;
    let (log, events) = open(Redactor::new([]));
    let mut blocking = db.begin().await.unwrap();
    sqlx::query("lock table job in access exclusive mode").execute(&mut *blocking).await.unwrap();
    let mut expected = Vec::new();
    let saying = async {
        let mut sent = 0;
        // Nothing can be compressed of these.
        for _ in 0..100 {
            let mut bytes = vec![0; 1 << 20];
            rand::rng().fill_bytes(&mut bytes);
            bytes.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b'x');
            let event = Event::Line(Line { step: 1, bytes: bytes.clone(), continues: false });
            expected.extend(bytes);
            expected.push(b'\n');
            let mut sending = std::pin::pin!(send(&log, event));
            if timeout(Duration::from_secs(2), &mut sending).await.is_err() {
                blocking.rollback().await.unwrap();
                sending.await;
                break;
            }
            sent += 1;
        }
        assert!(sent < 30, "{sent} MiB were taken while nothing could be written");
        drop(log);
    };
    let ((), written) = tokio::join!(saying, write(&db, &job, &build, NO_LIMIT, events));
    written.unwrap();
    assert!(whole(&db, &build).await == expected);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_database_that_was_away_has_every_line_once(db: PgPool) {
    let (build, job) = running(&db).await;
    let other = db.connect_options().as_ref().clone();
    let name = other.get_database().unwrap().to_owned();
    let mut other = PgConnection::connect_with(&other.database("postgres")).await.unwrap();
    let mut switch = async |is_here: bool| {
        let statement = format!(
            "alter database \"{name}\" allow_connections {is_here};
             select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut other).await.unwrap();
    };
    let (log, events) = open(Redactor::new([]));
    let saying = async {
        for n in 0..200 {
            if n % 50 == 10 {
                switch(false).await;
            }
            if n % 50 == 40 {
                switch(true).await;
            }
            send(&log, line(1, &n.to_string())).await;
            sleep(Duration::from_millis(rand::rng().random_range(0..20))).await;
        }
        drop(log);
    };
    let ((), written) = tokio::join!(saying, write(&db, &job, &build, NO_LIMIT, events));
    written.unwrap();
    let expected: String = (0..200).map(|n| format!("{n}\n")).collect();
    assert_eq!(String::from_utf8(whole(&db, &build).await).unwrap(), expected);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_limit_is_the_build_s_and_its_last_words_are_kept(db: PgPool) {
    let (build, job) = running(&db).await;
    for _ in 0..2 {
        let (log, events) = open(Redactor::new([]));
        let saying = async {
            for n in 0..2_000 {
                send(&log, line(1, &format!("{n:1023}"))).await;
            }
            log.say("failed: it did not work".to_owned()).await;
            drop(log);
        };
        let ((), written) = tokio::join!(saying, write(&db, &job, &build, 1 << 20, events));
        written.unwrap();
    }
    let extent = log::extent(&db, build.id).await.unwrap();
    // The first attempt has 1024 lines and the last 256; of the second one the last 256 are there.
    assert_eq!(extent.dropped.lines, 4_000 - 1024 - 2 * 256);
    let text = String::from_utf8(whole(&db, &build).await).unwrap();
    let last: Vec<&str> = text.lines().rev().take(2).map(str::trim_start).collect();
    assert_eq!(last, ["builder: failed: it did not work", "1999"]);
    assert_eq!(text.lines().filter(|line| line.trim_start() == "1999").count(), 2, "once for each attempt");
    assert!(
        text.contains("builder: 720 lines (720.0 KiB) left out here; the last 256 lines follow"),
        "{text}"
    );
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_comes_after_the_lease_is_lost_is_taken_and_dropped(db: PgPool) {
    let (build, job) = running(&db).await;
    let (log, events) = open(Redactor::new([]));
    let saying = async {
        send(&log, line(1, "ours")).await;
        while whole(&db, &build).await.is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
        sqlx::query("update job set lease_until = now() - interval '1 s'").execute(&db).await.unwrap();
        queue::sweep(&db).await.unwrap();
        for _ in 0..64 {
            send(&log, line(1, &"x".repeat(1 << 20))).await;
        }
        drop(log);
    };
    let ((), written) = tokio::join!(saying, write(&db, &job, &build, NO_LIMIT, events));
    written.unwrap();
    assert_eq!(whole(&db, &build).await, b"ours\n");
}
