//! Ten applications are pushed at once while one client hardly reads its log: nobody else waits for it, and what it does
//! not read is not held in memory.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use harness::client::{self, RECEIVE_REQUEST, SIDE_BAND, update};
use harness::platform::{Platform, is_long};
use harness::remote::Remote;
use harness::{app, node, platform, receiver, remote, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

const PUSHES: usize = 10;
const MEMORY_MAX: u64 = 256 << 20;
/// Megabytes, so that no buffer on the way holds all of it.
const LINES: usize = 200_000;

#[tokio::test]
async fn a_client_that_hardly_reads_slows_nobody_down() -> Result<()> {
    let _lock = platform::alone()?;
    let platform = Platform::from_env()?;
    let apps = try_join_all((0..PUSHES).map(|_| remote::create(&platform, "load", "static"))).await?;
    // What a first push costs more is not what is compared.
    rounds(&platform, &apps, "first", 1).await?;
    // One round says little on a machine that does other things too.
    let count = if is_long() { 5 } else { 1 };
    let mut without = rounds(&platform, &apps, "before", count).await?;

    let mut reading = JoinSet::new();
    let slow = remote::create(&platform, "slowread", "static").await?;
    let stream = start_slow(&platform, &slow).await?;
    reading.spawn(read_slowly(stream));
    // It takes nobody's builder any more, and its client has nearly all of it before itself.
    wait::until("its build to end", app::PATIENCE, || async {
        let build = app::builds(&platform, &slow.app).await?.into_iter().next().context("a build")?;
        Ok(if build["state"] == "failed" { Ok(()) } else { Err(build["state"].clone()) })
    })
    .await?;
    let with = rounds(&platform, &apps, "with", count).await?;
    ensure!(reading.try_join_next().is_none(), "the slow client was thrown out");
    let memory = node::memory(&platform, "slipway", "app.kubernetes.io/name=slipway-receiver").await?;
    reading.shutdown().await;
    // What the machine does besides changes with time: it is measured on both sides.
    without.extend(rounds(&platform, &apps, "after", count).await?);

    let [without, with] = [without, with].map(middle);
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    writeln!(
        std::io::stderr(),
        "{} pushes, ten at once, p50: {without:.1?} before and after, {with:.1?} with a slow reader beside them \
         ({ratio:.2} times); the receiver held {} MiB",
        count * PUSHES,
        memory >> 20
    )?;
    assert!(memory < MEMORY_MAX, "the receiver holds {memory} bytes");
    for app in &apps {
        remote::put_away(&platform, app).await?;
    }
    Ok(())
}

/// What each push took.
async fn rounds(platform: &Platform, apps: &[Remote], title: &str, count: usize) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for n in 0..count {
        took.extend(all_at_once(platform, apps, &format!("{title} {n}")).await?);
    }
    Ok(took)
}

fn middle(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

/// Pushes a new commit of each; answers what each took. All go live.
async fn all_at_once(platform: &Platform, apps: &[Remote], title: &str) -> Result<Vec<Duration>> {
    for app in apps {
        app::replace_title(&app.tree.path.join("public/index.html"), &format!("{title} {}", app.app.name))?;
        remote::commit(&app.tree, title).await?;
    }
    let took = try_join_all(apps.iter().map(|app| async move {
        let started = Instant::now();
        let push = remote::push(app, &[], &["main"]).await?;
        ensure!(push.code == Some(0), "{}", push.text);
        anyhow::Ok(started.elapsed())
    }))
    .await?;
    for app in apps {
        let (_, body) = app::served(platform, &app.app, "main").await?;
        ensure!(body.contains(&format!("{title} {}", app.app.name)), "{}: {body}", app.app.name);
    }
    Ok(took)
}

/// A push whose build says much and fails, with a small window for its answer.
async fn start_slow(platform: &Platform, slow: &Remote) -> Result<TcpStream> {
    let line = "the quick brown fox jumps over the lazy dog";
    remote::add_step(slow, &format!("yes {line} | head -n {LINES}; false"))?;
    let commit = remote::commit(&slow.tree, "Say much").await?;
    let updates = [update("refs/heads/main", None, Some(&commit))?];
    let body = client::body(&updates, SIDE_BAND, &client::pack(slow).await?);
    let head = format!(
        "POST /{}.git/git-receive-pack HTTP/1.1\r\nHost: {}\r\n{}\r\nContent-Type: {RECEIVE_REQUEST}\r\nContent-Length: \
         {}\r\n\r\n",
        slow.app.name,
        platform.base_domain(),
        receiver::authorization(&platform.admin_token),
        body.len()
    );
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(platform.loopback().parse()?).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    Ok(stream)
}

/// A byte a second, until the answer ends.
async fn read_slowly(mut stream: TcpStream) -> Result<()> {
    loop {
        stream.read_u8().await.context("the answer has ended")?;
        sleep(Duration::from_secs(1)).await;
    }
}
