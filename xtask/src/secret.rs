//! Secrets made at the first start and kept in files that only their owner reads.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

/// What the file holds; a new random secret is put there first when there is none.
pub(crate) fn read_or_make(path: &Path) -> anyhow::Result<String> {
    if let Some(secret) = read(path)? {
        return Ok(secret);
    }
    let secret = random()?;
    write(path, &secret)?;
    Ok(secret)
}

/// What the file holds, if it is there.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a secret whole or not at all: an interrupted write leaves no half of it behind.
pub(crate) fn write(path: &Path, secret: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let folder = path.parent().expect("a secret lies in a folder");
    fs::create_dir_all(folder).with_context(failed)?;
    let half = path.with_extension("new");
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&half)
        .with_context(failed)?;
    writeln!(file, "{secret}").with_context(failed)?;
    fs::rename(&half, path).with_context(failed)
}

/// 256 random bits as hex.
pub(crate) fn random() -> anyhow::Result<String> {
    let mut bytes = [0u8; 32];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/token");
        let first = read_or_make(&path).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(read_or_make(&path).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(random().unwrap(), first);
    }
}
