//! Compiles the platform's parts into the cache, one folder for each part and version. A part's folder is renamed
//! into place when it is complete, so an interrupted compile is taken up again by the next `up`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::parts::{self, Part};
use crate::args::Forge;
use crate::layout::Layout;
use crate::progress::step;
use crate::template;
use crate::{command, sources};

/// What of Slipway goes into its image.
pub(crate) const SLIPWAY: [&str; 2] = ["slipwayd", "slipway"];

/// Compiles what is not in the cache, one part after another: each already uses all cores.
pub(crate) fn platform(layout: &Layout, forge: Option<Forge>) -> anyhow::Result<()> {
    parts::wanted(forge).try_for_each(|part| {
        once(layout, &part.folder(), &format!("{} {}", part.name, part.version()), |work, out, log| {
            write_module(part, work)?;
            command::run(&mut build(part, work, out)?, log)?;
            copy_assets(part, work, out, log)
        })
    })
}

/// Compiles Slipway itself for release.
pub(crate) fn slipway(layout: &Layout) -> anyhow::Result<()> {
    release(layout, "Slipway", &SLIPWAY)
}

/// Compiles programs of this workspace for release. Cargo knows what has changed.
pub(crate) fn release(layout: &Layout, what: &str, programs: &[&str]) -> anyhow::Result<()> {
    let log = layout.compile_log(&what.to_lowercase());
    fs::remove_file(&log).ok();
    step(&format!("compile {what}"), Some(&log), || {
        sources::refresh(layout)?;
        // of the whole workspace, whatever is asked for: dependencies then have the same features each time
        let mut cargo = command::cargo(layout);
        cargo.args(["build", "--release", "--workspace"]);
        for program in programs {
            cargo.args(["--bin", program]);
        }
        command::run(&mut cargo, &log)
    })
}

/// Makes a folder of the cache by `make(WORK, WORK/out, log)`, unless it is there already.
pub(crate) fn once(
    layout: &Layout,
    folder: &str,
    what: &str,
    make: impl FnOnce(&Path, &Path, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let place = layout.parts().join(folder);
    if place.is_dir() {
        return Ok(());
    }
    let log = layout.compile_log(folder);
    fs::remove_file(&log).ok();
    step(&format!("compile {what}"), Some(&log), || {
        let work = layout.parts().join(format!(".{folder}"));
        match fs::remove_dir_all(&work) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let out = work.join("out");
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        make(&work, &out, &log)?;
        fs::rename(&out, &place).with_context(|| format!("cannot create {}", place.display()))?;
        fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))
    })
}

fn write_module(part: &Part, work: &Path) -> anyhow::Result<()> {
    fs::write(work.join("go.mod"), part.go_mod)?;
    fs::write(work.join("go.sum"), part.go_sum)?;
    if let Some(main) = part.main {
        fs::write(work.join("main.go"), main)?;
    }
    Ok(())
}

fn build(part: &Part, work: &Path, out: &Path) -> anyhow::Result<Command> {
    let mut go = go(work);
    go.env("CGO_ENABLED", if part.cgo { "1" } else { "0" });
    // -v names each package as it is compiled: the only sign of progress that go gives.
    go.args(["build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", "-tags", part.tags]);
    go.arg("-ldflags").arg(link_flags(part)?).arg("-o").arg(format!("{}/", out.display()));
    go.arg(if part.main.is_some() { "." } else { "tool" });
    Ok(go)
}

fn link_flags(part: &Part) -> anyhow::Result<String> {
    let version = part.version();
    let mut numbers = version.split('.');
    let mut number = || numbers.next().unwrap_or_default().to_owned();
    let values = [("VERSION", version.to_owned()), ("MAJOR", number()), ("MINOR", number())];
    let mut flags = "-s -w".to_owned();
    for stamp in part.stamps {
        flags.push_str(" -X ");
        flags.push_str(&template::render(stamp, &values)?);
    }
    Ok(flags)
}

fn copy_assets(part: &Part, work: &Path, out: &Path, log: &Path) -> anyhow::Result<()> {
    if part.assets.is_empty() {
        return Ok(());
    }
    let module =
        command::output(go(work).args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", part.module()]))?;
    let target = out.join(format!("{}-static", part.name));
    fs::create_dir(&target)?;
    let sources = part.assets.iter().map(|folder| Path::new(module.trim()).join(folder));
    command::run(Command::new("cp").arg("-r").args(sources).arg(&target), log)?;
    // Modules are read-only in Go's cache, and a copy keeps that.
    command::run(Command::new("chmod").args(["-R", "u+w,a+rX"]).arg(&target), log)
}

/// Go with this machine's tool chain only, and with nothing of the caller's settings that would change the result.
fn go(work: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(work).env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("GOWORK", "off");
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_their_version() {
        let part = parts::named("kubernetes");
        let flags = link_flags(part).unwrap();
        let minor = part.version().split('.').nth(1).unwrap();
        assert!(flags.starts_with("-s -w -X "), "{flags}");
        assert!(flags.contains(&format!(" -X k8s.io/component-base/version.gitMinor={minor}")), "{flags}");
        assert!(flags.contains(&format!("client-go/pkg/version.gitVersion=v{}", part.version())), "{flags}");
    }
    #[test]
    fn a_folder_of_the_cache_is_made_once_and_whole() {
        let cache = tempfile::tempdir().unwrap();
        let layout = Layout { repo: "/r".into(), cache: cache.path().to_owned(), data: "/d".into() };
        let place = layout.parts().join("x-1");
        let broken = once(&layout, "x-1", "x 1", |_, out, _| {
            fs::write(out.join("half"), "")?;
            anyhow::bail!("interrupted")
        });
        assert!(broken.is_err() && !place.exists());
        once(&layout, "x-1", "x 1", |_, out, _| Ok(fs::write(out.join("whole"), "")?)).unwrap();
        assert!(place.join("whole").exists() && !place.join("half").exists());
        once(&layout, "x-1", "x 1", |_, _, _| anyhow::bail!("made again")).unwrap();
    }
}
