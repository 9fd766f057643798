//! Every recorded delivery, through the router into the database.

use std::fs;
use std::path::PathBuf;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use domain::forge_kind::ForgeKind;
use sqlx::PgPool;

use super::{app_at, post};
use crate::hook;

/// Event, verdict, ref, commit and why, as `expected.txt` has them.
type Row = (String, String, Option<String>, Option<String>, Option<String>);

async fn all_of(db: PgPool, kind: ForgeKind, folder: &str) -> usize {
    let (_, hook) = app_at(&db, kind, "http://forge.example/slip/board.git").await;
    let router = hook::router(db.clone());
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors"));
    let expected = fs::read_to_string(root.join("expected.txt")).unwrap();
    let mut delivered = 0;
    for line in expected.lines().filter(|line| line.starts_with(folder)) {
        let columns: Vec<&str> = line.split(" | ").collect();
        let headers = fs::read_to_string(root.join(format!("{}.headers", columns[0]))).unwrap();
        let headers: HeaderMap = headers.lines().map(header).collect();
        let body = fs::read(root.join(format!("{}.body", columns[0]))).unwrap();
        assert_eq!(
            post(&router, &hook.id.to_string(), headers, body).await.0,
            StatusCode::ACCEPTED,
            "{line}"
        );

        let query = "select event, verdict, ref, commit, why from delivery order by id desc limit 1";
        let (event, verdict, git_ref, commit, why): Row = sqlx::query_as(query).fetch_one(&db).await.unwrap();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let stored = [event, verdict, or_none(git_ref), or_none(commit), or_none(why)];
        assert_eq!(stored.as_slice(), &columns[1..], "{}", columns[0]);
        delivered += 1;
    }
    let branches: Vec<String> =
        sqlx::query_scalar("select name from branch order by name").fetch_all(&db).await.unwrap();
    assert_eq!(branches, ["feature/login", "main"]);
    assert_eq!(super::jobs(&db).await, 2, "one question for each branch");
    delivered
}

fn header(line: &str) -> (HeaderName, HeaderValue) {
    let (name, value) = line.split_once(": ").unwrap();
    (name.parse().unwrap(), value.parse().unwrap())
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn recorded_by_gogs(db: PgPool) {
    assert_eq!(all_of(db, ForgeKind::Gogs, "gogs-0.14.3/").await, 12);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn recorded_by_gitea(db: PgPool) {
    assert_eq!(all_of(db, ForgeKind::Gitea, "gitea-1.26.4/").await, 18);
}
