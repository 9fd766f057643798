//! A build as it happens: events and the growing log.

use futures::StreamExt as _;
use store::bell::{Channel, ring};
use store::rings;

use super::*;

/// `(event, id, data)` of each event of a stream that ends.
fn events(stream: &str) -> Vec<(&str, Option<&str>, &str)> {
    let field = |event: &'_ str, name: &str| -> Option<usize> {
        event.lines().position(|line| line.starts_with(name))
    };
    stream
        .split("\n\n")
        .filter(|event| event.contains("event: "))
        .map(|event| {
            let value = |name: &str| {
                field(event, name).and_then(|n| event.lines().nth(n)).map(|line| &line[name.len()..])
            };
            (value("event: ").unwrap(), value("id: "), value("data: ").unwrap())
        })
        .collect()
}

fn kinds<'a>(events: &[(&'a str, Option<&str>, &str)]) -> Vec<&'a str> {
    events.iter().map(|event| event.0).collect()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_stream_goes_on_where_it_was_cut(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    write(&db, &job, &build, 0, 3).await;
    live(&db, &released(&db, &app, &build, &job).await).await;

    let all = get(&web, "/api/v1/apps/demo/builds/1/events").await.2;
    let all = events(&all);
    assert_eq!(kinds(&all), ["step", "line", "line", "line", "state", "end"]);
    assert_eq!((all[1].1, all[3].1), (Some("1"), Some("3")));
    assert_eq!(serde_json::from_str::<Value>(all[5].2).unwrap()["status"], "live");
    let resumed = bearer("GET", "/api/v1/apps/demo/builds/1/events?from=0").header("last-event-id", "2");
    let resumed = send(&web, resumed.body(Body::empty()).unwrap()).await.2;
    let resumed = events(&resumed);
    assert_eq!(kinds(&resumed), ["step", "line", "state", "end"]);
    assert_eq!(resumed[1].1, Some("3"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn lines_come_while_the_build_runs(db: PgPool) {
    let state = state(&db).await;
    let mut listening = tokio::task::JoinSet::new();
    listening.spawn(rings::listen(db.clone(), state.rings.clone(), state.shutdown.clone()));
    let web = router(state);
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let request = bearer("GET", "/api/v1/apps/demo/builds/1/log.txt").body(Body::empty()).unwrap();
    let mut log = web.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    let mut text = String::new();
    for n in 0..3 {
        write(&db, &job, &build, n * 10, (n + 1) * 10).await;
        ring(&db, Channel::Build, &build.id.to_string()).await;
        let last = format!("line {}", n * 10 + 9);
        while !text.contains(&last) {
            text.push_str(std::str::from_utf8(&log.next().await.unwrap().unwrap()).unwrap());
        }
    }
    released(&db, &app, &build, &job).await;
    while let Some(rest) = log.next().await {
        text.push_str(std::str::from_utf8(&rest.unwrap()).unwrap());
    }
    let expected: String = (0..30).map(|n| format!("line {n} <b>\n")).collect();
    assert_eq!(text, expected, "every line once, and the stream ends with the build");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_long_log_is_sent_whole(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    for n in 0..25 {
        write(&db, &job, &build, n * 100, (n + 1) * 100).await;
    }
    released(&db, &app, &build, &job).await;
    let text = get(&web, "/api/v1/apps/demo/builds/1/log.txt").await.2;
    let expected: String = (0..2500).map(|n| format!("line {n} <b>\n")).collect();
    assert_eq!(text, expected);
}

/// Chunks of a running build, as its builder writes them.
async fn append(db: &PgPool, job: &Job, build: &Build, steps: &[StepUpdate], lines: &[Lines], dropped: i64) {
    let chunks: Vec<_> = lines.iter().map(|lines| lines.pack().unwrap()).collect();
    let dropped = store::log::Dropped { lines: dropped, bytes: dropped * 100 };
    let batch = Batch { steps, chunks: &chunks, dropped };
    assert!(store::log::append(db, job, build.id, &batch).await.unwrap());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_log_is_served_as_it_was_written_and_shown_as_text(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let url = url::Url::from_directory_path(folder.path()).unwrap();
    let mut state = state(&db).await;
    state.logs.archive = Some(store::log::archive::open(&url).unwrap());
    let logs = state.logs.clone();
    let web = router(state);
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let written: [&[u8]; 3] = [b"\x1b[31mred\x1b[0m", b"bad \xff", b"nul \0"];
    append(&db, &job, &build, &[], &[Lines::of(1, written), Lines::rest(1, b"rest")], 7).await;
    released(&db, &app, &build, &job).await;
    for is_moved in [false, true] {
        if is_moved {
            assert_eq!(store::log::day::tend(&logs, 90).await.unwrap().moved, 1);
            sqlx::query("update log_chunk set body = ''").execute(&db).await.unwrap();
        }
        let request = bearer("GET", "/api/v1/apps/demo/builds/1/log.txt").body(Body::empty()).unwrap();
        let mut body = web.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            bytes.extend(piece.unwrap());
        }
        assert_eq!(bytes, b"\x1b[31mred\x1b[0m\nbad \xff\nnul \0\nrest\n");
        let lines = get(&web, "/api/v1/apps/demo/builds/1/log?from=0").await.2;
        let lines: Value = serde_json::from_str(&lines).unwrap();
        let texts: Vec<&str> =
            lines["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["red", "bad \u{fffd}", "nul ", "rest"]);
        assert_eq!(
            (&lines["lines"][2]["continues"], &lines["lines"][3]["continues"]),
            (&false.into(), &true.into())
        );
        assert_eq!((&lines["dropped_lines"], &lines["dropped_bytes"]), (&7.into(), &700.into()));
        assert_eq!((&lines["line_count"], &lines["is_expired"]), (&4.into(), &false.into()));
        let page = get(&web, "/apps/demo/builds/1").await.2;
        assert!(
            page.contains(r#"<div class="line rest" id="L4""#) && page.contains("4 lines, 7 left out"),
            "{page}"
        );
    }
    sqlx::query("update build_log set day = day - 91").execute(&db).await.unwrap();
    assert_eq!(store::log::day::tend(&logs, 90).await.unwrap().expired, 1);
    assert!(get(&web, "/apps/demo/builds/1").await.2.contains("This log is gone"));
    let lines = get(&web, "/api/v1/apps/demo/builds/1/log").await.2;
    assert!(
        lines.contains(r#""lines":[],"next":0,"line_count":0"#) && lines.contains(r#""is_expired":true"#),
        "{lines}"
    );
    assert_eq!(get(&web, "/api/v1/apps/demo/builds/1/log.txt").await.2, "");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_critical_path_is_marked(db: PgPool) {
    let web = web(&db).await;
    let app = demo(&db).await;
    let (build, job) = running(&db, &app, 'a').await;
    let at = |ms| Some(jiff::Timestamp::from_millisecond(ms).unwrap());
    let step = |number, inputs: &[i32], from, to| StepUpdate {
        number,
        attempt: 1,
        name: format!("[{number}/3] RUN"),
        cached: false,
        error: None,
        started_at: at(from),
        completed_at: at(to),
        inputs: inputs.to_vec(),
    };
    let steps = [step(1, &[], 0, 100), step(2, &[], 0, 500), step(3, &[1, 2], 500, 600)];
    append(&db, &job, &build, &steps, &[], 0).await;
    let shown: Value = serde_json::from_str(&get(&web, "/api/v1/apps/demo/builds/1").await.2).unwrap();
    let critical: Vec<&Value> =
        shown["steps"].as_array().unwrap().iter().map(|step| &step["critical"]).collect();
    assert_eq!(critical, [&Value::from(false), &true.into(), &true.into()]);
    assert_eq!(shown["steps"][2]["inputs"], serde_json::json!([1, 2]));
    assert_eq!(get(&web, "/apps/demo/builds/1").await.2.matches("critical path").count(), 2);
}
