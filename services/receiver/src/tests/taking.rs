//! Which pushes are taken here, and which are given to git.

use std::io::Write as _;

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
    std::fs::OpenOptions::new().append(true).open(config).unwrap().write_all(NO_GIT).unwrap();

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
