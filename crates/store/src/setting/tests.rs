//! Settings against a real PostgreSQL: what a build gets, what can be read, what is sealed.

use domain::setting::SettingKind::{Argument, Secret};

use super::*;
use crate::app::{App, NewApp};

fn vault(keys: &[&str]) -> Vault {
    let keys: Vec<String> = keys.iter().map(|key| format!("{}=", key.repeat(43))).collect();
    Vault::parse(&keys.join("\n")).unwrap()
}

async fn app(db: &PgPool, name: &str) -> App {
    let mut conn = db.acquire().await.unwrap();
    crate::app::create(&mut conn, &NewApp::pushed(name, "main")).await.unwrap().unwrap()
}

fn which<'a>(app: &App, name: &'a str, environment: Option<&'a str>) -> Which<'a> {
    Which { app_id: app.id, name, environment }
}

fn values(settings: &Settings) -> Vec<(&str, &str)> {
    let text = |value| std::str::from_utf8(value).unwrap();
    settings.secrets.iter().map(|(id, value)| (id.as_str(), text(value.expose_secret()))).collect()
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn an_environment_has_its_own_or_the_one_for_all(db: PgPool) {
    let (vault, demo) = (vault(&["A"]), app(&db, "demo").await);
    for (name, environment, value) in [
        ("TOKEN", None, "for all"),
        ("TOKEN", Some("staging"), "for staging"),
        ("ONLY", Some("staging"), "only there"),
        ("npmrc", None, "first"),
        ("npmrc", None, "second"),
    ] {
        let set = set_secret(&db, &vault, which(&demo, name, environment), value.as_bytes(), "ada").await;
        assert_eq!(set.unwrap(), Set::Done);
    }
    set_argument(&db, which(&demo, "VERSION", None), "1", "ada").await.unwrap();
    set_argument(&db, which(&demo, "VERSION", Some("main")), "2", "ada").await.unwrap();
    let main = of_build(&db, &vault, demo.id, "main").await.unwrap();
    assert_eq!(values(&main), [("TOKEN", "for all"), ("npmrc", "second")]);
    assert_eq!(main.args, BTreeMap::from([("VERSION".to_owned(), "2".to_owned())]));
    let staging = of_build(&db, &vault, demo.id, "staging").await.unwrap();
    assert_eq!(values(&staging), [("ONLY", "only there"), ("TOKEN", "for staging"), ("npmrc", "second")]);
    assert_eq!(staging.args["VERSION"], "1");
    assert_eq!(main.hashes["npmrc"], staging.hashes["npmrc"]);
    assert_ne!(main.hashes["TOKEN"], staging.hashes["TOKEN"]);
    assert_eq!(main.redactor().redact("it is second, for all"), "it is [secret npmrc], [secret TOKEN]");
    assert!(!format!("{main:?}").contains("second"));

    assert!(unset(&db, Secret, which(&demo, "TOKEN", Some("staging"))).await.unwrap());
    assert!(!unset(&db, Secret, which(&demo, "TOKEN", Some("staging"))).await.unwrap());
    assert!(!unset(&db, Argument, which(&demo, "TOKEN", None)).await.unwrap());
    let staging = of_build(&db, &vault, demo.id, "staging").await.unwrap();
    assert_eq!(values(&staging)[1], ("TOKEN", "for all"));
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_secret_is_never_listed_and_never_lies_open(db: PgPool) {
    let (vault, demo) = (vault(&["A"]), app(&db, "demo").await);
    set_secret(&db, &vault, which(&demo, "TOKEN", None), b"s3cr3t-value", "ada").await.unwrap();
    set_argument(&db, which(&demo, "VERSION", None), "1.2", "bob").await.unwrap();
    let listed = list(&db, demo.id, Secret).await.unwrap();
    assert_eq!((listed[0].name.as_str(), listed[0].set_by.as_str()), ("TOKEN", "ada"));
    assert_eq!((listed.len(), &listed[0].value), (1, &None));
    assert_eq!(list(&db, demo.id, Argument).await.unwrap()[0].value.as_deref(), Some("1.2"));
    let row: String = sqlx::query_scalar(
        "select s::text || encode(sealed, 'escape') from build_setting s where kind = 'secret'",
    )
    .fetch_one(&db)
    .await
    .unwrap();
    assert!(row.contains("TOKEN") && !row.contains("s3cr3t"), "{row}");
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn applications_have_nothing_in_common(db: PgPool) {
    let (vault, demo, other) = (vault(&["A"]), app(&db, "demo").await, app(&db, "other").await);
    for app in [&demo, &other] {
        set_secret(&db, &vault, which(app, "TOKEN", None), b"s3cr3t-value", "ada").await.unwrap();
    }
    let settings = of_build(&db, &vault, demo.id, "main").await.unwrap();
    let others = of_build(&db, &vault, other.id, "main").await.unwrap();
    assert_ne!(settings.hashes["TOKEN"], others.hashes["TOKEN"]);
    // Whoever can write to the database cannot give one application's secret to another, or to another environment.
    let steals = [
        "update build_setting set sealed = (select sealed from build_setting where app_id = $1) where app_id <> $1",
        "update build_setting set environment = 'main' where app_id <> $1",
    ];
    for steal in steals {
        let mut tx = db.begin().await.unwrap();
        sqlx::query(steal).bind(demo.id).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let error = of_build(&db, &vault, other.id, "main").await.unwrap_err();
        assert!(format!("{error:#}").contains("TOKEN cannot be opened"), "{error:#}");
        set_secret(&db, &vault, which(&other, "TOKEN", None), b"s3cr3t-value", "ada").await.unwrap();
    }
    sqlx::query("delete from app where id = $1").bind(demo.id).execute(&db).await.unwrap();
    assert!(of_build(&db, &vault, demo.id, "main").await.unwrap().secrets.is_empty());
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn there_is_a_limit(db: PgPool) {
    let (vault, demo) = (vault(&["A"]), app(&db, "demo").await);
    let big = vec![7; usize::try_from(BYTES_MAX).unwrap() / 2];
    assert_eq!(set_secret(&db, &vault, which(&demo, "BIG", None), &big, "ada").await.unwrap(), Set::Done);
    assert_eq!(set_secret(&db, &vault, which(&demo, "BIG2", None), &big, "ada").await.unwrap(), Set::TooMany);
    assert_eq!(set_secret(&db, &vault, which(&demo, "BIG", None), &big, "ada").await.unwrap(), Set::Done);
    for n in 1..SETTINGS_MAX {
        let name = format!("A{n}");
        assert_eq!(set_argument(&db, which(&demo, &name, None), "x", "ada").await.unwrap(), Set::Done, "{n}");
    }
    assert_eq!(set_argument(&db, which(&demo, "ONE_MORE", None), "x", "ada").await.unwrap(), Set::TooMany);
    assert_eq!(set_argument(&db, which(&demo, "A1", None), "y", "ada").await.unwrap(), Set::Done);
    let other = app(&db, "other").await;
    assert_eq!(set_argument(&db, which(&other, "A1", None), "x", "ada").await.unwrap(), Set::Done);
}

#[sqlx::test(migrator = "crate::MIGRATOR")]
async fn a_key_goes_once_nothing_is_sealed_with_it(db: PgPool) {
    let (old, both, new) = (vault(&["A"]), vault(&["E", "A"]), vault(&["E"]));
    let demo = app(&db, "demo").await;
    for name in ["ONE", "TWO"] {
        set_secret(&db, &old, which(&demo, name, Some("main")), b"s3cr3t-value", "ada").await.unwrap();
    }
    let error = of_build(&db, &new, demo.id, "main").await.unwrap_err();
    assert!(format!("{error:#}").contains("put that key back"), "{error:#}");
    assert_eq!(reseal(&db, &new).await.unwrap(), 0, "what cannot be opened stays as it is");
    assert_eq!(reseal(&db, &both).await.unwrap(), 2);
    assert_eq!(reseal(&db, &both).await.unwrap(), 0);
    assert_eq!(values(&of_build(&db, &new, demo.id, "main").await.unwrap()).len(), 2);
    assert_eq!(list(&db, demo.id, Secret).await.unwrap()[0].set_by, "ada");
}
