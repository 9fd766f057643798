//! `slipway garbage`.

use domain::garbage::GarbageKind;
use store::garbage::{Counts, Sweep};

use super::*;

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn the_numbers_are_a_table(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let counts = |count, bytes| Counts { count, bytes };
    let sweep = Sweep {
        kind: GarbageKind::Mirrors,
        holder: "builder@one",
        rule: "Kept: some.",
        kept: counts(12, 1_500_000),
        left: counts(0, 0),
        removed: counts(7, 70),
        fault: Some("removing x: denied"),
    };
    store::garbage::tell(&db, &sweep).await.unwrap();
    just_now(&db, "update sweep set at = now() + interval '1 hour'").await;
    let shown = rig.ok(&["garbage"]).await;
    for text in
        ["mirrors", "12, 1.5 MB", "0, 0 B", "7, 70 B", "just now", "mirrors: builder@one: removing x: denied"]
    {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let json: serde_json::Value = serde_json::from_str(&rig.ok(&["garbage", "--json"]).await).unwrap();
    assert_eq!(json["kinds"][0]["kept"]["count"], 12);
}
