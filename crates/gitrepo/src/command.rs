//! Runs the git command: bounded in time and output, without a terminal, and with an environment of its own.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

use crate::classify::{classify, failure, is_not_given_out};
use crate::{GitError, Remote};

const STDOUT_MAX: u64 = 1 << 20;
const STDERR_MAX: u64 = 64 << 10;

/// All that git gets of our environment: what its transport needs to leave the machine. Not, say, the database's URL.
const PASSED_ON: &[&str] = &[
    "PATH",
    "ALL_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// What git wrote until it ended.
pub(crate) struct Ended {
    success: bool,
    stdout: String,
    stderr: String,
}

impl Ended {
    pub(crate) fn into_stdout(self) -> Result<String, GitError> {
        if self.success { Ok(self.stdout) } else { Err(classify(&self.stderr)) }
    }

    /// For a command that speaks to nobody: when it fails, that is nobody else's fault.
    pub(crate) fn into_local_stdout(self) -> Result<String, GitError> {
        if self.success { Ok(self.stdout) } else { Err(GitError::Other(failure(&self.stderr))) }
    }

    /// The server does not have what was asked for, or does not give it out by its id.
    pub(crate) fn is_not_given_out(&self) -> bool {
        !self.success && is_not_given_out(&self.stderr)
    }
}

pub(crate) async fn run(
    remote: &Remote,
    arguments: &[&str],
    stdin: Stdio,
    at_most: Duration,
) -> Result<Ended, GitError> {
    let mut command = Command::new("git");
    command.args(arguments).env_clear().envs(environment(remote)).stdin(stdin);
    match end(command, &[], at_most).await? {
        Some(ended) => Ok(ended),
        None => Err(GitError::Unavailable(format!("git did not end within {} s", at_most.as_secs()))),
    }
}

/// Lets a command run to its end, with `input` if its standard input is a pipe. `None`: it took too long and is stopped.
pub(crate) async fn end(
    mut command: Command,
    input: &[u8],
    at_most: Duration,
) -> Result<Option<Ended>, GitError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = spawn(&mut command)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ended = async {
        tokio::try_join!(
            write(stdin, input),
            read(stdout, STDOUT_MAX),
            read(stderr, STDERR_MAX),
            child.wait()
        )
    };
    let Ok(ended) = tokio::time::timeout(at_most, ended).await else { return Ok(None) };
    let ((), stdout, stderr, status) = ended?;
    Ok(Some(Ended { success: status.success(), stdout, stderr }))
}

pub(crate) fn spawn(command: &mut Command) -> Result<Child, GitError> {
    command.spawn().context("running git: is it installed?").map_err(GitError::Other)
}

fn environment(remote: &Remote) -> Vec<(String, std::ffi::OsString)> {
    let passed = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut all: Vec<_> = passed.filter(|(name, _)| PASSED_ON.contains(&name.as_str())).collect();
    let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.into()));
    set("LC_ALL", "C");
    set("GIT_TERMINAL_PROMPT", "0");
    set("GIT_CONFIG_NOSYSTEM", "1");
    set("GIT_CONFIG_GLOBAL", "/dev/null");
    set("GIT_ALLOW_PROTOCOL", remote.protocols());

    let authorization = remote.authorization();
    let header = format!("http.{}.extraHeader", remote.url());
    let mut config = vec![
        // A redirect would carry the credentials to whatever host it names.
        ("http.followRedirects", "false"),
        // A transfer that stalls ends long before the command's own limit.
        ("http.lowSpeedLimit", "100"),
        ("http.lowSpeedTime", "30"),
        // The age of a ref's file says when its commit was last built.
        ("gc.packRefs", "false"),
    ];
    config.extend(authorization.as_ref().map(|it| (header.as_str(), it.expose_secret())));
    all.extend(configuration(&config).map(|(name, value)| (name, value.into())));
    all
}

/// Settings as git reads them from its environment, where no process list shows them. Of two that contradict each other
/// the later one counts.
pub(crate) fn configuration(config: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let count = ("GIT_CONFIG_COUNT".to_owned(), config.len().to_string());
    let settings = config.iter().enumerate().flat_map(|(index, (key, value))| {
        [
            (format!("GIT_CONFIG_KEY_{index}"), (*key).to_owned()),
            (format!("GIT_CONFIG_VALUE_{index}"), (*value).to_owned()),
        ]
    });
    std::iter::once(count).chain(settings)
}

/// A command may end without reading all of its input; its status says whether that was right.
async fn write(to: Option<ChildStdin>, input: &[u8]) -> std::io::Result<()> {
    let Some(mut to) = to else { return Ok(()) };
    match to.write_all(input).await {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Reads up to `limit` bytes; who writes more finds its pipe closed.
async fn read(from: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(limit).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
