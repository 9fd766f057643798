//! `slipway teams` and `slipway apps set`.

use super::*;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn shares_are_set_and_shown(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let unknown = rig.fails(&["apps", "set", "demo", "--team", "web"]).await;
    assert!(unknown.contains("no team called") && unknown.contains("web"), "{unknown}");
    assert!(
        rig.ok(&["teams", "set", "web", "--weight", "3", "--builds", "2"]).await.contains("Team web is set")
    );
    let arguments = [
        "apps",
        "set",
        "demo",
        "--team",
        "web",
        "--builds",
        "2",
        "--branch",
        "main",
        "--policy",
        "finish-running",
    ];
    let shown = rig.ok(&arguments).await;
    assert!(shown.contains("team web, weight 1, builds at a time: 2"), "{shown}");
    assert!(shown.contains("of main: finish-running"), "{shown}");
    let list = rig.ok(&["teams", "list"]).await;
    let line = list.lines().find(|line| line.starts_with("web")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["web", "3", "2", "1", "0", "0"], "{list}");
    rig.ok(&["teams", "set", "web", "--builds", "0"]).await;
    assert!(rig.ok(&["teams", "list"]).await.contains("no limit"));
    let wrong = rig.fails(&["apps", "set", "demo", "--weight", "0"]).await;
    assert!(wrong.contains("1 to 1000"), "{wrong}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_built_is_set_and_shown(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let set = async |more: &[&str]| rig.ok(&[&["apps", "set", "demo"][..], more].concat()).await;
    let value = |shown: &str, label: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
        line.map(str::to_owned)
    };
    let shown = set(&["--dockerfile", "web/Dockerfile", "--context", "web", "--target", "app"]).await;
    for (label, expected) in [("Dockerfile", "web/Dockerfile"), ("Context", "web"), ("Target", "app")] {
        assert_eq!(value(&shown, label).as_deref(), Some(expected), "{shown}");
    }
    assert_eq!(value(&set(&["--port", "3000"]).await, "Port").as_deref(), Some("3000"));
    let shown = set(&["--port", "0", "--target", "", "--weight", "2"]).await;
    assert_eq!((value(&shown, "Port"), value(&shown, "Target")), (None, None), "{shown}");
    assert!(shown.contains("weight 2") && shown.contains("web/Dockerfile"), "{shown}");
    let wrong = rig.fails(&["apps", "set", "demo", "--context", "../web"]).await;
    assert!(wrong.contains("a folder inside the repository"), "{wrong}");
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_build_that_waits_says_why(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    pushed(&db, 'a').await;
    let app = store::app::by_name(&db, "demo").await.unwrap().unwrap();
    for commit in ['b', 'c'] {
        let mut tx = db.begin().await.unwrap();
        let main = store::branch::touch(&mut tx, app.id, "main").await.unwrap();
        store::push::record(&mut tx, &main, &commit.to_string().repeat(40)).await.unwrap().unwrap();
        tx.commit().await.unwrap();
    }
    let shown = rig.ok(&["builds", "show", "demo", "3"]).await;
    assert!(shown.contains("number 1 of 1") && shown.contains("It waits for #1"), "{shown}");
    assert!(shown.contains("took the place of #2"), "{shown}");
}
