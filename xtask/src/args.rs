//! The command line of `cargo xtask`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Runs, tests and takes down a whole Slipway on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Args {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Where things are kept.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// Data of the running platform: databases, images, certificates, logs, pids
    #[arg(long, env = "SLIPWAY_DATA", default_value = "/var/lib/slipway-local", global = true)]
    pub data: PathBuf,
    /// What was compiled, kept by version [default: ~/.cache/slipway]
    #[arg(long, env = "SLIPWAY_CACHE", global = true)]
    pub cache: Option<PathBuf>,
    #[arg(long, env = "XDG_CACHE_HOME", hide = true, global = true)]
    pub xdg_cache_home: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring up the platform and Slipway on it, push the demo application, print the URLs
    ///
    /// Compiles Kubernetes, containerd, BuildKit, a registry and cluster DNS once per version (about 20 minutes
    /// on two cores), starts them on a bridge of their own, and runs Slipway inside. What is in place is left
    /// alone, so running it again is quick and carries on after an interruption.
    Up(UpArgs),
    /// Stop the platform: no process, mount, network device or firewall rule is left
    Down {
        /// Delete the data too; what was compiled stays in the cache
        #[arg(long)]
        wipe: bool,
    },
    /// Say what runs, where, which version, and where its log is
    Status {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Bring everything up if needed, Gitea and a second git included, then run the tests against it
    Test {
        /// Run only tests whose name contains one of these
        filters: Vec<String>,
    },
    /// Build and push Slipway's own image and print its reference
    Image,
    /// Measure, as a ratio to a baseline in the same run
    #[command(subcommand)]
    Bench(Bench),
    /// Break things again and again, and see that nothing is lost
    #[command(subcommand)]
    Soak(Soak),
    /// Fail each part that a build needs at each moment of a build, and see what becomes of the build
    Faults(Faults),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// From `git push` to the new version being served: Slipway beside a hook with buildctl and kubectl
    Push {
        /// Rounds of each way
        #[arg(long, default_value_t = 15)]
        rounds: u32,
        /// Write the results to this file as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// From the claim of a build to its confirmed image: Slipway beside buildctl
    Build {
        /// Rounds of each case
        #[arg(long, default_value_t = 15)]
        rounds: u32,
        /// Only these of small, repush and large
        #[arg(long, value_delimiter = ',')]
        cases: Vec<String>,
        /// Write the results to this file as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Claims and enqueues of the queue beside a plain table with SKIP LOCKED, empty and with 50,000 builds waiting
    Queue {
        /// Rounds of each kind
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Write the results to this file as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Eight builds that log at once, one of them a gigabyte: speed, what is stored, and the memory that takes
    Log {
        /// Write the results to this file as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// What a push to Slipway's own git remote costs beside one to a bare repository
    Git {
        /// Rounds of each way
        #[arg(long, default_value_t = 30)]
        rounds: u32,
        /// Write the results to this file as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Soak {
    /// Push to Slipway's own git remote while what takes the pushes is killed
    Push {
        /// Stop after so many kills
        #[arg(long, default_value_t = 300)]
        kills: u32,
        /// Repeat the run of this seed
        #[arg(long)]
        seed: Option<u64>,
        /// Write the results to this file as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Faults {
    /// Only cells whose name contains this, such as `BuildKit: killed`
    #[arg(long, value_name = "PART")]
    pub only: Option<String>,
    /// Write the results to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the results to this file as a table
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
}

/// A forge to run beside the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Forge {
    Gitea,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// Start the platform without Slipway
    #[arg(long, conflicts_with = "context")]
    pub platform_only: bool,
    /// Compile and start a forge too, for applications that are built from one
    #[arg(long, value_name = "NAME", conflicts_with = "context")]
    pub forge: Option<Forge>,
    /// Use the cluster of this kubeconfig context instead of a platform on this machine
    #[arg(long, value_name = "NAME", requires = "image")]
    pub context: Option<String>,
    /// Slipway's image, in a registry that the cluster of --context can pull from
    #[arg(long, value_name = "REF", requires = "context")]
    pub image: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn another_cluster_needs_an_image() {
        let refused = Args::try_parse_from(["xtask", "up", "--context", "staging"]).unwrap_err();
        assert!(refused.to_string().contains("--image <REF>"), "{refused}");
        assert!(
            Args::try_parse_from(["xtask", "up", "--context", "staging", "--image", "r/slipwayd:1"]).is_ok()
        );
    }

    #[test]
    fn a_forge_is_asked_for_by_name() {
        let forge = |words: &[&str]| {
            let Command::Up(up) = Args::try_parse_from(words).unwrap().command else { panic!("{words:?}") };
            up.forge
        };
        assert_eq!(forge(&["xtask", "up"]), None);
        assert_eq!(forge(&["xtask", "up", "--forge", "gitea"]), Some(Forge::Gitea));
        assert!(Args::try_parse_from(["xtask", "up", "--forge", "github"]).is_err());
    }
}
