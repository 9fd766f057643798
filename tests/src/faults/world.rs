//! Everything a build needs, started for the cells alone: database, git server, registry, BuildKit, builder, and what
//! stands between them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use domain::scope::Scope;
use store::token::NewToken;
use tokio::process::{Child, Command};
use url::Url;

use super::http::{self, Proxy};
use super::parts::{self, Disk, Part, Recipe};
use super::valve::{self, Flow, Valve};
use crate::database::Database;
use crate::receiver::{self, Receiver};
use crate::wait;

const DAEMON_PATIENCE: Duration = Duration::from_secs(60);
const WARM_UP: &str = "the platform's programs are beside buildctl";

/// What is given: the programs, and the registry that has the base images.
#[derive(Debug, Clone)]
pub struct Given {
    pub slipwayd: PathBuf,
    /// Where buildkitd, buildctl, runc and registry are.
    pub programs: PathBuf,
    /// `HOST:PORT`
    pub mirror: String,
    /// The script that starts buildkitd in its pod.
    pub start_script: PathBuf,
}

#[derive(Debug)]
pub struct World {
    pub given: Given,
    pub folder: PathBuf,
    pub receiver: Receiver,
    _receiving: Child,
    pub web: Part,
    pub token: String,
    pub registry: Part,
    pub registry_files: PathBuf,
    pub proxy: Proxy,
    pub daemon: Part,
    /// Only for cells that need it.
    pub second: Option<Part>,
    pub to_daemon: Valve,
    pub to_database: Valve,
    pub to_source: Valve,
    pub builder: Part,
    /// Builders of former cells that were paused, until they are seen to do nothing.
    pub former: Vec<Part>,
    pub disk: Disk,
    builders: usize,
}

pub async fn start(given: &Given, database: &Database, folder: &Path) -> Result<World> {
    let (folder, given) = (folder.to_owned(), given.clone());
    let repositories = folder.join("repositories");
    std::fs::create_dir_all(&repositories)?;
    let key: [u8; 32] = rand::random();
    std::fs::write(vault_key(&folder), base64::engine::general_purpose::STANDARD.encode(key))?;
    let receiver = receiver::new(&given.slipwayd, &database.url, repositories, folder.join("receiver.log"))?;
    let receiving = receiver::start(&receiver)?;
    receiver::serves(&receiver).await?;
    let source = Url::parse(&receiver::remote(&receiver, "x"))?;
    let to_source = valve::start(host(&source)?).await?;
    let to_database = valve::start(host(&Url::parse(&database.url)?)?).await?;

    let registry_files = folder.join("registry");
    let registry = registry(&given, &folder, &registry_files)?;
    parts::serves(&registry).await?;
    let proxy = http::start(registry.recipe.address.to_string(), given.mirror.clone()).await?;

    // A cell counts what is asked of the registry: whoever reads the image of the cell before it would be in its way.
    sqlx::query("alter table sbom alter due_at drop default").execute(&database.db).await?;

    let disk = parts::disk(&folder.join("buildkit.img"), &folder.join("buildkit"))?;
    let recipe = daemon(&given, &folder, "buildkitd", &disk.at, &proxy.address.to_string())?;
    let daemon = parts::start(&recipe)?;
    let to_daemon = valve::start(recipe.address.to_string()).await?;

    let new =
        NewToken { name: "faults", scope: Scope::Admin, app_id: None, seconds: None, created_by: "faults" };
    let (_, token) = store::token::create(&database.db, &new).await?.context("the token is there already")?;
    let web = web(&given, &folder, database)?;
    let recipe = builder(&given, &folder, 1, database, &to_database, &to_daemon, &to_source, &proxy)?;
    let builder = parts::start(&recipe)?;
    let mut world = World {
        given,
        folder,
        receiver,
        _receiving: receiving,
        web,
        token,
        registry,
        registry_files,
        proxy,
        daemon,
        second: None,
        to_daemon,
        to_database,
        to_source,
        builder,
        former: Vec::new(),
        disk,
        builders: 1,
    };
    daemon_answers(&mut world).await.context(WARM_UP)?;
    parts::serves(&world.builder).await?;
    parts::serves(&world.web).await?;
    Ok(world)
}

/// Of build secrets, of which there are none.
fn vault_key(folder: &Path) -> PathBuf {
    folder.join("vault-key")
}

