//! The log store on a real PostgreSQL: any bytes, any range, days that come and go, and logs that move to objects.

use domain::job::JobKind;
use jiff::civil::Date as Day;
use sqlx::PgPool;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::app::NewApp;
use crate::build::Build;
use crate::{app, branch, push, worker};

async fn running(db: &PgPool, commit: char) -> (Build, Job) {
    let mut tx = db.begin().await.unwrap();
    let name = format!("demo-{commit}");
    let app = app::create(&mut tx, &NewApp::pushed(&name, "main")).await.unwrap().unwrap();
    let main = branch::touch(&mut tx, app.id, "main").await.unwrap();
    let build = push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let job = queue::claim(db, &[JobKind::Build], "w", worker::LEASE).await.unwrap().unwrap();
    assert_eq!(job.subject, build.id);
    (build, job)
}

/// Moves the creation of a build that has written nothing yet.
async fn created(db: &PgPool, build: &Build, days_ago: i32) -> Day {
    let day: Date = sqlx::query_scalar(
        "update build set created_at = now() - make_interval(days => $2) where id = $1
         returning (created_at at time zone 'utc')::date",
    )
    .bind(build.id)
    .bind(days_ago)
    .fetch_one(db)
    .await
    .unwrap();
    day.to_jiff()
}

async fn write(db: &PgPool, (build, job): &(Build, Job), lines: &[Lines]) {
    let chunks: Vec<Chunk> = lines.iter().map(|lines| lines.pack().unwrap()).collect();
    let batch = Batch { chunks: &chunks, ..Batch::default() };
    assert!(append(db, job, build.id, &batch).await.unwrap());
}

