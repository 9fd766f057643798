//! The real receiver, `slipwayd receiver`, as a process of a group of its own, that can be killed and started again.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::wait;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a receiver is started with, each time alike.
#[derive(Debug, Clone)]
pub struct Receiver {
    program: PathBuf,
    database_url: String,
    /// It also runs there, and so do the git processes that it starts: by that they are known.
    pub repositories: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    admin_address: SocketAddr,
}

/// On free ports; starts nothing yet.
pub fn new(program: &Path, database_url: &str, repositories: PathBuf, log: PathBuf) -> Result<Receiver> {
    let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
    // Both are taken before either is given back, so that they differ.
    let (ours, admin) =
        (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    let database_url = database_url.to_owned();
    let (address, admin_address) = (ours.local_addr()?, admin.local_addr()?);
    Ok(Receiver { program, database_url, repositories, log, address, admin_address })
}

/// It is killed when the answer is dropped. Its log goes on where a former one's ended.
pub fn start(receiver: &Receiver) -> Result<Child> {
    let log = File::options().create(true).append(true).open(&receiver.log)?;
    Command::new(&receiver.program)
        .arg("receiver")
        .env("SLIPWAY_DATABASE_URL", &receiver.database_url)
        .env("SLIPWAY_RECEIVER_ADDR", receiver.address.to_string())
        .env("SLIPWAY_ADMIN_ADDR", receiver.admin_address.to_string())
        .env("SLIPWAY_REPOSITORIES_DIR", &receiver.repositories)
        .current_dir(&receiver.repositories)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", receiver.program.display()))
}

/// Waits until it takes connections: then it has repaired what the one before it left.
pub async fn serves(receiver: &Receiver) -> Result<()> {
    wait::until("the receiver to take connections", PATIENCE, || async {
        Ok(TcpStream::connect(receiver.address).await.map(|_| ()).map_err(|error| error.to_string()))
    })
    .await
    .with_context(|| format!("its log is {}", receiver.log.display()))
}

/// An application's remote.
pub fn remote(receiver: &Receiver, app: &str) -> String {
    format!("http://{}/{app}.git", receiver.address)
}

/// The header that says who pushes, as a credential helper with `http.proactiveAuth` would have git send it at once.
pub fn authorization(token: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("git:{token}"));
    format!("Authorization: Basic {pair}")
}
