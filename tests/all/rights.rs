//! Each role's service account can do what it needs and no more: asked of the API server itself.

use anyhow::Result;
use harness::platform::{self, Platform};

async fn can_i(platform: &Platform, account: &str, question: &[&str]) -> Result<bool> {
    let as_account = format!("--as=system:serviceaccount:slipway:{account}");
    let mut arguments = vec!["auth", "can-i", as_account.as_str()];
    arguments.extend(question);
    match platform.kubectl(&arguments).await {
        Ok(said) => Ok(said.trim() == "yes"),
        // That is a failure of the command too, as a cluster that does not answer is.
        Err(error) if error.to_string().split_whitespace().next_back() == Some("no") => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the cluster refuses it for want of rights, and for nothing else.
async fn is_refused(platform: &Platform, arguments: &[&str]) -> Result<bool> {
    match platform.kubectl(arguments).await {
        Ok(_) => Ok(false),
        Err(error) if ["forbidden", "denied"].iter().any(|it| error.to_string().contains(it)) => Ok(true),
        Err(error) => Err(error),
    }
}

const ACCOUNTS: [&str; 5] =
    ["slipway-receiver", "slipway-builder", "slipway-deployer", "slipway-router", "slipway-web"];

#[tokio::test]
async fn nobody_reads_secrets_outside_its_namespaces_or_escalates() -> Result<()> {
    let platform = Platform::from_env()?;
    for account in ACCOUNTS {
        for question in [
            &["get", "secrets", "--all-namespaces"][..],
            &["list", "secrets", "--all-namespaces"],
            &["get", "secrets", "--namespace=kube-system"],
            &["get", "secrets", "--namespace=slipway"],
            &["escalate", "clusterroles.rbac.authorization.k8s.io"],
            &["escalate", "roles.rbac.authorization.k8s.io", "--namespace=kube-system"],
            &["bind", "clusterroles.rbac.authorization.k8s.io/cluster-admin"],
            &["impersonate", "users"],
            &["create", "pods", "--namespace=kube-system"],
            &["create", "pods/exec", "--all-namespaces"],
        ] {
            assert!(!can_i(&platform, account, question).await?, "{account} can {question:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn roles_can_do_their_work() -> Result<()> {
    let platform = Platform::from_env()?;
    assert!(can_i(&platform, "slipway-router", &["watch", "pods", "--all-namespaces"]).await?);
    assert!(!can_i(&platform, "slipway-router", &["delete", "pods", "--all-namespaces"]).await?);
    assert!(can_i(&platform, "slipway-deployer", &["create", "namespaces"]).await?);
    for account in ["slipway-receiver", "slipway-builder", "slipway-web"] {
        assert!(!can_i(&platform, account, &["list", "pods", "--all-namespaces"]).await?, "{account}");
    }
    Ok(())
}

const ENVIRONMENT: &str = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "env-rights-test", "labels": {
    "app.kubernetes.io/managed-by": "slipway", "pod-security.kubernetes.io/enforce": "restricted"}}}"#;

/// The deployer may create namespaces and bind its role, but only where environments live.
#[tokio::test]
async fn the_deployer_is_fenced_to_environments() -> Result<()> {
    let platform = Platform::from_env()?;
    let as_deployer = "--as=system:serviceaccount:slipway:slipway-deployer";
    let create = ["create", "namespace", "not-an-environment", as_deployer, "--dry-run=server"];
    assert!(is_refused(&platform, &create).await?, "created a namespace that is no environment");
    let bind = [
        "create",
        "rolebinding",
        "slipway-deployer",
        "--namespace=kube-system",
        "--clusterrole=slipway-env-deployer",
        "--serviceaccount=slipway:slipway-deployer",
        as_deployer,
        "--dry-run=server",
    ];
    assert!(is_refused(&platform, &bind).await?, "bound itself into kube-system");
    let namespace = tempfile::NamedTempFile::new()?;
    std::fs::write(&namespace, ENVIRONMENT)?;
    let file = namespace.path().to_string_lossy();
    platform.kubectl(&["create", "--filename", &file, as_deployer, "--dry-run=server"]).await?;
    Ok(())
}

/// It removes environments, and no other namespace: neither one of the platform nor one that only has such a name.
#[tokio::test]
async fn the_deployer_deletes_namespaces_of_environments_only() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let as_deployer = "--as=system:serviceaccount:slipway:slipway-deployer";
    let delete =
        |name: &'static str| ["delete", "namespace", name, as_deployer, "--dry-run=server", "--wait=false"];
    // Made for this test: no environment has that application's name.
    let (labelled, bare) = ("env-rights-labelled", "env-rights-bare");
    for name in [labelled, bare] {
        platform.kubectl(&["delete", "namespace", name, "--ignore-not-found"]).await?;
        platform.kubectl(&["create", "namespace", name]).await?;
    }
    platform.kubectl(&["label", "namespace", labelled, "app.kubernetes.io/managed-by=slipway"]).await?;
    let mut refused = Vec::new();
    for name in ["kube-system", "slipway", bare] {
        refused.push((name, is_refused(&platform, &delete(name)).await));
    }
    let allowed = platform.kubectl(&delete(labelled)).await;
    for name in [labelled, bare] {
        platform.kubectl(&["delete", "namespace", name, "--wait=false"]).await?;
    }
    allowed?;
    for (name, refused) in refused {
        assert!(refused?, "{name} can be deleted");
    }
    Ok(())
}
