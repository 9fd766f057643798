//! PostgreSQL of the node: Debian's programs on a data folder of our own, one password for the superuser and one for
//! Slipway's own role.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::node::as_user;
use super::parts::deploy_file;
use super::{IP, RUN, values};
use crate::layout::Layout;
use crate::{command, secret, template};

pub(crate) const UNIX_USER: &str = "postgres";
pub(crate) const CONFIG: &str =
    concat!(deploy_file!("node/postgresql.conf"), deploy_file!("node/pg_hba.conf"));

/// URL of the superuser, for tests that make databases of their own.
pub(crate) fn superuser_url(layout: &Layout) -> anyhow::Result<String> {
    let password = secret::read_or_make(&layout.secret("postgres-password"))?;
    Ok(format!("postgres://postgres:{password}@{IP}:5432/postgres"))
}

/// URL of Slipway's own role and database.
pub(crate) fn slipway_url(layout: &Layout) -> anyhow::Result<String> {
    let password = secret::read_or_make(&layout.secret("slipway-password"))?;
    Ok(format!("postgres://slipway:{password}@{IP}:5432/slipway"))
}

/// Makes the data folder aside, and renames it when it is whole.
pub(crate) fn prepare(layout: &Layout) -> anyhow::Result<()> {
    let sockets = Path::new(RUN).join("postgres");
    fs::create_dir_all(&sockets)?;
    own(&sockets)?;
    fs::set_permissions(&sockets, fs::Permissions::from_mode(0o700))?;
    let place = layout.data.join("postgres");
    if !place.is_dir() {
        let work = layout.data.join("postgres.new");
        fs::remove_dir_all(&work).ok();
        fs::create_dir(&work)?;
        own(&work)?;
        let initdb = program("initdb");
        command::run(
            as_user(UNIX_USER)
                .arg(&initdb)
                .args(["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--pgdata"])
                .arg(&work)
                .current_dir("/"),
            &layout.log("initdb"),
        )?;
        fs::rename(&work, &place)?;
    }
    let values = values(layout);
    fs::write(
        place.join("postgresql.conf"),
        template::render(deploy_file!("node/postgresql.conf"), &values)?,
    )?;
    fs::write(place.join("pg_hba.conf"), template::render(deploy_file!("node/pg_hba.conf"), &values)?)
        .context("cannot write PostgreSQL's configuration")
}

/// Sets the passwords and makes Slipway's role and database.
pub(crate) fn set_up(layout: &Layout) -> anyhow::Result<()> {
    let superuser = secret::read_or_make(&layout.secret("postgres-password"))?;
    let slipway = secret::read_or_make(&layout.secret("slipway-password"))?;
    let roles = format!(
        "alter role postgres password '{superuser}';\n\
         select 'create role slipway login' where not exists (select from pg_roles where rolname = 'slipway') \\gexec\n\
         alter role slipway password '{slipway}';\n\
         select 'create database slipway owner slipway'\n\
         where not exists (select from pg_database where datname = 'slipway') \\gexec\n"
    );
    psql("postgres", &roles).map(drop)
}

/// Runs SQL as the superuser, through the socket.
fn psql(database: &str, sql: &str) -> anyhow::Result<String> {
    let socket = format!("--host={RUN}/postgres");
    let mut psql = Command::new("psql");
    psql.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    psql.args(["--username=postgres", &socket, database]);
    command::output_with_input(&mut psql, sql)
}

/// One of Debian's server programs, of the newest version that is installed.
pub(crate) fn program(name: &str) -> PathBuf {
    Path::new(ROOT).join(major().to_string()).join("bin").join(name)
}

/// `15.18`, or only what is known when the program cannot be asked.
pub(crate) fn version() -> String {
    let told = command::output(Command::new(program("postgres")).arg("--version")).unwrap_or_default();
    told.split_whitespace().nth(2).map_or_else(|| major().to_string(), str::to_owned)
}

const ROOT: &str = "/usr/lib/postgresql";

fn major() -> u32 {
    let folders = fs::read_dir(ROOT).into_iter().flatten().flatten();
    folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()).max().unwrap_or_default()
}

fn own(path: &Path) -> anyhow::Result<()> {
    command::output(Command::new("chown").arg(format!("{UNIX_USER}:{UNIX_USER}")).arg(path))
        .map(drop)
        .with_context(|| format!("cannot give {} to {UNIX_USER}", path.display()))
}
