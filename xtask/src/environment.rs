//! What the tests and the benches are told about the running platform, as environment variables.

use anyhow::Context as _;

use crate::layout::Layout;
use crate::platform::{FORGE_URL, REGISTRY, WEB_URL, forge, postgres};
use crate::{newer_git, secret};

/// Exactly these names are read by the harness in `tests/` and by `#[sqlx::test]`:
/// - `DATABASE_URL`: PostgreSQL's superuser, for tests to make databases of their own
/// - `KUBECONFIG`: the cluster's administrator
/// - `SLIPWAY_URL`, `SLIPWAY_ADMIN_TOKEN`: pages and API, and the administrator's token
/// - `SLIPWAY_FORGE_*`: Gitea as this machine and as the cluster reaches it, and its administrator
/// - `SLIPWAY_KUBECTL`, `SLIPWAY_CTR`, `SLIPWAY_BUILDCTL`, `SLIPWAY_CLI`: programs to run
/// - `SLIPWAY_NEWER_GIT`: a git of a newer version than the one on the PATH; only `cargo xtask test` puts it there
/// - `SLIPWAY_REGISTRY_ADDRESS`: where images are pushed to
pub(crate) fn variables(layout: &Layout) -> anyhow::Result<Vec<(&'static str, String)>> {
    let token = secret::read(&layout.admin_token())?.context("there is no administrator's token")?;
    let program = |name: &str| layout.bin(name).display().to_string();
    Ok(vec![
        ("DATABASE_URL", postgres::superuser_url(layout)?),
        ("KUBECONFIG", layout.kubeconfig().display().to_string()),
        ("SLIPWAY_URL", WEB_URL.to_owned()),
        ("SLIPWAY_ADMIN_TOKEN", token),
        ("SLIPWAY_FORGE_URL", FORGE_URL.to_owned()),
        ("SLIPWAY_FORGE_CLUSTER_URL", forge::url()),
        ("SLIPWAY_FORGE_USER", forge::USER.to_owned()),
        ("SLIPWAY_FORGE_TOKEN", forge::token(layout)?),
        ("SLIPWAY_KUBECTL", program("kubectl")),
        ("SLIPWAY_CTR", program("ctr")),
        ("SLIPWAY_BUILDCTL", program("buildctl")),
        ("SLIPWAY_CLI", layout.target().join("release/slipway").display().to_string()),
        ("SLIPWAY_NEWER_GIT", newer_git::program(layout).display().to_string()),
        ("SLIPWAY_REGISTRY_ADDRESS", REGISTRY.to_owned()),
    ])
}
