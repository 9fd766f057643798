//! `cargo xtask up`: from a bare machine to the demo application answering at its URL. Every step finds out what is
//! there already, so that an interrupted run is continued by the next one.

use std::fs::{self, File, TryLockError};
use std::time::Instant;

use anyhow::Context;

use crate::args::UpArgs;
use crate::layout::Layout;
use crate::platform::{self, checks, compile, forge, node, packages};
use crate::progress::{elapsed, note, say};
use crate::{demo, deploy, images};

pub(crate) fn run(layout: &Layout, args: &UpArgs) -> anyhow::Result<()> {
    if let (Some(context), Some(image)) = (&args.context, &args.image) {
        return deploy::other_cluster(layout, context, image);
    }
    let begun = Instant::now();
    prepare(layout)?;
    let _lock = lock(layout)?;
    if args.platform_only {
        platform(layout)?;
        note(&format!("platform up after {}", elapsed(begun.elapsed())));
        print_platform(layout);
        return Ok(());
    }
    everything(layout)?;
    note(&format!("all up after {}", elapsed(begun.elapsed())));
    print_urls(layout);
    Ok(())
}

/// Everything up to the demo application's answer. What is in place is left as it is.
pub(crate) fn everything(layout: &Layout) -> anyhow::Result<()> {
    side_by_side(|| platform(layout), || compile::slipway(layout))?;
    deploy::local(layout, &[images::own::slipwayd(layout)?, images::own::buildkit(layout)?])?;
    demo::ensure(layout)
}

/// Checks that nothing stands in the way, and installs the packages that all else needs.
pub(crate) fn prepare(layout: &Layout) -> anyhow::Result<()> {
    checks::root()?;
    checks::disk(layout)?;
    packages::ensure(&layout.compile_log("packages"))?;
    checks::go(layout)?;
    checks::network(layout)
}

/// Keeps a second `up` or `down` away until the lock is dropped, also by a crash.
pub(crate) fn lock(layout: &Layout) -> anyhow::Result<File> {
    fs::create_dir_all(&layout.data).with_context(|| format!("cannot create {}", layout.data.display()))?;
    let path = layout.data.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            anyhow::bail!("another `cargo xtask` is at work on {}: wait for it", layout.data.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn platform(layout: &Layout) -> anyhow::Result<()> {
    compile::platform(layout)?;
    node::start(layout)?;
    images::platform(layout)
}

/// Runs both to their end. The error of the first is the one to read when both fail.
fn side_by_side(
    first: impl FnOnce() -> anyhow::Result<()>,
    second: impl FnOnce() -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        let second = second.join().unwrap_or_else(|_| anyhow::bail!("the compile of Slipway crashed"));
        first.and(second)
    })
}

fn print_platform(layout: &Layout) {
    say(&format!("kubeconfig: {}", layout.kubeconfig().display()));
    say(&format!("kubectl: {}", layout.bin("kubectl").display()));
    say(&format!("registry: http://{}", platform::REGISTRY));
    say(&format!("buildkit: unix://{}/buildkitd.sock", platform::RUN));
    let password = layout.secret("postgres-password");
    say(&format!("postgres: postgres://postgres@{}:5432, password in {}", platform::IP, password.display()));
    say(&format!("forge: {}, user {}, password {}", forge::url(), forge::USER, forge::PASSWORD));
}

fn print_urls(layout: &Layout) {
    say(&format!("web: {}", platform::WEB_URL));
    say(&format!("app: {}", platform::DEMO_URL));
    say(&format!("forge: {}", platform::FORGE_URL));
    for line in deploy::how_to_log_in(layout) {
        say(&line);
    }
    say(&format!("  forge: user {}, password {}", forge::USER, forge::PASSWORD));
}
