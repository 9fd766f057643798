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
