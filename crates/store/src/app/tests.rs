//! What of an application is changed, and that the rest stays.

use super::*;

type Built = (String, String, Option<String>, Option<i32>);

fn built(app: App) -> Built {
    (app.dockerfile, app.context, app.target, app.port)
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn what_is_left_out_stays(db: PgPool) {
    let mut conn = db.acquire().await.unwrap();
    let new = NewApp { target: Some("app"), port: Some(3000), ..NewApp::pushed("demo", "main") };
    let demo = create(&mut conn, &new).await.unwrap().unwrap();
    let other = create(&mut conn, &NewApp::pushed("other", "main")).await.unwrap().unwrap();
    let is = |dockerfile: &str, context: &str, target: Option<&str>, port| {
        (dockerfile.to_owned(), context.to_owned(), target.map(str::to_owned), port)
    };
    let same = change(&mut conn, demo.id, &Change::default()).await.unwrap();
    assert_eq!(built(same), is("Dockerfile", "", Some("app"), Some(3000)));
    let moved = Change { dockerfile: Some("web/Dockerfile"), context: Some("web"), ..Change::default() };
    let moved = change(&mut conn, demo.id, &moved).await.unwrap();
    assert_eq!(built(moved), is("web/Dockerfile", "web", Some("app"), Some(3000)));
    let last = Change { target: Some(None), port: Some(Some(65_535)), ..Change::default() };
    change(&mut conn, demo.id, &last).await.unwrap();
    let exposed = Change { context: Some(""), port: Some(None), ..Change::default() };
    let exposed = change(&mut conn, demo.id, &exposed).await.unwrap();
    assert_eq!(built(exposed), is("web/Dockerfile", "", None, None));
    assert_eq!(built(get(&db, demo.id).await.unwrap().unwrap()), is("web/Dockerfile", "", None, None));
    assert_eq!(built(get(&db, other.id).await.unwrap().unwrap()), is("Dockerfile", "", None, None));
}
