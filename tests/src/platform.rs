//! The running platform: Slipway's API, its router on loopback, and kubectl.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

/// Where the platform is and how to log in. `cargo xtask test` sets the variables this is read from.
#[derive(Debug, Clone)]
pub struct Platform {
    pub http: Client,
    /// `http://slipway.localhost:8080`
    pub url: String,
    pub admin_token: String,
    /// Gitea as this machine reaches it.
    pub forge_url: String,
    /// Gitea as the cluster reaches it.
    pub forge_cluster_url: String,
    pub forge_user: String,
    pub forge_token: String,
    pub kubeconfig: String,
    pub kubectl: String,
    pub ctr: String,
    pub cli: String,
    /// PostgreSQL's superuser.
    pub database_url: String,
    /// A git of a newer version than the one on the PATH.
    pub newer_git: String,
}

fn variable(name: &str) -> Result<String> {
    #[expect(clippy::disallowed_methods, reason = "a test binary has no arguments of its own")]
    std::env::var(name)
        .with_context(|| format!("{name} is not set: run the end-to-end tests through `cargo xtask test`"))
}

/// Somebody has the time for tests that take long: `SLIPWAY_LONG_TESTS=1`.
pub fn is_long() -> bool {
    variable("SLIPWAY_LONG_TESTS").is_ok_and(|it| it == "1")
}

impl Platform {
    pub fn from_env() -> Result<Platform> {
        // The second test of a process finds the provider installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Platform {
            http: Client::builder().timeout(Duration::from_secs(60)).build()?,
            url: variable("SLIPWAY_URL")?,
            admin_token: variable("SLIPWAY_ADMIN_TOKEN")?,
            forge_url: variable("SLIPWAY_FORGE_URL")?,
            forge_cluster_url: variable("SLIPWAY_FORGE_CLUSTER_URL")?,
            forge_user: variable("SLIPWAY_FORGE_USER")?,
            forge_token: variable("SLIPWAY_FORGE_TOKEN")?,
            kubeconfig: variable("KUBECONFIG")?,
            kubectl: variable("SLIPWAY_KUBECTL")?,
            ctr: variable("SLIPWAY_CTR")?,
            cli: variable("SLIPWAY_CLI")?,
            database_url: variable("DATABASE_URL")?,
            newer_git: variable("SLIPWAY_NEWER_GIT")?,
        })
    }

    /// `slipway.localhost:8080`
    pub fn base_domain(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest)
    }

    /// The router's port on loopback; names under `localhost` are not left to the resolver.
    pub fn loopback(&self) -> String {
        let port = self.base_domain().rsplit_once(':').map_or("80", |(_, port)| port);
        format!("127.0.0.1:{port}")
    }

    /// A request to any host that the router serves.
    pub fn request(&self, method: Method, host: &str, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.loopback())).header("host", host)
    }

    /// A request to Slipway's own API as the administrator.
    pub fn api(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, self.base_domain(), &format!("/api/v1{path}")).bearer_auth(&self.admin_token)
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        json(self.api(Method::GET, path).send().await?).await
    }

    /// Runs `slipway` as the administrator: whether it succeeded, and all that it said.
    pub async fn slipway(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let output = tokio::process::Command::new(&self.cli)
            .args(arguments)
            .env("SLIPWAY_URL", &self.url)
            .env("SLIPWAY_TOKEN", &self.admin_token)
            .output()
            .await?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Runs kubectl as the cluster's administrator and answers what it printed.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let output = tokio::process::Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .output()
            .await
            .with_context(|| format!("running {}", self.kubectl))?;
        ensure!(
            output.status.success(),
            "kubectl {}: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The body of a successful answer.
pub async fn json(response: Response) -> Result<Value> {
    let (status, url) = (response.status(), response.url().clone());
    let text = response.text().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("{url} answered no JSON: {text}"))
}

/// Tests that kill parts of the platform run alone; all others run beside each other.
/// A file lock, because a test runner may give each test a process of its own.
pub fn share() -> Result<File> {
    let file = lock_file()?;
    file.lock_shared()?;
    Ok(file)
}

pub fn alone() -> Result<File> {
    let file = lock_file()?;
    file.lock()?;
    Ok(file)
}

fn lock_file() -> Result<File> {
    let path = std::env::temp_dir().join("slipway-e2e.lock");
    File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))
}
