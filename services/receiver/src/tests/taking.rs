//! Which pushes are taken here, and which are given to git.

use std::fs::{File, OpenOptions};
use std::io::Write as _;

use axum::http::StatusCode;
use gitwire::pkt_line;
use sqlx::PgPool;

use super::count;
use super::limits::Pushed;

/// A git that has to ask a hook, which there is none of, takes nothing.
const NO_GIT: &[u8] = b"[receive]\n\tprocReceiveRefs = refs/pushes\n";

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_small_push_needs_no_git(db: PgPool) {
    let pushed = Pushed::new(&db).await;
    let (went_well, said) = pushed.push(&["main"]).await;
    assert!(went_well, "{said}");
    let app = store::app::by_name(&db, "demo").await.unwrap().unwrap();
    let config = pushed.repository(app.id).join("config");
    OpenOptions::new().append(true).open(config).unwrap().write_all(NO_GIT).unwrap();

    for n in 0..3 {
        std::fs::write(pushed.tree().join("file"), format!("{n}")).unwrap();
        pushed.git(&["add", "file"]).await;
        pushed.git(&["commit", "--quiet", "--message=More"]).await;
        let (went_well, said) = pushed.push(&["main"]).await;
        assert!(went_well, "{said}");
    }
    assert_eq!(count(&db, "select count(*) from push where state = 'accepted'").await, 4);

    // What a link may lead to is for git to say.
    std::os::unix::fs::symlink("file", pushed.tree().join("link")).unwrap();
    pushed.git(&["add", "link"]).await;
    pushed.git(&["commit", "--quiet", "--message=A link"]).await;
    let (went_well, said) = pushed.push(&["main"]).await;
    assert!(!went_well && said.contains("proc-receive hook"), "{said}");
    assert_eq!(count(&db, "select count(*) from push where state = 'aborted'").await, 1);
    assert_eq!(count(&db, "select count(*) from build").await, 4);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_push_that_nobody_can_take_is_given_up(db: PgPool) {
    // Fails when another test was first, which does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pushed = Pushed::new(&db).await;
    let (went_well, said) = pushed.push(&["main"]).await;
    assert!(went_well, "{said}");
    let app = store::app::by_name(&db, "demo").await.unwrap().unwrap();
    // As while it is being cleaned, for longer than a push waits.
    let lock = File::open(pushed.repository(app.id).join("slipway.lock")).unwrap();
    lock.lock().unwrap();

    let (old, new) = ("0".repeat(40), "1".repeat(40));
    let mut body = Vec::new();
    pkt_line::encode(format!("{old} {new} refs/heads/other\0report-status").as_bytes(), &mut body);
    body.extend_from_slice(pkt_line::FLUSH);
    body.extend_from_slice(b"PACK\0\0\0\x02\0\0\0\0");
    let answer = reqwest::Client::new()
        .post(format!("{}/git-receive-pack", pushed.url))
        .header("content-type", "application/x-git-receive-pack-request")
        .body(body);
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let why = "select count(*) from push where state = 'aborted' and why like '%being cleaned: push again'";
    assert_eq!(count(&db, why).await, 1);
}
