//! Shares and policies as they are set and read.

use super::*;
use crate::app::{self, NewApp};
use crate::branch;

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn shares_are_set_in_parts(db: PgPool) {
    let mut conn = db.acquire().await.unwrap();
    let demo = app::create(&mut conn, &NewApp::pushed("demo", "main")).await.unwrap().unwrap();
    let usual = Share { team: DEFAULT.to_owned(), weight: 1, build_limit: 1 };
    assert_eq!(share(&db, demo.id).await.unwrap(), usual);
    let nowhere = Change { team: Some("web"), ..Change::default() };
    assert!(!change_share(&mut conn, demo.id, &nowhere).await.unwrap(), "there is no such team");
    set(&mut conn, "web", Some(5), Some(Some(2))).await.unwrap();
    assert!(change_share(&mut conn, demo.id, &nowhere).await.unwrap());
    let more = Change { build_limit: Some(4), ..Change::default() };
    assert!(change_share(&mut conn, demo.id, &more).await.unwrap());
    assert_eq!(
        share(&db, demo.id).await.unwrap(),
        Share { team: "web".to_owned(), weight: 1, build_limit: 4 }
    );
    set(&mut conn, "web", None, Some(None)).await.unwrap();
    let teams = list(&db).await.unwrap();
    let web = Team { name: "web".to_owned(), weight: 5, build_limit: None, apps: 1, waiting: 0, running: 0 };
    assert_eq!((teams.len(), &teams[1]), (2, &web));
    let wrong = Change { weight: Some(0), ..Change::default() };
    assert!(change_share(&mut conn, demo.id, &wrong).await.is_err(), "the schema knows the bounds too");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn policies_are_of_branches(db: PgPool) {
    let mut conn = db.acquire().await.unwrap();
    let demo = app::create(&mut conn, &NewApp::pushed("demo", "main")).await.unwrap().unwrap();
    let main = branch::touch(&mut conn, demo.id, "main").await.unwrap();
    assert!(policies(&db, demo.id).await.unwrap().is_empty());
    set_policy(&mut conn, main.id, BuildPolicy::Every).await.unwrap();
    let set = policies(&db, demo.id).await.unwrap();
    assert_eq!((set.len(), set[0].branch.as_str(), set[0].policy.0), (1, "main", BuildPolicy::Every));
}
