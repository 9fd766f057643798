//! The git processes that speak with clients. Nothing that they do depends on the machine's or a user's configuration,
//! and none of it can be set by what was pushed: there are no hooks and no replaced objects.

use std::process::Stdio;

use anyhow::anyhow;
use tokio::process::{Child, Command};

use super::{PUSH_PATIENCE, Repository};
use crate::{GitError, command};

/// The largest piece of memory that git asks for at once, or it gives up. Without a limit a pack of some kilobytes, which
/// says that it holds a tree of 10 GB or four thousand million objects, ends the whole receiver. Files above
/// `core.bigFileThreshold` are not held in memory.
const ALLOCATION_MAX: &str = "512m";

const CONFIG: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    // Nothing is acknowledged that a power failure could take back: by default neither packs' names nor refs are synced.
    ("core.fsync", "all"),
    ("core.bigFileThreshold", "32m"),
    // The volume may belong to another user than the process.
    ("safe.directory", "*"),
    ("pack.threads", "1"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("receive.autogc", "false"),
    ("receive.fsckObjects", "true"),
    // One pack, one sync, instead of a file per object.
    ("receive.unpackLimit", "1"),
    // Continuous integration has no history to push.
    ("receive.shallowUpdate", "true"),
    ("receive.advertiseAtomic", "false"),
    ("receive.advertisePushOptions", "true"),
    // Whoever could push to refs/replace could swap a commit's content.
    ("transfer.hideRefs", "refs"),
    ("transfer.hideRefs", "!refs/heads"),
    ("transfer.hideRefs", "!refs/tags"),
];

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Sees branches and tags. With protocol 2 git hides other refs, but not a commit whose id the client knows.
    Client,
    /// May ask for any commit by its id.
    Builder,
}

impl Repository {
    /// `git receive-pack` with piped input and output, outside our process group and never killed by a drop: what it has
    /// begun it ends, and without the end of its input it begins nothing. It holds the repository's lock as long as it
    /// lives, so that [`Repository::clean`] never runs beside it. Blocks for a moment when that is running.
    pub fn receive_pack(&self, pack_max_bytes: u64) -> Result<Child, GitError> {
        let Some(lock) = self.share(PUSH_PATIENCE)? else {
            return Err(GitError::Other(anyhow!("the repository is being cleaned: push again")));
        };
        // A lock belongs to an opened file: this one is the child's as well.
        command::spawn(self.receive_pack_command(pack_max_bytes).stderr(lock))
    }

    pub(super) fn receive_pack_command(&self, pack_max_bytes: u64) -> Command {
        let max = pack_max_bytes.to_string();
        let mut command = command(&[
            ("receive.maxInputSize", max.as_str()),
            ("receive.hideRefs", "!refs/pushes"),
            // Of a pack as small as a push's it is made in memory sooner than it is synced to the disk.
            ("pack.writeReverseIndex", "false"),
        ]);
        command.args(["receive-pack", "--stateless-rpc"]).arg(&self.path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        command
    }

    /// `git upload-pack` with piped input and output. `protocol` is what the client's `Git-Protocol` says; `advertise`:
    /// it says what it has and ends.
    pub fn upload_pack(
        &self,
        asker: Asker,
        protocol: Option<&str>,
        advertise: bool,
    ) -> Result<Child, GitError> {
        let mut command = command(match asker {
            Asker::Client => &[],
            Asker::Builder => &[("uploadpack.allowAnySHA1InWant", "true")],
        });
        command.args(["upload-pack", "--strict", "--stateless-rpc"]);
        if advertise {
            command.arg("--http-backend-info-refs");
        }
        if let Some(version) = protocol.filter(|it| matches!(*it, "version=0" | "version=1" | "version=2")) {
            command.env("GIT_PROTOCOL", version);
        }
        command.arg(&self.path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command::spawn(command.kill_on_drop(true))
    }

    /// A git command in this repository that speaks to nobody.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&[]);
        command.args(arguments).current_dir(&self.path).env("GIT_DIR", &self.path);
        command
    }
}

fn command(more: &[(&str, &str)]) -> Command {
    let config = [CONFIG, more].concat();
    let mut command = Command::new("git");
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.env("LC_ALL", "C").env("HOME", "/nonexistent");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_TERMINAL_PROMPT", "0");
    command.env("GIT_ALLOC_LIMIT", ALLOCATION_MAX);
    command.envs(command::configuration(&config));
    command
}