/// `HOST:PORT` of a URL.
fn host(url: &Url) -> Result<String> {
    let port = url.port_or_known_default().unwrap_or(5432);
    Ok(format!("{}:{port}", url.host_str().context("a URL without a host")?))
}

fn registry(given: &Given, folder: &Path, files: &Path) -> Result<Part> {
    let address = parts::free()?;
    let config = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
        files.display()
    );
    let path = folder.join("registry.yml");
    std::fs::write(&path, config)?;
    parts::start(&Recipe {
        name: "registry".to_owned(),
        program: given.programs.join("registry"),
        arguments: vec!["serve".to_owned(), path.display().to_string()],
        variables: vec![],
        folder: folder.to_owned(),
        address,
    })
}

/// In a process namespace of its own, as in a pod: with it all that it started ends.
fn daemon(given: &Given, folder: &Path, name: &str, state: &Path, registry: &str) -> Result<Recipe> {
    let address = parts::free()?;
    let config = format!(
        "root = \"{}\"\n[grpc]\n  address = [\"tcp://{address}\"]\n[worker.oci]\n  enabled = true\n  snapshotter = \"overlayfs\"\n  networkMode = \"host\"\n[worker.containerd]\n  enabled = false\n[registry.\"{registry}\"]\n  http = true\n[registry.\"docker.io\"]\n  mirrors = [\"{registry}\"]\n[otel]\n  socketPath = \"{}/{name}-otel.sock\"\n[cdi]\n  disabled = true\n",
        state.display(),
        folder.display(),
    );
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, config)?;
    let words = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "/bin/sh"];
    let mut arguments = words.map(str::to_owned).to_vec();
    arguments.push(given.start_script.display().to_string());
    arguments.extend(["--config".to_owned(), path.display().to_string()]);
    let search =
        format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", given.programs.display());
    Ok(Recipe {
        name: name.to_owned(),
        program: "/usr/bin/unshare".into(),
        arguments,
        variables: vec![
            ("PATH".to_owned(), search),
            ("BUILDKIT_STATE".to_owned(), state.display().to_string()),
        ],
        folder: folder.to_owned(),
        address,
    })
}

fn web(given: &Given, folder: &Path, database: &Database) -> Result<Part> {
    let (address, admin) = (parts::free()?, parts::free()?);
    let variables = [
        ("SLIPWAY_DATABASE_URL", database.url.clone()),
        ("SLIPWAY_WEB_ADDR", address.to_string()),
        ("SLIPWAY_ADMIN_ADDR", admin.to_string()),
        ("SLIPWAY_VAULT_KEY", vault_key(folder).display().to_string()),
    ];
    parts::start(&Recipe {
        name: "web".to_owned(),
        program: given.slipwayd.clone(),
        arguments: vec!["web".to_owned()],
        variables: variables.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        folder: folder.to_owned(),
        address,
    })
}

#[expect(clippy::too_many_arguments, reason = "a builder is given all there is")]
fn builder(
    given: &Given,
    folder: &Path,
    number: usize,
    database: &Database,
    to_database: &Valve,
    to_daemon: &Valve,
    to_source: &Valve,
    proxy: &Proxy,
) -> Result<Recipe> {
    let mut url = Url::parse(&database.url)?;
    url.set_ip_host(to_database.address.ip())
        .map_err(|()| anyhow::anyhow!("the database's URL has no host"))?;
    url.set_port(Some(to_database.address.port()))
        .map_err(|()| anyhow::anyhow!("the database's URL has no port"))?;
    let admin = parts::free()?;
    let variables = [
        ("SLIPWAY_DATABASE_URL", url.to_string()),
        ("SLIPWAY_BUILDKIT", format!("tcp://{}", to_daemon.address)),
        ("SLIPWAY_REGISTRY", format!("{}/apps", proxy.address)),
        ("SLIPWAY_REGISTRY_INSECURE", "true".to_owned()),
        // A cell counts what is asked of the registry: an export of the cell before it would be in its way.
        ("SLIPWAY_REGISTRY_CACHE", "none".to_owned()),
        ("SLIPWAY_MIRRORS_DIR", folder.join("mirrors").display().to_string()),
        ("SLIPWAY_GIT_URL", format!("http://{}", to_source.address)),
        ("SLIPWAY_ADMIN_ADDR", admin.to_string()),
        ("SLIPWAY_VAULT_KEY", vault_key(folder).display().to_string()),
    ];
    Ok(Recipe {
        name: format!("builder-{number}"),
        program: given.slipwayd.clone(),
        arguments: vec!["builder".to_owned()],
        variables: variables.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        folder: folder.to_owned(),
        address: admin,
    })
}

