//! The page of numbers about garbage, and the same as JSON.

use domain::garbage::GarbageKind;
use store::garbage::{Counts, Sweep, tell};

use super::*;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn numbers_rules_and_faults_are_shown(db: PgPool) {
    let web = web(&db).await;
    let home = get(&web, "/").await.2;
    assert!(home.contains("href=\"/garbage\""), "{home}");
    assert!(get(&web, "/garbage").await.2.contains("Nobody has looked yet"));
    assert_eq!(get_json(&web, "/api/v1/garbage").await, json!({"kinds": []}));

    let counts = |count, bytes| Counts { count, bytes };
    let sweep = Sweep {
        kind: GarbageKind::Images,
        holder: "",
        rule: "Kept: <all>.",
        kept: counts(12, 1_500_000),
        left: counts(3, 4_500),
        removed: counts(7, 70),
        fault: Some("The registry removes nothing"),
    };
    tell(&db, &sweep).await.unwrap();
    tell(&db, &Sweep { kind: GarbageKind::Repositories, fault: None, ..sweep }).await.unwrap();
    let answer = get_json(&web, "/api/v1/garbage").await;
    assert_eq!(answer["kinds"][1]["kind"], "repositories");
    let images = &answer["kinds"][0];
    assert_eq!((&images["kind"], &images["rule"]), (&json!("images"), &json!("Kept: <all>.")));
    assert_eq!(images["kept"], json!({"count": 12, "bytes": 1_500_000}));
    assert_eq!(images["garbage"], json!({"count": 3, "bytes": 4_500}));
    assert_eq!(images["removed_in_30_days"], json!({"count": 7, "bytes": 70}));
    assert_eq!(
        (&images["places"], &images["faults"][0]),
        (&json!(1), &json!("The registry removes nothing"))
    );
    assert!(images["looked_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{images}");
    let page = get(&web, "/garbage").await.2;
    for text in [
        "Images in the registry",
        "Repositories that are pushed here",
        "12 · 1.5 MB",
        "3 · 4.5 kB",
        "7 · 70 B",
        "The registry removes nothing",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("<all>"), "{page}");
}
