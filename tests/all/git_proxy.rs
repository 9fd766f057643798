//! A build that says nothing for long: its push outlives a proxy that cuts idle connections, and its user is told why
//! nothing happens.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::platform::{Platform, is_long};
use harness::words::{assert_lines, fits};
use harness::{app, idle_proxy, platform, remote};

/// What the proxy takes for idle, and how long the build says nothing.
struct Silence {
    idle_max: Duration,
    silent_for: Duration,
}

/// As nginx has it by default, for as long as a long build takes, when somebody has the time.
fn silence() -> Silence {
    let (idle_max, silent_for) = if is_long() { (60, 20 * 60) } else { (20, 40) };
    Silence { idle_max: Duration::from_secs(idle_max), silent_for: Duration::from_secs(silent_for) }
}

#[tokio::test]
async fn a_long_silence_passes_a_proxy_that_cuts_idle_connections() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let Silence { idle_max, silent_for } = silence();
    let mut app = remote::create(&platform, "silent", "fails-to-build").await?;
    app::edit(&app.app, "Dockerfile", "RUN npm", &format!("RUN sleep {}; npm", silent_for.as_secs()))?;
    remote::commit(&app.tree, "Say nothing for long").await?;
    let proxy = idle_proxy::start(platform.loopback(), idle_max).await?;
    app.tree.config.push(("http.proxy".to_owned(), format!("http://{}", proxy.address)));

    let started = Instant::now();
    let push = remote::start_push(&app, &[], &["main"])?;
    let push = remote::end_within(push, silent_for + remote::PATIENCE).await?;
    assert!(started.elapsed() > silent_for, "{}", push.text);
    let why = " ! [remote rejected] main -> main (build #1 failed: [4/4] RUN sleep *; npm run build failed: exit code 3)";
    assert_lines(&[push.of_ref("main").unwrap_or_default()], &[why]);
    let still = format!("       still running: RUN sleep {}; npm run build (3* s)", silent_for.as_secs());
    assert!(push.remote.iter().any(|line| fits(&still, line)), "{}", push.text);
    Ok(())
}
