//! `cargo xtask up`: from a bare machine to the demo application answering at its URL. Every step finds out what is
//! there already, so that an interrupted run is continued by the next one.

use std::fs::{self, File, TryLockError};
use std::time::Instant;

use anyhow::Context;

use crate::args::{Forge, UpArgs};
use crate::layout::Layout;
use crate::platform::packages::{self, Package};
use crate::platform::{self, checks, compile, forge, node};
use crate::progress::{elapsed, note, say};
use crate::{demo, deploy, images};

pub(crate) fn run(layout: &Layout, args: &UpArgs) -> anyhow::Result<()> {
    if let (Some(context), Some(image)) = (&args.context, &args.image) {
        return deploy::other_cluster(layout, context, image);
    }
    let begun = Instant::now();
    prepare(layout, args.forge, &[])?;
    let _lock = lock(layout)?;
    if args.platform_only {
        platform(layout, args.forge)?;
        note(&format!("platform up after {}", elapsed(begun.elapsed())));
        print_platform(layout, args.forge);
        return Ok(());
    }
    everything(layout, args.forge)?;
    note(&format!("all up after {}", elapsed(begun.elapsed())));
    print_urls(layout, args.forge);
    Ok(())
}

/// Everything up to the demo application's answer. What is in place is left as it is.
pub(crate) fn everything(layout: &Layout, forge: Option<Forge>) -> anyhow::Result<()> {
    side_by_side(|| platform(layout, forge), || compile::slipway(layout))?;
    deploy::local(layout, &[images::own::slipwayd(layout)?, images::own::buildkit(layout)?])?;
    demo::ensure(layout)
}

/// Everything that benches and soaks run against: a forge too.
pub(crate) fn for_tests(layout: &Layout) -> anyhow::Result<()> {
    let forge = Some(Forge::Gitea);
    prepare(layout, forge, &[])?;
    let _lock = lock(layout)?;
    everything(layout, forge)
}

/// Checks that nothing stands in the way, and installs the packages that all else needs.
pub(crate) fn prepare(layout: &Layout, forge: Option<Forge>, more: &[Package]) -> anyhow::Result<()> {
    checks::root()?;
    checks::disk(layout, forge)?;
    packages::ensure(more, &layout.compile_log("packages"))?;
    checks::go(layout, forge)?;
    checks::network(layout, forge)
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

fn platform(layout: &Layout, forge: Option<Forge>) -> anyhow::Result<()> {
    compile::platform(layout, forge)?;
    node::start(layout, forge)?;
    images::platform(layout)
}

/// Runs both to their end. The error of the first is the one to read when both fail.
pub(crate) fn side_by_side(
    first: impl FnOnce() -> anyhow::Result<()>,
    second: impl FnOnce() -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        let first = first();
        let second = second.join().unwrap_or_else(|_| anyhow::bail!("a compile beside the platform crashed"));
        first.and(second)
    })
}

fn print_platform(layout: &Layout, forge: Option<Forge>) {
    say(&format!("kubeconfig: {}", layout.kubeconfig().display()));
    say(&format!("kubectl: {}", layout.bin("kubectl").display()));
    say(&format!("registry: http://{}", platform::REGISTRY));
    say(&format!("buildkit: unix://{}/buildkitd.sock", platform::RUN));
    let password = layout.secret("postgres-password");
    say(&format!("postgres: postgres://postgres@{}:5432, password in {}", platform::IP, password.display()));
    if forge.is_some() {
        say(&format!("forge: {}, user {}, password {}", forge::url(), forge::USER, forge::PASSWORD));
    }
}

fn print_urls(layout: &Layout, forge: Option<Forge>) {
    say(&format!("web:   {}", platform::WEB_URL));
    say(&format!("app:   {}", platform::DEMO_URL));
    say(&format!("git:   {}", demo::remote()));
    if forge.is_some() {
        say(&format!("forge: {}", platform::FORGE_URL));
    }
    for line in deploy::how_to_log_in(layout) {
        say(&line);
    }
    if forge.is_some() {
        say(&format!("  forge: user {}, password {}", forge::USER, forge::PASSWORD));
    }
    for line in demo::how_to_push() {
        say(&line);
    }
}
