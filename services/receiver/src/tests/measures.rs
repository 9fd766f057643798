//! How much the repositories hold, as the page of numbers says it.

use gitrepo::bare::Repositories;
use sqlx::PgPool;
use store::garbage::Overview;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::git::{Git, measure::measure};
use crate::status::Links;

async fn shown(db: &PgPool) -> Overview {
    let mut shown = store::garbage::overview(db).await.unwrap();
    assert_eq!(shown.len(), 1, "{shown:?}");
    shown.remove(0)
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn all_repositories_are_counted_once_an_hour(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let repositories = Repositories::open(folder.path()).unwrap();
    let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
    for app in [one, two] {
        repositories.repository(app).ensure().unwrap();
    }
    let links =
        Links { base_url: "http://slipway.example/".parse().unwrap(), base_domain: "slipway.example".into() };
    let path = repositories.path(one);
    let git = Git::new(db.clone(), repositories, links, 1, CancellationToken::new());

    measure(&git).await;
    let first = shown(&db).await;
    assert_eq!((first.kind.0.as_str(), first.kept_count, first.holders), ("repositories", 2, 1));
    assert!(first.kept_bytes > 0 && first.faults.is_empty(), "{first:?}");
    assert_eq!((first.left_count, first.removed_count), (0, 0));

    std::fs::write(path.join("more"), [0; 1000]).unwrap();
    measure(&git).await;
    assert_eq!(shown(&db).await, first, "it was done just now");
    sqlx::query("update sweep set at = at - interval '61 minutes'").execute(&db).await.unwrap();
    measure(&git).await;
    assert_eq!(shown(&db).await.kept_bytes, first.kept_bytes + 1000);

    // One that cannot be read keeps nobody from the others' numbers.
    std::fs::write(folder.path().join(format!("{three}.git")), "").unwrap();
    sqlx::query("update sweep set at = at - interval '61 minutes'").execute(&db).await.unwrap();
    measure(&git).await;
    let last = shown(&db).await;
    assert_eq!((last.kept_count, last.kept_bytes), (3, first.kept_bytes + 1000));
    assert!(last.faults.len() == 1 && last.faults[0].contains(&three.to_string()), "{last:?}");
}
