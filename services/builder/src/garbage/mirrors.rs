//! The mirrors of repositories of which nothing is built any more.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use domain::garbage::{MirrorFacts, Policy, is_mirror_garbage};
use store::garbage::Counts;
use uuid::Uuid;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) kept: Counts,
    pub(super) left: Counts,
    pub(super) removed: Counts,
    pub(super) fault: Option<String>,
}

/// Goes through the folder of mirrors, each of which is called as its application's id; what else is there stays.
pub(super) async fn sweep(folder: &Path, apps: HashSet<Uuid>, policy: Policy) -> Result<Swept> {
    let folder = folder.to_path_buf();
    let sweeping = tokio::task::spawn_blocking(move || sweep_blocking(&folder, &apps, &policy));
    sweeping.await.context("going through the mirrors")?
}

fn sweep_blocking(folder: &Path, apps: &HashSet<Uuid>, policy: &Policy) -> Result<Swept> {
    let mut swept = Swept::default();
    for (mirror, app) in mirrors(folder)? {
        let is_garbage = |used_at: SystemTime| {
            // A clock that was set back makes nothing old.
            let idle_seconds = SystemTime::now().duration_since(used_at).unwrap_or_default().as_secs();
            is_mirror_garbage(policy, &MirrorFacts { idle_seconds, has_app: apps.contains(&app) })
        };
        let bytes = i64::try_from(gitrepo::mirror_bytes(&mirror)).unwrap_or(i64::MAX);
        let place = match gitrepo::discard_if(&mirror, is_garbage) {
            Ok(true) => &mut swept.removed,
            Ok(false) => &mut swept.kept,
            Err(error) => {
                swept.fault.get_or_insert(format!("removing {}: {error}", mirror.display()));
                &mut swept.left
            }
        };
        place.count += 1;
        place.bytes += bytes;
    }
    Ok(swept)
}

fn mirrors(folder: &Path) -> Result<Vec<(PathBuf, Uuid)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        // Nothing was built here yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    let mut mirrors = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let app = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".git")?.parse().ok());
        mirrors.extend(app.map(|app| (path, app)));
    }
    Ok(mirrors)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn mirror(folder: &Path, app: Uuid, idle: Duration) {
        let mirror = folder.join(format!("{app}.git"));
        fs::create_dir_all(mirror.join("refs/slipway")).unwrap();
        fs::write(mirror.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        let file = fs::File::create(mirror.join("refs/slipway").join("a".repeat(40))).unwrap();
        let used_at = SystemTime::now() - idle;
        file.set_modified(used_at).unwrap();
        fs::File::open(&mirror).unwrap().set_modified(used_at).unwrap();
    }

    #[tokio::test]
    async fn unused_mirrors_go_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let [used, idle, gone, busy] = [1, 2, 3, 4].map(Uuid::from_u128);
        mirror(folder.path(), used, Duration::from_secs(29 * DAY));
        mirror(folder.path(), idle, Duration::from_secs(31 * DAY));
        mirror(folder.path(), gone, Duration::from_secs(2 * DAY));
        mirror(folder.path(), busy, Duration::from_secs(31 * DAY));
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        // As a fetch does, and a git that outlived its builder.
        let lock = fs::File::create(folder.path().join(format!("{busy}.git.lock"))).unwrap();
        lock.lock().unwrap();

        let policy = Policy { releases: 1, image_days: 1, mirror_days: 30 };
        let apps = HashSet::from([used, idle, busy]);
        let swept = sweep(folder.path(), apps.clone(), policy).await.unwrap();
        assert_eq!((swept.kept.count, swept.removed.count, swept.left.count), (2, 2, 0), "{swept:?}");
        assert!(swept.kept.bytes > 0 && swept.fault.is_none(), "{swept:?}");
        let is_there = |app: Uuid| folder.path().join(format!("{app}.git/HEAD")).exists();
        assert_eq!([used, idle, gone, busy].map(is_there), [true, false, false, true]);
        assert!(folder.path().join("lost+found").exists());

        drop(lock);
        let swept = sweep(folder.path(), apps, policy).await.unwrap();
        assert_eq!((swept.kept.count, swept.removed.count), (1, 1));
        assert!(!is_there(busy));
        let nowhere = folder.path().join("nowhere");
        assert_eq!(sweep(&nowhere, HashSet::new(), policy).await.unwrap(), Swept::default());
    }
}
