//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Push a commit; it runs at its own URL.
#[derive(Debug, Parser)]
#[command(name = "slipway", version)]
pub(crate) struct Args {
    /// Slipway's URL; the one of the last login when left out
    #[arg(long, env = "SLIPWAY_URL", global = true)]
    pub(crate) url: Option<String>,
    /// The token; the one of the last login when left out
    #[arg(long, env = "SLIPWAY_TOKEN", hide_env_values = true, global = true)]
    pub(crate) token: Option<String>,
    /// Where a login is kept; ~/.config/slipway/config.json when left out
    #[arg(long, env = "SLIPWAY_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON, as the API answers it
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Remember where Slipway is and who you are
    Login(Login),
    /// Create, list and show applications
    #[command(subcommand)]
    Apps(Apps),
    /// List and show builds
    #[command(subcommand)]
    Builds(Builds),
    /// Print a build's log
    Logs(Logs),
    /// Print an application's URL, and open it where there is a browser
    Open { app: String },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// Where Slipway is, such as `http://slipway.localhost:8080`
    pub(crate) server: String,
    /// Read the token from this file (`-`: standard input); asked for when neither it nor --token is given
    #[arg(long, conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Forge {
    Gitea,
    Gogs,
    Github,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Apps {
    /// Create an application from a repository
    Create(Box<CreateApp>),
    /// List the applications
    List,
    /// Show an application and its environments
    Show { app: String },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateApp {
    pub(crate) name: String,
    /// The repository's http or https URL, as the cluster reaches it
    #[arg(long)]
    pub(crate) repo: String,
    #[arg(long, value_enum, default_value = "gitea")]
    pub(crate) forge: Forge,
    /// The branch that runs as environment `main`
    #[arg(long, default_value = "main")]
    pub(crate) branch: String,
    /// User at the forge, for a private repository
    #[arg(long)]
    pub(crate) forge_user: Option<String>,
    /// Read the forge's token from this file
    #[arg(long, conflicts_with = "forge_token_stdin")]
    pub(crate) forge_token_file: Option<PathBuf>,
    /// Read the forge's token from standard input
    #[arg(long)]
    pub(crate) forge_token_stdin: bool,
    /// The forge's API, when it is not where the repository is
    #[arg(long)]
    pub(crate) api_url: Option<String>,
    /// Its path in the repository
    #[arg(long, default_value = "Dockerfile")]
    pub(crate) dockerfile: String,
    /// The port the application listens on; it is told as $PORT
    #[arg(long, default_value_t = 8080)]
    pub(crate) port: u16,
    /// Answered with a status below 500 once the application is up
    #[arg(long, default_value = "/")]
    pub(crate) health_path: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Builds {
    /// List an application's builds, newest first
    List {
        app: String,
        #[arg(long, default_value_t = 20)]
        limit: u16,
        /// Only builds with a lower number
        #[arg(long)]
        before: Option<u32>,
    },
    /// Show a build: its steps, its release, the reason when it failed
    Show {
        app: String,
        /// The newest when left out
        number: Option<u32>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    pub(crate) app: String,
    /// The newest build when left out
    pub(crate) number: Option<u32>,
    /// Go on until the build and its release have ended; fails when they did
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        super::Args::command().debug_assert();
    }
}