/// Another builder takes the place of the one there is, which is given back: of the same pod, with the files of the
/// former one, or of another.
pub fn replace_builder(world: &mut World, same_pod: bool) -> Result<Part> {
    world.builders += 1;
    let mut recipe = world.builder.recipe.clone();
    recipe.name = format!("builder-{}", world.builders);
    recipe.address = parts::free()?;
    for (name, value) in &mut recipe.variables {
        if name == "SLIPWAY_ADMIN_ADDR" {
            *value = recipe.address.to_string();
        } else if name == "SLIPWAY_MIRRORS_DIR" && !same_pod {
            *value = world.folder.join(format!("mirrors-{}", world.builders)).display().to_string();
        }
    }
    Ok(std::mem::replace(&mut world.builder, parts::start(&recipe)?))
}

/// A second daemon, and a builder that knows both.
pub async fn add_daemon(world: &mut World) -> Result<()> {
    let state = world.folder.join("buildkit-2");
    std::fs::create_dir_all(&state)?;
    let recipe =
        daemon(&world.given, &world.folder, "buildkitd-2", &state, &world.proxy.address.to_string())?;
    let second = parts::start(&recipe)?;
    parts::serves(&second).await?;
    world.second = Some(second);
    know_daemons(world, &[world.to_daemon.address, recipe.address]).await
}

async fn know_daemons(world: &mut World, addresses: &[SocketAddr]) -> Result<()> {
    let addresses: Vec<String> = addresses.iter().map(|it| format!("tcp://{it}")).collect();
    for (name, value) in &mut world.builder.recipe.variables {
        if name == "SLIPWAY_BUILDKIT" {
            *value = addresses.join(",");
        }
    }
    parts::kill(&mut world.builder).await?;
    replace_builder(world, true)?;
    parts::serves(&world.builder).await
}

/// Starts it again until it answers, and forgets then that it did not: as the kubelet and the pod's start-up probe do.
pub async fn daemon_answers(world: &mut World) -> Result<()> {
    let recipe = world.daemon.recipe.clone();
    let (buildctl, address) = (world.given.programs.join("buildctl"), format!("tcp://{}", recipe.address));
    let started = std::time::Instant::now();
    loop {
        if parts::has_ended(&mut world.daemon) {
            world.daemon = parts::start(&recipe)?;
        }
        let asked = Command::new(&buildctl).args(["--addr", &address, "debug", "workers"]).output();
        let answers = tokio::time::timeout(Duration::from_secs(5), asked).await;
        if matches!(answers, Ok(Ok(output)) if output.status.success()) {
            std::fs::remove_file(world.disk.at.join("failed-starts")).ok();
            return Ok(());
        }
        anyhow::ensure!(
            started.elapsed() < DAEMON_PATIENCE,
            "BuildKit does not start: see {}",
            parts::log(&recipe).display()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Everything is up, and nothing is in anybody's way.
pub async fn heal(world: &mut World) -> Result<()> {
    http::clear(&world.proxy);
    for valve in [&world.to_daemon, &world.to_database, &world.to_source] {
        valve::set(valve, Flow::Open);
    }
    if parts::has_ended(&mut world.registry) {
        world.registry = parts::start(&world.registry.recipe.clone())?;
    }
    parts::serves(&world.registry).await?;
    daemon_answers(world).await?;
    if let Some(mut second) = world.second.take() {
        parts::kill(&mut second).await?;
        know_daemons(world, &[world.to_daemon.address]).await?;
    }
    if parts::has_ended(&mut world.builder) {
        replace_builder(world, true)?;
    }
    parts::serves(&world.builder).await?;
    for mut former in std::mem::take(&mut world.former) {
        parts::kill(&mut former).await?;
    }
    Ok(())
}

/// Waits until no step of a build runs any more that has `word` in its command.
pub async fn no_step(word: &str) -> Result<()> {
    wait::until("the steps of a build to end", Duration::from_secs(20), || async {
        let left = parts::steps(word);
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await
}
