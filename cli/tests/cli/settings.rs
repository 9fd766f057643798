//! `slipway secrets` and `slipway args`.

use std::process::Stdio;

use secrecy::ExposeSecret as _;
use tokio::io::AsyncWriteExt as _;

use super::*;

/// Runs the command with `input` on its standard input.
async fn fed(rig: &Rig, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(&rig.config(), arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What it refuses it may refuse without having read it.
    child.stdin.take().unwrap().write_all(input).await.ok();
    child.wait_with_output().await.unwrap()
}

async fn of_build(db: &PgPool, environment: &str) -> store::setting::Settings {
    let app = store::app::by_name(db, "demo").await.unwrap().unwrap();
    store::setting::of_build(db, &vault(), app.id, environment).await.unwrap()
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_secret_comes_from_standard_input_or_a_file(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    assert!(rig.ok(&["secrets", "list", "demo"]).await.contains("slipway secrets set demo NAME"));
    let set = fed(&rig, &["secrets", "set", "demo", "TOKEN"], b"s3cr3t-value\n").await;
    assert!(set.status.success(), "{}", stderr(&set));
    assert!(String::from_utf8_lossy(&set.stdout).contains("TOKEN of demo was set"));
    let file = rig.folder.path().join("npmrc");
    std::fs::write(&file, "//registry.example/:_authToken=s3cr3t\n").unwrap();
    let file = file.to_str().unwrap();
    rig.ok(&["secrets", "set", "demo", "npmrc", "--env", "staging", "--file", file]).await;

    let redactor = of_build(&db, "main").await.redactor();
    assert_eq!(redactor.redact("<s3cr3t-value>"), "<[secret TOKEN]>");
    let staging = of_build(&db, "staging").await;
    assert_eq!(staging.secrets.keys().collect::<Vec<_>>(), ["TOKEN", "npmrc"]);
    assert!(staging.secrets["npmrc"].expose_secret().ends_with(b"s3cr3t\n"), "a file is taken as it is");
    just_now(&db, "update build_setting set set_at = now() + interval '1 hour'").await;
    let list = rig.ok(&["secrets", "list", "demo"]).await;
    let line = list.lines().find(|line| line.starts_with("npmrc")).unwrap();
    assert!(
        line.contains("staging") && line.contains("bootstrap admin") && line.contains("just now"),
        "{list}"
    );
    assert!(list.lines().any(|line| line.starts_with("TOKEN") && line.contains("all")), "{list}");
    let json = rig.ok(&["secrets", "list", "demo", "--json"]).await;
    assert!(!json.contains("s3cr3t") && !list.contains("s3cr3t"), "{json}");

    let wrong = rig.fails(&["secrets", "unset", "demo", "npmrc"]).await;
    assert!(wrong.contains("no build secret \"npmrc\" for all environments"), "{wrong}");
    assert!(rig.ok(&["secrets", "unset", "demo", "npmrc", "--env", "staging"]).await.contains("was unset"));
    assert_eq!(of_build(&db, "staging").await.secrets.len(), 1);
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn a_secret_is_in_no_argument_list(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    let output = rig.run(&["secrets", "set", "demo", "TOKEN", "s3cr3t-value"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    for (input, fault) in [("", "at least 4 bytes"), ("abc\n", "at least 4 bytes")] {
        let refused = fed(&rig, &["secrets", "set", "demo", "TOKEN"], input.as_bytes()).await;
        assert!(stderr(&refused).contains(fault), "{}", stderr(&refused));
    }
    let refused = fed(&rig, &["secrets", "set", "demo", "../x"], b"s3cr3t-value").await;
    assert!(stderr(&refused).contains("the name of a secret"), "{}", stderr(&refused));
    assert!(
        rig.fails(&["secrets", "set", "demo", "T", "--file", "/nothing"]).await.contains("reading /nothing")
    );
    assert!(of_build(&db, "main").await.secrets.is_empty());
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn build_arguments_are_set_listed_and_unset(db: PgPool) {
    let rig = Rig::logged_in(&db).await;
    assert!(rig.ok(&["args", "list", "demo"]).await.contains("slipway args set demo NAME VALUE"));
    rig.ok(&["args", "set", "demo", "FLAGS", "-O2 --x=1"]).await;
    rig.ok(&["args", "set", "demo", "FLAGS", "-O0", "--env", "staging"]).await;
    assert_eq!(of_build(&db, "main").await.args["FLAGS"], "-O2 --x=1");
    assert_eq!(of_build(&db, "staging").await.args["FLAGS"], "-O0");
    let list = rig.ok(&["args", "list", "demo"]).await;
    assert!(list.contains("-O2 --x=1") && list.contains("staging"), "{list}");
    let kept = rig.fails(&["args", "set", "demo", "BUILDKIT_SYNTAX", "x"]).await;
    assert!(kept.contains("kept for Slipway"), "{kept}");
    rig.ok(&["args", "unset", "demo", "FLAGS"]).await;
    assert!(rig.fails(&["args", "unset", "demo", "FLAGS"]).await.contains("no build argument"));
    assert!(!of_build(&db, "main").await.args.contains_key("FLAGS"));
}
