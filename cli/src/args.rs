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
    /// List an application's environments, remove one
    #[command(subcommand)]
    Envs(Envs),
    /// List, show and cancel builds
    #[command(subcommand)]
    Builds(Builds),
    /// Print a build's log
    Logs(Logs),
    /// Set, list and unset the secrets that builds may mount
    #[command(subcommand)]
    Secrets(Secrets),
    /// Set, list and unset the Dockerfile's build arguments
    #[command(subcommand)]
    Args(Arguments),
    /// List and set the teams that share the builders
    #[command(subcommand)]
    Teams(Teams),
    /// Create, list and revoke tokens
    #[command(subcommand)]
    Tokens(Tokens),
    /// Show what is kept, what is garbage and what was removed
    Garbage,
    /// Let git push an application from a repository
    #[command(subcommand)]
    Git(Git),
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
    /// Create an application: pushed to Slipway itself, or from a repository on a forge
    Create(Box<CreateApp>),
    /// List the applications
    List,
    /// Show an application and its environments
    Show { app: String },
    /// Set an application's share of the builders, which commits of a branch are built, and what of it is built how
    Set(SetApp),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Policy {
    /// The newest: what waits gives way to it, and what runs is stopped
    Newest,
    /// All, one after the other
    Every,
    /// The newest, once what runs has ended by itself
    FinishRunning,
}

impl Policy {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Policy::Newest => "newest",
            Policy::Every => "every",
            Policy::FinishRunning => "finish-running",
        }
    }
}