async fn end(db: &PgPool, (build, job): &(Build, Job)) {
    let mut tx = db.begin().await.unwrap();
    assert!(queue::finish(&mut tx, job, queue::Outcome::Done).await.unwrap());
    sqlx::query("update build set state = 'failed', finished_at = now() where id = $1")
        .bind(build.id)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

fn here(db: &PgPool) -> Logs {
    Logs { db: db.clone(), archive: None }
}

fn folder(db: &PgPool) -> (TempDir, Logs) {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive::open(&Url::from_directory_path(folder.path()).unwrap()).unwrap();
    (folder, Logs { db: db.clone(), archive: Some(archive) })
}

/// 50 chunks of 100 lines, of two steps by turns.
fn long() -> Vec<Lines> {
    let lines = |chunk: i32| (0..100).map(move |n| format!("line {}", chunk * 100 + n));
    (0..50).map(|chunk| Lines::of(1 + chunk % 2, lines(chunk))).collect()
}

async fn whole(logs: &Logs, build: &Build, bytes: i64) -> (Vec<u8>, usize) {
    let (mut text, mut pages, mut from) = (Vec::new(), 0, 0);
    loop {
        let page = raw(logs, build.id, from, bytes).await.unwrap();
        if page.bytes.is_empty() {
            return (text, pages);
        }
        text.extend(page.bytes);
        from = page.next_line;
        pages += 1;
    }
}

fn expected() -> Vec<u8> {
    (0..5000).map(|n| format!("line {n}\n")).collect::<String>().into_bytes()
}

async fn partitions(db: &PgPool) -> Vec<Day> {
    let days: Vec<Date> =
        sqlx::query_scalar("select day from log_day order by day").fetch_all(db).await.unwrap();
    days.into_iter().map(Date::to_jiff).collect()
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn any_bytes_are_kept_and_shown_as_text(db: PgPool) {
    let running = running(&db, 'a').await;
    let lines: [&[u8]; 4] = [b"nul \0", b"bad \xff", b"\x1b[1mbold\x1b[0m", b""];
    write(&db, &running, &[Lines::of(0, lines), Lines::rest(1, b"rest")]).await;
    let logs = here(&db);
    assert_eq!(
        whole(&logs, &running.0, 1).await,
        (b"nul \0\nbad \xff\n\x1b[1mbold\x1b[0m\n\nrest\n".to_vec(), 2)
    );
    let shown = read(&logs, running.0.id, 0, 10).await.unwrap();
    let shown: Vec<_> =
        shown.iter().map(|line| (line.number, line.step, line.continues, &line.text[..])).collect();
    let bold = "\u{1b}[1mbold\u{1b}[0m";
    let all = [
        (0, 0, false, "nul \0"),
        (1, 0, false, "bad \u{fffd}"),
        (2, 0, false, bold),
        (3, 0, false, ""),
        (4, 1, true, "rest"),
    ];
    assert_eq!(shown, all);
    let extent = extent(&db, running.0.id).await.unwrap();
    assert_eq!((extent.line_count, extent.byte_count, extent.is_expired), (5, 31, false));
    assert!(read(&logs, Uuid::now_v7(), 0, 10).await.unwrap().is_empty(), "a build without a log");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn every_range_reads_alike_here_and_in_an_object(db: PgPool) {
    let running = running(&db, 'a').await;
    write(&db, &running, &long()).await;
    let (folder, logs) = folder(&db);
    let id = running.0.id;
    day::tend(&logs, 90).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "what runs is not moved");
    for is_moved in [false, true] {
        if is_moved {
            end(&db, &running).await;
            assert_eq!(day::tend(&logs, 90).await.unwrap().moved, 1);
            assert_eq!(day::tend(&logs, 90).await.unwrap(), day::Tended::default());
            // It is read from its object, not from here.
            sqlx::query("update log_chunk set body = ''").execute(&db).await.unwrap();
        }
        for (from, limit) in [(0, 1), (0, 5000), (99, 2), (100, 100), (2_345, 700), (4_999, 10), (5_000, 10)]
        {
            let lines = read(&logs, id, from, limit).await.unwrap();
            let to = (from + i64::try_from(limit).unwrap()).min(5_000);
            let numbers: Vec<i64> = lines.iter().map(|line| line.number).collect();
            assert_eq!(numbers, (from..to).collect::<Vec<_>>(), "{from} {limit}");
            assert!(lines.iter().all(|line| line.text == format!("line {}", line.number)));
            assert!(lines.iter().all(|line| i64::from(line.step) == 1 + line.number / 100 % 2));
        }
        let page = page(&logs, id, 150, 1_500).await.unwrap();
        assert_eq!((page.lines.len(), page.is_last), (150, false), "whole chunks, from the line asked for");
        assert_eq!(whole(&logs, &running.0, 10_000).await.0, expected());
    }
    let day = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let object = std::fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let text = zstd::stream::decode_all(std::fs::File::open(object).unwrap()).unwrap();
    assert_eq!(text, expected(), "the object is the log");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn old_days_are_dropped_and_their_logs_say_so(db: PgPool) {
    let old = running(&db, 'a').await;
    let old_day = created(&db, &old.0, 91).await;
    write(&db, &old, &long()).await;
    let young = running(&db, 'b').await;
    let young_day = created(&db, &young.0, 90).await;
    write(&db, &young, &long()).await;
    let logs = here(&db);
    assert!(partitions(&db).await.starts_with(&[old_day, young_day]));
    let tended = day::tend(&logs, 90).await.unwrap();
    assert_eq!(tended, day::Tended { moved: 0, dropped_days: 1, expired: 1 });
    let days = partitions(&db).await;
    assert_eq!((days.len(), days[0]), (3, young_day), "today and tomorrow are made ahead");
    let extent = extent(&db, old.0.id).await.unwrap();
    assert!(extent.is_expired && extent.line_count == 0 && extent.byte_count > 0);
    assert!(read(&logs, old.0.id, 0, 10).await.unwrap().is_empty());
    assert_eq!(whole(&logs, &young.0, 1 << 20).await.0, expected());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_day_that_moved_leaves_the_database_and_its_objects_expire_too(db: PgPool) {
    let running = running(&db, 'a').await;
    let day = created(&db, &running.0, 3).await;
    write(&db, &running, &long()).await;
    let (folder, logs) = folder(&db);
    day::tend(&logs, 90).await.unwrap();
    assert!(partitions(&db).await.contains(&day), "it runs");
    end(&db, &running).await;
    let tended = day::tend(&logs, 90).await.unwrap();
    assert_eq!(tended, day::Tended { moved: 1, dropped_days: 1, expired: 0 });
    assert!(!partitions(&db).await.contains(&day));
    assert_eq!(whole(&logs, &running.0, 1 << 20).await.0, expected());
    assert!(read(&here(&db), running.0.id, 0, 10).await.unwrap().is_empty(), "without the object store");

    assert_eq!(day::tend(&logs, 2).await.unwrap().expired, 1);
    assert!(extent(&db, running.0.id).await.unwrap().is_expired);
    assert!(read(&logs, running.0.id, 0, 10).await.unwrap().is_empty());
    let left = std::fs::read_dir(folder.path().join(day.to_string())).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the object is deleted");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_reader_does_not_hold_up_everybody_when_a_day_is_dropped(db: PgPool) {
    let running = running(&db, 'a').await;
    let day = created(&db, &running.0, 91).await;
    write(&db, &running, &long()).await;
    let mut reading = db.begin().await.unwrap();
    sqlx::query("select count(*) from log_chunk").execute(&mut *reading).await.unwrap();
    let logs = here(&db);
    assert_eq!(day::tend(&logs, 90).await.unwrap(), day::Tended::default());
    assert!(partitions(&db).await.contains(&day), "it is tried again later");
    reading.rollback().await.unwrap();
    assert_eq!(day::tend(&logs, 90).await.unwrap().dropped_days, 1);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_is_dropped_is_counted(db: PgPool) {
    let (build, job) = running(&db, 'a').await;
    for lines in [2, 3] {
        let dropped = Dropped { lines, bytes: lines * 10 };
        assert!(append(&db, &job, build.id, &Batch { dropped, ..Batch::default() }).await.unwrap());
    }
    let extent = extent(&db, build.id).await.unwrap();
    assert_eq!((extent.line_count, extent.dropped), (0, Dropped { lines: 5, bytes: 50 }));
}

#[sqlx::test(migrations = false)]
async fn logs_from_before_this_store_are_kept(db: PgPool) {
    let before: Vec<_> = crate::MIGRATOR.iter().filter(|it| it.version < 9).collect();
    for migration in before {
        sqlx::raw_sql(migration.sql.clone()).execute(&db).await.unwrap();
    }
    sqlx::raw_sql(
        "insert into app (id, name, default_branch, dockerfile, port, health_path)
             values ('018f0000-0000-7000-8000-000000000001', 'old', 'main', 'Dockerfile', 80, '/');
         insert into branch (id, app_id, name)
             values ('018f0000-0000-7000-8000-000000000002', '018f0000-0000-7000-8000-000000000001', 'main');
         insert into push (id, branch_id, generation, commit)
             values ('018f0000-0000-7000-8000-000000000003', '018f0000-0000-7000-8000-000000000002', 1, 'a');
         insert into build (id, app_id, branch_id, push_id, number, branch, commit, environment, created_at)
             values ('018f0000-0000-7000-8000-000000000004', '018f0000-0000-7000-8000-000000000001',
                 '018f0000-0000-7000-8000-000000000002', '018f0000-0000-7000-8000-000000000003', 1, 'main', 'a', 'main',
                 '2026-01-31 23:59:00Z');
         insert into log_chunk (build_id, first_line, line_count, step, body)
             values ('018f0000-0000-7000-8000-000000000004', 0, 2, 0, e'one\\ntwo \u{e4}'),
                 ('018f0000-0000-7000-8000-000000000004', 2, 1, 3, '');",
    )
    .execute(&db)
    .await
    .unwrap();
    let this = crate::MIGRATOR.iter().find(|it| it.version == 9).unwrap();
    sqlx::raw_sql(this.sql.clone()).execute(&db).await.unwrap();
    let id: Uuid = "018f0000-0000-7000-8000-000000000004".parse().unwrap();
    let lines = read(&here(&db), id, 0, 10).await.unwrap();
    let lines: Vec<_> = lines.iter().map(|it| (it.number, it.step, &it.text[..])).collect();
    assert_eq!(lines, [(0, 0, "one"), (1, 0, "two \u{e4}"), (2, 3, "")]);
    assert_eq!(partitions(&db).await, [jiff::civil::date(2026, 1, 31)]);
    assert_eq!(line_count(&db, id).await.unwrap(), 3);
}
