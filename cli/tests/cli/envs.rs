//! `slipway envs`.

use super::*;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn an_environment_is_listed_and_removed(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    assert!(rig.ok(&["envs", "list", "demo"]).await.contains("No environment"));
    let app = store::app::by_name(&db, "demo").await.unwrap().unwrap();
    let mut conn = db.acquire().await.unwrap();
    let branch = store::branch::touch(&mut conn, app.id, "feature").await.unwrap();
    let new = store::environment::NewEnvironment {
        app_id: app.id,
        branch_id: branch.id,
        name: "feature",
        namespace: "env-demo--feature",
        ttl_seconds: Some(2 * 86_400 + 60),
    };
    let made = store::environment::ensure(&mut conn, &new).await.unwrap();
    let list = rig.ok(&["envs", "list", "demo"]).await;
    let line = list.lines().find(|line| line.starts_with("feature")).unwrap();
    assert!(line.contains("removed in 2 d") && line.contains("feature--demo."), "{list}");
    assert!(rig.ok(&["apps", "show", "demo"]).await.contains("removed in 2 d"));

    assert!(
        rig.ok(&["envs", "remove", "demo", "feature"]).await.contains("feature of demo is being removed")
    );
    assert!(rig.ok(&["envs", "list", "demo"]).await.contains("is being removed"));
    let row = store::environment::get(&db, made.id).await.unwrap().unwrap();
    assert!(row.removal_asked_at.is_some());
    let unknown = rig.fails(&["envs", "remove", "demo", "../demo"]).await;
    assert!(unknown.contains("demo has no environment called"), "{unknown}");
}
