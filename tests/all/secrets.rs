//! Build secrets: a step reads its value, nobody else ever does, and a new value runs that step again and no other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use harness::leak::{self, Needles, registry};
use harness::platform::Platform;
use harness::remote::Remote;
use harness::{app, platform, remote, wait};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The ways in which the application prints it.
const PRINTED: usize = 10;

/// Something for every encoder to escape, around what is searched for.
struct Secret {
    value: String,
    needles: Needles,
}

fn secret() -> Result<Secret> {
    let core = uuid::Uuid::new_v4().simple().to_string();
    Ok(Secret { value: format!("p\u{e4}ss/\"w+rd\" {core} ?&="), needles: Needles::of(&core)? })
}

impl Secret {
    fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.value))
    }
}

/// An application that its administrator has created, with a work tree to push.
async fn create(platform: &Platform, prefix: &str) -> Result<Remote> {
    let app = remote::create(platform, prefix, "leaks").await?;
    let body = json!({"name": app.app.name});
    platform::json(platform.api(Method::POST, "/apps").json(&body).send().await?).await?;
    Ok(app)
}

/// Commits without a change and pushes; answers what git was told.
async fn push(app: &Remote, message: &str) -> Result<remote::Said> {
    remote::commit(&app.tree, message).await?;
    remote::push(app, &[], &["main"]).await
}

async fn served_digest(platform: &Platform, app: &Remote) -> Result<String> {
    let host = format!("main--{}.{}", app.app.name, platform.base_domain());
    let answer = platform.request(Method::GET, &host, "/digest").send().await?.error_for_status()?;
    Ok(answer.text().await?)
}

async fn text(platform: &Platform, path: &str) -> Result<String> {
    Ok(platform.api(Method::GET, path).send().await?.error_for_status()?.text().await?)
}

/// All that Slipway tells of a build, by where it does.
async fn told(platform: &Platform, app: &Remote, number: u32) -> Result<Vec<(String, String)>> {
    let build = format!("/apps/{}/builds/{number}", app.app.name);
    let mut told = Vec::new();
    for path in ["", "/log?limit=10000", "/log.txt", "/events", "/provenance"] {
        let path = format!("{build}{path}");
        // What a build that failed has none of.
        if let Ok(text) = text(platform, &path).await {
            told.push((path, text));
        }
    }
    ensure!(told.len() >= 4, "{:?}", told.iter().map(|(path, _)| path).collect::<Vec<_>>());
    let page =
        platform.request(Method::GET, platform.base_domain(), &build).bearer_auth(&platform.admin_token);
    told.push((format!("the page {build}"), page.send().await?.error_for_status()?.text().await?));
    Ok(told)
}

/// Looks at the node's processes until the step that reads the secret is among them.
async fn look_at_processes(secret: &Secret, step: &str) -> Result<()> {
    let mut having = Vec::new();
    wait::until("the step that reads the secret", app::PATIENCE, || {
        let found = leak::processes(&secret.needles);
        let seen = found.map(|found| {
            having.extend(found.having);
            let is_there = found.seen.iter().any(|line| line.starts_with(step));
            if is_there { Ok(()) } else { Err("it is not there") }
        });
        async { seen }
    })
    .await?;
    // And once more in the middle of it, when it has read the secret.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let found = leak::processes(&secret.needles)?;
    having.extend(found.having);
    for part in ["buildkitd", "slipwayd builder", step] {
        ensure!(found.seen.iter().any(|line| line.contains(part)), "{part} was not looked at");
    }
    ensure!(having.is_empty(), "processes have the secret: {having:#?}");
    Ok(())
}

#[tokio::test]
async fn a_secret_is_nowhere_but_in_its_step() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let (app, secret, since) = (create(&platform, "leaks").await?, secret()?, Instant::now());
    let canary = format!("canary-{}", uuid::Uuid::new_v4().simple());
    app::edit(&app.app, "Dockerfile", "CANARY", &canary)?;
    // Other tests have such a step too.
    let step = format!("node leak.js {}", app.app.name);
    app::edit(&app.app, "Dockerfile", "node leak.js", &step)?;
    remote::put(&platform, &app, "secrets", "TOKEN", &secret.value).await?;
    let listed = text(&platform, &format!("/apps/{}/secrets", app.app.name)).await?;
    assert!(listed.contains("TOKEN") && !secret.needles.are_in(listed.as_bytes()), "{listed}");

    let looking = look_at_processes(&secret, &step);
    let (pushed, looked) = tokio::join!(push(&app, "Build with a secret"), looking);
    let pushed = pushed?;
    assert_eq!(pushed.code, Some(0), "{}", pushed.text);
    looked?;
    assert_eq!(served_digest(&platform, &app).await?, secret.digest(), "the step read another value");

    assert!(!secret.needles.are_in(pushed.text.as_bytes()), "{}", pushed.text);
    assert!(pushed.text.contains("all was said"), "{}", pushed.text);
    for (place, text) in told(&platform, &app, 1).await? {
        assert!(!secret.needles.are_in(text.as_bytes()), "{place}: {text}");
        if place.ends_with("/log.txt") {
            assert!(text.matches("[secret TOKEN]").count() >= PRINTED, "{text}");
        }
    }
    let build = platform.get(&format!("/apps/{}/builds/1", app.app.name)).await?;
    let canary = Needles::of(&canary)?;
    look_at_the_image(&platform, &build, &secret, &canary).await?;

    let (having, tables) = leak::tables(&platform, &secret.needles).await?;
    assert!(having.is_empty() && tables > 15, "of {tables} tables: {having:?}");
    let (having, _) = leak::tables(&platform, &canary).await?;
    assert!(having.iter().any(|table| table.contains("step")), "what is in a table is found: {having:?}");
    let having = leak::buildkit(&platform, &secret.needles, since).await?;
    assert!(having.is_empty(), "{having:#?}");
    let having = leak::buildkit(&platform, &canary, since).await?;
    assert!(!having.is_empty(), "what BuildKit has is found");
    assert_eq!(leak::cluster(&platform, &secret.needles).await?, [""; 0]);
    remote::put_away(&platform, &app).await
}

