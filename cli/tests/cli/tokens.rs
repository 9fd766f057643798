//! `slipway tokens`.

use super::*;

/// The secret that `tokens create` printed.
fn secret(told: &str) -> String {
    told.lines().map(str::trim).find(|line| line.starts_with("slip_")).unwrap().to_owned()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_token_lives_until_it_is_revoked(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let told = rig
        .ok(&["tokens", "create", "ci runner", "--scope", "push", "--app", "demo", "--expires", "90d"])
        .await;
    assert!(told.contains("ci runner was created: push on demo, expires 20"), "{told}");
    let secret = secret(&told);
    let as_ci = |arguments: &[&str]| {
        let mut all = vec!["--url", &rig.url, "--token", &secret];
        all.extend(arguments);
        command(&rig.config(), &all).output()
    };
    let apps = as_ci(&["apps", "list"]).await.unwrap();
    assert!(String::from_utf8_lossy(&apps.stdout).contains("demo"), "{}", stderr(&apps));
    let refused = stderr(&as_ci(&["apps", "create", "shop"]).await.unwrap());
    assert!(refused.contains("needs a token for all applications"), "{refused}");
    let refused = stderr(&as_ci(&["tokens", "list"]).await.unwrap());
    assert!(refused.contains("needs a token of scope admin"), "{refused}");

    let used = "update token set last_used_at = now() + interval '1 hour' where last_used_at is not null";
    just_now(&db, used).await;
    let list = rig.ok(&["tokens", "list"]).await;
    let line = list.lines().find(|line| line.starts_with("ci runner")).unwrap();
    assert!(line.contains("push") && line.contains("demo") && line.contains("just now"), "{list}");
    assert!(!list.contains(&secret), "{list}");
    assert!(rig.ok(&["tokens", "revoke", "ci runner"]).await.contains("ci runner was revoked"));
    let gone = stderr(&as_ci(&["apps", "list"]).await.unwrap());
    assert!(gone.contains("does not know this token"), "{gone}");
    assert!(rig.fails(&["tokens", "revoke", "ci runner"]).await.contains("there is no token"));
    assert!(rig.fails(&["tokens", "revoke", "bootstrap admin"]).await.contains("made at install"));
    assert!(rig.fails(&["tokens", "revoke", "bootstrap admin?x"]).await.contains("there is no token"));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn tokens_are_revoked_by_id_and_read_as_json(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let created = rig.ok(&["tokens", "create", "laptop", "--scope", "read", "--json"]).await;
    let created: serde_json::Value = serde_json::from_str(&created).unwrap();
    let file = rig.folder.path().join("secret");
    std::fs::write(&file, created["secret"].as_str().unwrap()).unwrap();
    let other = rig.folder.path().join("other.json");
    let login = ["login", &rig.url, "--token-file", file.to_str().unwrap()];
    let login = command(&other, &login).output().await.unwrap();
    assert!(String::from_utf8_lossy(&login.stdout).contains("as laptop (read)"), "{}", stderr(&login));
    rig.ok(&["tokens", "revoke", created["token"]["id"].as_str().unwrap()]).await;
    let wrong = rig.fails(&["tokens", "create", "x", "--scope", "push", "--expires", "soon"]);
    assert!(wrong.await.contains("such as 90d"));
    let taken = rig.fails(&["tokens", "create", "bootstrap admin", "--scope", "read"]).await;
    assert!(taken.contains("kept for Slipway itself"), "{taken}");
}