/// What is left out stays as it is.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true, args = ["team", "weight", "builds", "policy", "dockerfile", "context", "target", "port"])]
pub(crate) struct SetApp {
    pub(crate) app: String,
    /// The team whose turn its builds take
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// How many turns it gets for one turn of an application of weight 1 of its team
    #[arg(long)]
    pub(crate) weight: Option<u16>,
    /// How many of its builds run at a time, each of another branch
    #[arg(long)]
    pub(crate) builds: Option<u16>,
    /// The branch that --policy is for
    #[arg(long, requires = "policy")]
    pub(crate) branch: Option<String>,
    /// Which of the branch's commits are built
    #[arg(long, value_enum, requires = "branch")]
    pub(crate) policy: Option<Policy>,
    /// The Dockerfile's path in the repository, for builds that begin from now on; "": `Dockerfile`
    #[arg(long)]
    pub(crate) dockerfile: Option<String>,
    /// The folder whose files the Dockerfile may copy; "": all of the repository
    #[arg(long, value_name = "FOLDER")]
    pub(crate) context: Option<String>,
    /// The stage of the Dockerfile that is wanted; "": the last
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// The port the application listens on; 0: the one the image exposes, or else 8080
    #[arg(long)]
    pub(crate) port: Option<u16>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Teams {
    /// List the teams, with what waits and runs of each
    List,
    /// Make or change a team; what is left out stays as it is
    Set {
        team: String,
        /// How many turns it gets for one turn of a team of weight 1
        #[arg(long)]
        weight: Option<u16>,
        /// How many of its builds run at a time; 0: as many as there are builders
        #[arg(long)]
        builds: Option<u16>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateApp {
    pub(crate) name: String,
    /// The http or https URL of a repository on a forge, as the cluster reaches it; pushed to Slipway when left out
    #[arg(long)]
    pub(crate) repo: Option<String>,
    /// The forge it is on; gitea when left out
    #[arg(long, value_enum, requires = "repo")]
    pub(crate) forge: Option<Forge>,
    /// The branch that runs as environment `main`
    #[arg(long, default_value = "main")]
    pub(crate) branch: String,
    /// User at the forge, for a private repository
    #[arg(long, requires = "repo")]
    pub(crate) forge_user: Option<String>,
    /// Read the forge's token from this file
    #[arg(long, requires = "repo", conflicts_with = "forge_token_stdin")]
    pub(crate) forge_token_file: Option<PathBuf>,
    /// Read the forge's token from standard input
    #[arg(long, requires = "repo")]
    pub(crate) forge_token_stdin: bool,
    /// The forge's API, when it is not where the repository is
    #[arg(long, requires = "repo")]
    pub(crate) api_url: Option<String>,
    /// Its path in the repository
    #[arg(long, default_value = "Dockerfile")]
    pub(crate) dockerfile: String,
    /// The folder whose files the Dockerfile may copy [default: all of the repository]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) context: Option<String>,
    /// The stage of the Dockerfile that is wanted [default: the last]
    #[arg(long, value_name = "STAGE")]
    pub(crate) target: Option<String>,
    /// The port the application listens on; it is told as $PORT [default: the one the image exposes, or else 8080]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Answered with a status below 500 once the application is up
    #[arg(long, default_value = "/")]
    pub(crate) health_path: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Envs {
    /// List the environments, and how long each stays
    List { app: String },
    /// Remove an environment: its pods, its address, its releases. The next push makes it anew
    Remove {
        app: String,
        /// Its name, such as `main`
        env: String,
    },
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
        /// Print how its image was made instead: the SLSA provenance, as JSON
        #[arg(long)]
        provenance: bool,
        /// Print what is in its image instead: the packages with their versions, as SPDX JSON
        #[arg(long, conflicts_with = "provenance")]
        sbom: bool,
    },
    /// Stop a build that waits or runs
    Cancel { app: String, number: u32 },
    /// Build a build's commit again, with the secrets and settings of now
    Rebuild {
        app: String,
        number: u32,
        /// Every step anew, and no image of an earlier build
        #[arg(long)]
        no_cache: bool,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Set a secret: a step reads it with `RUN --mount=type=secret,id=NAME`. It cannot be read back
    Set(SetSecret),
    /// List the names of the secrets, who set each and when
    List { app: String },
    /// Unset a secret
    Unset {
        app: String,
        name: String,
        /// The one of this environment; the one for all when left out
        #[arg(long)]
        env: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetSecret {
    pub(crate) app: String,
    /// Its id in the Dockerfile
    pub(crate) name: String,
    /// For this environment only; for every one that has none of its own when left out
    #[arg(long)]
    pub(crate) env: Option<String>,
    /// Read the value from this file as it is; asked for, or read from standard input without its last line feed, when
    /// left out
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Arguments {
    /// Set a build argument: an `ARG` of the Dockerfile. Whoever has the image can read it
    Set {
        app: String,
        name: String,
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// For this environment only; for every one that has none of its own when left out
        #[arg(long)]
        env: Option<String>,
    },
    /// List the build arguments
    List { app: String },
    /// Unset a build argument
    Unset {
        app: String,
        name: String,
        /// The one of this environment; the one for all when left out
        #[arg(long)]
        env: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Scope {
    /// Look at everything
    Read,
    /// Also push and, for all applications, create them
    Push,
    /// Also create and revoke tokens
    Admin,
}

impl Scope {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Push => "push",
            Scope::Admin => "admin",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Create a token; it is shown only once
    Create(CreateToken),
    /// List the tokens, with their last use
    List,
    /// Revoke a token; logins with it end
    Revoke {
        /// Its name or its id
        // Not called `token`: that is the one which revokes it.
        #[arg(value_name = "NAME|ID")]
        revoked: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateToken {
    /// Whose or what for it is; pushes made with it carry this name
    pub(crate) name: String,
    /// What it may do
    #[arg(long, value_enum)]
    pub(crate) scope: Scope,
    /// The one application that it is for; all when left out
    #[arg(long)]
    pub(crate) app: Option<String>,
    /// How long it lasts, such as 12h or 90d; for ever when left out
    #[arg(long)]
    pub(crate) expires: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Git {
    /// Add or mend this repository's remote, and let git use the login of `slipway login` for it
    Setup(SetUp),
    /// Answer git as its credential helper; `slipway git setup` makes git run this
    Credential {
        /// `get`, `store` or `erase`; git says more on standard input
        operation: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetUp {
    /// The application; nothing is created by this, the first push may do that
    pub(crate) app: String,
    /// The name of the remote
    #[arg(long, default_value = "slipway")]
    pub(crate) remote: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        super::Args::command().debug_assert();
    }
}
