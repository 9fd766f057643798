//! Certificates and kubeconfigs of the node, made by openssl at the first start and kept with the data.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{IP, NODE};
use crate::command;
use crate::layout::Layout;

/// A certificate to sign: file name, subject, use, alternative names, authority.
struct Certificate {
    name: &'static str,
    subject: String,
    usage: &'static str,
    names: String,
    authority: &'static str,
}

/// Clients of the API server that get a kubeconfig.
const CLIENTS: &[&str] = &["admin", "kcm", "sched", "proxy", "kubelet"];

/// Makes everything in a folder aside and renames it, so that half a set never exists.
pub(crate) fn prepare(layout: &Layout) -> anyhow::Result<()> {
    let place = layout.pki();
    if place.is_dir() {
        return Ok(());
    }
    let work = place.with_extension("new");
    fs::remove_dir_all(&work).ok();
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    fs::set_permissions(&work, fs::Permissions::from_mode(0o700))?;
    authority(&work, "ca", "slipway-local")?;
    authority(&work, "fp-ca", "slipway-local-front-proxy")?;
    for certificate in certificates() {
        sign(&work, &certificate)?;
    }
    openssl(&work, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "sa.key"])?;
    openssl(&work, &["ec", "-in", "sa.key", "-pubout", "-out", "sa.pub"])?;
    for client in CLIENTS {
        fs::write(work.join(format!("{client}.kubeconfig")), kubeconfig(&work, client)?.to_string())?;
    }
    fs::rename(&work, &place).with_context(|| format!("cannot create {}", place.display()))
}

fn certificates() -> Vec<Certificate> {
    let server_names = format!(
        "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
         DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:10.96.0.1,IP:127.0.0.1,IP:{IP}"
    );
    let client = |name, subject: &str| Certificate {
        name,
        subject: subject.to_owned(),
        usage: "clientAuth",
        names: String::new(),
        authority: "ca",
    };
    let server =
        |name, subject: &str, names| Certificate { usage: "serverAuth", names, ..client(name, subject) };
    let kubelet = format!("/O=system:nodes/CN=system:node:{NODE}");
    vec![
        server("apiserver", "/CN=kube-apiserver", server_names),
        client("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Certificate { authority: "fp-ca", ..client("front-proxy", "/CN=front-proxy-client") },
        client("admin", "/O=system:masters/CN=admin"),
        client("kcm", "/CN=system:kube-controller-manager"),
        client("sched", "/CN=system:kube-scheduler"),
        client("proxy", "/CN=system:kube-proxy"),
        client("kubelet", &kubelet),
        server("kubelet-serving", &kubelet, format!("DNS:{NODE},IP:{IP}")),
    ]
}

const KEY: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
const DAYS: &[&str] = &["-days", "3650"];

fn authority(folder: &Path, name: &str, common_name: &str) -> anyhow::Result<()> {
    let (key, crt, subject) = (format!("{name}.key"), format!("{name}.crt"), format!("/CN={common_name}"));
    let args = [&["req", "-x509"], KEY, DAYS, &["-keyout", &key, "-out", &crt, "-subj", &subject]].concat();
    openssl(folder, &args)
}

fn sign(folder: &Path, certificate: &Certificate) -> anyhow::Result<()> {
    let file = |suffix| format!("{}.{suffix}", certificate.name);
    let (key, csr, crt, extensions) = (file("key"), file("csr"), file("crt"), file("ext"));
    let mut text = format!(
        "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage={}\n",
        certificate.usage
    );
    if !certificate.names.is_empty() {
        text.push_str(&format!("subjectAltName={}\n", certificate.names));
    }
    fs::write(folder.join(&extensions), text)?;
    let request = ["-keyout", &key, "-out", &csr, "-subj", &certificate.subject];
    openssl(folder, &[&["req"], KEY, &request].concat())?;
    let (ca_crt, ca_key) =
        (format!("{}.crt", certificate.authority), format!("{}.key", certificate.authority));
    let signed =
        ["-CA", &ca_crt, "-CAkey", &ca_key, "-CAcreateserial", "-extfile", &extensions, "-out", &crt];
    openssl(folder, &[&["x509", "-req", "-in", &csr], DAYS, &signed].concat())
}

/// A kubeconfig with everything inside, so that the file can be copied. JSON is YAML.
fn kubeconfig(folder: &Path, client: &str) -> anyhow::Result<Value> {
    let data = |name: String| fs::read(folder.join(name)).map(|bytes| STANDARD.encode(bytes));
    let name = "slipway-local";
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": format!("https://{IP}:6443"),
            "certificate-authority-data": data("ca.crt".to_owned())?,
        }}],
        "users": [{"name": client, "user": {
            "client-certificate-data": data(format!("{client}.crt"))?,
            "client-key-data": data(format!("{client}.key"))?,
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": client}}],
        "current-context": name,
    }))
}

fn openssl(folder: &Path, args: &[&str]) -> anyhow::Result<()> {
    command::output(Command::new("openssl").current_dir(folder).args(args)).map(drop)
}
