//! Tokens against a real PostgreSQL.

use super::*;
use crate::app::{self, NewApp};

async fn created(db: &PgPool, name: &str, scope: Scope, app_id: Option<Uuid>) -> String {
    let new = NewToken { name, scope, app_id, seconds: None, created_by: BOOTSTRAP };
    create(db, &new).await.unwrap().unwrap().1
}

async fn new_app(db: &PgPool, name: &str) -> Uuid {
    let new = NewApp::pushed(name, "main");
    app::create(&mut db.acquire().await.unwrap(), &new).await.unwrap().unwrap().id
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn the_bootstrap_token_and_its_sessions(db: PgPool) {
    ensure_bootstrap(&db, "one").await.unwrap();
    ensure_bootstrap(&db, "one").await.unwrap();
    let admin = verify(&db, "one").await.unwrap().unwrap();
    assert!(admin.allows(None, Scope::Admin) && admin.allows(Some(Uuid::nil()), Scope::Admin));
    open_session(&db, &admin, "cookie").await.unwrap();
    assert_eq!(session(&db, "cookie").await.unwrap().unwrap().id, admin.id);
    close_session(&db, "cookie").await.unwrap();
    assert!(session(&db, "cookie").await.unwrap().is_none());
    ensure_bootstrap(&db, "two").await.unwrap();
    assert!(verify(&db, "one").await.unwrap().is_none(), "replaced");
    assert!(verify(&db, "two").await.unwrap().is_some());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_token_allows_its_scope_on_its_application(db: PgPool) {
    let (demo, shop) = (new_app(&db, "demo").await, new_app(&db, "shop").await);
    let secret = created(&db, "ci", Scope::Push, Some(demo)).await;
    assert!(secret.len() == 45 && secret.starts_with("slip_"), "{secret}");
    let token = verify(&db, &secret).await.unwrap().unwrap();
    assert!(token.allows(Some(demo), Scope::Read) && token.allows(Some(demo), Scope::Push));
    assert!(!token.allows(Some(demo), Scope::Admin), "a higher scope");
    assert!(!token.allows(Some(shop), Scope::Read), "another application");
    assert!(!token.allows(None, Scope::Read), "what concerns all");
    let again = NewToken { name: "ci", scope: Scope::Read, app_id: None, seconds: None, created_by: "x" };
    assert!(create(&db, &again).await.unwrap().is_none(), "the name is taken");
    let stored: Vec<Vec<u8>> = sqlx::query_scalar("select hash from token").fetch_all(&db).await.unwrap();
    assert_eq!(stored, [Sha256::digest(secret.as_bytes()).to_vec()], "only the hash is kept");
    sqlx::query("delete from app where id = $1").bind(demo).execute(&db).await.unwrap();
    assert!(verify(&db, &secret).await.unwrap().is_none(), "it goes with its application");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_revoked_token_ends_with_its_sessions(db: PgPool) {
    for by_name in [true, false] {
        let secret = created(&db, "laptop", Scope::Read, None).await;
        let token = verify(&db, &secret).await.unwrap().unwrap();
        open_session(&db, &token, "cookie").await.unwrap();
        let which = if by_name { "laptop".to_owned() } else { token.id.to_string().to_uppercase() };
        let found = find(&db, &which).await.unwrap().unwrap();
        assert_eq!((found.token.id, found.created_by.as_deref()), (token.id, Some(BOOTSTRAP)));
        assert!(revoke(&db, found.token.id).await.unwrap());
        assert!(!revoke(&db, found.token.id).await.unwrap());
        assert!(verify(&db, &secret).await.unwrap().is_none());
        assert!(session(&db, "cookie").await.unwrap().is_none());
        assert!(find(&db, &which).await.unwrap().is_none());
    }
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_expired_token_is_unknown_but_listed(db: PgPool) {
    let new =
        NewToken { name: "ci", scope: Scope::Push, app_id: None, seconds: Some(3600), created_by: BOOTSTRAP };
    let (_, secret) = create(&db, &new).await.unwrap().unwrap();
    let token = verify(&db, &secret).await.unwrap().unwrap();
    open_session(&db, &token, "cookie").await.unwrap();
    assert!(!list(&db).await.unwrap()[0].is_expired);
    sqlx::query("update token set expires_at = expires_at - interval '1 hour', last_used_at = null")
        .execute(&db)
        .await
        .unwrap();
    assert!(verify(&db, &secret).await.unwrap().is_none());
    assert!(session(&db, "cookie").await.unwrap().is_none(), "nor does a login outlive it");
    let listed = list(&db).await.unwrap();
    assert!(listed[0].is_expired && listed[0].last_used_at.is_none(), "{listed:?}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_use_is_written_down_once_a_minute(db: PgPool) {
    let secret = created(&db, "ci", Scope::Push, None).await;
    let last_use = async || list(&db).await.unwrap()[0].last_used_at;
    assert_eq!(last_use().await, None);
    let token = verify(&db, &secret).await.unwrap().unwrap();
    let first = last_use().await.unwrap();
    open_session(&db, &token, "cookie").await.unwrap();
    // A row that is not written keeps its version.
    let version = async || -> String {
        sqlx::query_scalar("select xmin::text || ctid::text from token").fetch_one(&db).await.unwrap()
    };
    let written = version().await;
    verify(&db, &secret).await.unwrap().unwrap();
    session(&db, "cookie").await.unwrap().unwrap();
    assert_eq!(version().await, written, "a recent use writes nothing");
    sqlx::query("update token set last_used_at = last_used_at - interval '2 minutes'")
        .execute(&db)
        .await
        .unwrap();
    session(&db, "cookie").await.unwrap().unwrap();
    assert!(last_use().await.unwrap() >= first, "a browser's use counts too");
}