async fn look_at_the_image(
    platform: &Platform,
    build: &Value,
    secret: &Secret,
    canary: &Needles,
) -> Result<()> {
    let image = build.pointer("/release/image").and_then(Value::as_str).context("no image")?;
    let stored = registry::stored(platform, image).await?;
    let having = |needles: &Needles| -> Vec<String> {
        let having = stored.iter().filter(|it| needles.are_in(&it.bytes));
        having.map(|it| it.digest.clone()).collect()
    };
    assert_eq!(having(&secret.needles), [""; 0]);
    // In the image's history; and the digest that the step left, in a layer.
    assert!(!having(canary).is_empty(), "{} blobs, and none has the canary", stored.len());
    assert!(
        !having(&Needles::of(&secret.digest())?).is_empty(),
        "{} blobs, and none is unpacked",
        stored.len()
    );
    Ok(())
}

#[tokio::test]
async fn a_new_value_runs_its_step_again_and_no_other() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let (app, first, second) = (create(&platform, "rotates").await?, secret()?, secret()?);
    app::edit(&app.app, "Dockerfile", "CANARY", &app.app.name)?;
    for (number, secret) in [(1, &first), (2, &second), (3, &second), (4, &first)] {
        remote::put(&platform, &app, "secrets", "TOKEN", &secret.value).await?;
        let pushed = push(&app, "Nothing but the secret may have changed").await?;
        assert_eq!(pushed.code, Some(0), "{}", pushed.text);
        assert_eq!(served_digest(&platform, &app).await?, secret.digest(), "build #{number}");
        let build = platform.get(&format!("/apps/{}/builds/{number}", app.app.name)).await?;
        let steps = build["steps"].as_array().context("no steps")?;
        let is_cached = |text: &str| -> Vec<bool> {
            let named = steps.iter().filter(|step| step["name"].as_str().is_some_and(|it| it.contains(text)));
            named.map(|step| step["cached"] == true).collect()
        };
        let (reading, other) = (is_cached("node leak.js"), is_cached(&format!("RUN : {}", app.app.name)));
        match number {
            1 => assert_eq!((&reading[..], &other[..]), (&[false][..], &[false][..]), "{build:#}"),
            2 => assert_eq!((&reading[..], &other[..]), (&[false][..], &[true][..]), "{build:#}"),
            // The same input as that of a build before: nothing is asked of BuildKit, or everything is cached.
            _ => assert!(reading.iter().chain(&other).all(|cached| *cached), "{build:#}"),
        }
    }
    remote::put_away(&platform, &app).await
}

#[tokio::test]
async fn another_application_never_gets_it() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let (own, secret) = (create(&platform, "owns").await?, secret()?);
    remote::put(&platform, &own, "secrets", "TOKEN", &secret.value).await?;
    let pushed = push(&own, "Build with a secret").await?;
    assert_eq!(pushed.code, Some(0), "{}", pushed.text);

    // The same files, byte for byte: whatever BuildKit has of the first one, it could take for this one.
    let other = create(&platform, "wants").await?;
    let pushed = push(&other, "Build without one").await?;
    assert_eq!(pushed.code, Some(1), "{}", pushed.text);
    assert!(pushed.text.contains("TOKEN"), "it says what is missing: {}", pushed.text);
    for (place, text) in told(&platform, &other, 1).await? {
        assert!(
            !secret.needles.are_in(text.as_bytes()) && !text.contains(&secret.digest()),
            "{place}: {text}"
        );
    }
    let theirs = self::secret()?;
    remote::put(&platform, &other, "secrets", "TOKEN", &theirs.value).await?;
    // For another environment: it is of no use here.
    remote::put(&platform, &other, "secrets", "TOKEN?env=staging", &secret.value).await?;
    let pushed = push(&other, "Build with its own").await?;
    assert_eq!(pushed.code, Some(0), "{}", pushed.text);
    assert_eq!(served_digest(&platform, &other).await?, theirs.digest());
    remote::put_away(&platform, &own).await?;
    remote::put_away(&platform, &other).await
}

#[tokio::test]
async fn a_failure_tells_its_reason_without_the_secret() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let (app, secret) = (create(&platform, "throws").await?, secret()?);
    remote::put(&platform, &app, "secrets", "TOKEN", &secret.value).await?;
    remote::put(&platform, &app, "args", "FAIL", "1").await?;
    let pushed = push(&app, "Fail with a secret").await?;
    assert_eq!(pushed.code, Some(1), "{}", pushed.text);
    assert!(pushed.text.contains("no server takes [secret TOKEN]"), "{}", pushed.text);
    assert!(!secret.needles.are_in(pushed.text.as_bytes()), "{}", pushed.text);
    for (place, text) in told(&platform, &app, 1).await? {
        assert!(!secret.needles.are_in(text.as_bytes()), "{place}: {text}");
    }
    let build = platform.get(&format!("/apps/{}/builds/1", app.app.name)).await?;
    assert!(build["reason"].to_string().contains("[secret TOKEN]"), "{build:#}");
    Ok(())
}
