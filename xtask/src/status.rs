//! `cargo xtask status`: each part of the platform and of Slipway, whether it runs, where, its version and its log.

use std::process::Command;

use serde::Serialize;
use serde_json::Value;

use crate::command;
use crate::deploy::NAMESPACES;
use crate::layout::Layout;
use crate::platform::{forge, node, process, services};
use crate::progress::say;

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    running: bool,
    pid: Option<u32>,
    version: String,
    address: String,
    /// A file, or for a pod the command that shows its log.
    log: String,
}

pub(crate) fn run(layout: &Layout, json: bool) -> anyhow::Result<()> {
    let mut rows = processes(layout)?;
    rows.extend(workloads(layout));
    if json {
        say(&serde_json::to_string_pretty(&rows)?);
    } else {
        say(table(&rows).trim_end());
    }
    Ok(())
}

fn processes(layout: &Layout) -> anyhow::Result<Vec<Row>> {
    let row = |service: services::Service| {
        let pid = process::running(layout, service.name);
        Row {
            name: service.name.to_owned(),
            running: pid.is_some(),
            pid,
            version: service.version,
            address: service.address.to_owned(),
            log: layout.log(service.name).display().to_string(),
        }
    };
    let mut services = services::all(layout)?;
    // A forge that nobody asked for is not missing.
    services.retain(|service| service.forge.is_none() || forge::is_known(layout));
    Ok(services.into_iter().map(row).collect())
}

/// Slipway's own parts, as the cluster knows them. There are none while the API server does not run.
fn workloads(layout: &Layout) -> Vec<Row> {
    if process::running(layout, "kube-apiserver").is_none() {
        return Vec::new();
    }
    let list = |namespace: &&str| {
        let args = ["--namespace", namespace, "get", "deployments,statefulsets", "--output", "json"];
        let text = command::output(node::kubectl(layout).args(args)).unwrap_or_default();
        let mut list: Value = serde_json::from_str(&text).unwrap_or_default();
        list["items"].as_array_mut().map(std::mem::take).unwrap_or_default()
    };
    let kubectl = shown(&node::kubectl(layout));
    NAMESPACES.iter().flat_map(list).map(|workload| workload_row(&workload, &kubectl)).collect()
}

fn workload_row(workload: &Value, kubectl: &str) -> Row {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&workload["metadata"]["namespace"]), text(&workload["metadata"]["name"]));
    let kind = text(&workload["kind"]).to_lowercase();
    let image = text(&workload["spec"]["template"]["spec"]["containers"][0]["image"]);
    let ready = workload["status"]["readyReplicas"].as_u64().unwrap_or(0);
    Row {
        running: ready > 0 && ready >= workload["spec"]["replicas"].as_u64().unwrap_or(1),
        pid: None,
        // The digest says which build it is; the first digits do for a person.
        version: image
            .rsplit_once("sha256:")
            .map_or(image.clone(), |(_, digest)| digest.chars().take(12).collect()),
        address: format!("pods of {kind} {name}"),
        log: format!("{kubectl} --namespace {namespace} logs {kind}/{name}"),
        name: format!("{namespace}/{name}"),
    }
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy()));
    words.join(" ")
}

fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let state = match (row.running, row.pid) {
            (true, Some(pid)) => format!("running ({pid})"),
            (true, None) => "running".to_owned(),
            (false, _) => "not running".to_owned(),
        };
        [row.name.clone(), state, row.version.clone(), row.address.clone(), row.log.clone()]
    };
    let mut lines = vec![["part", "state", "version", "address", "log"].map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3), 0];
    let padded = |line: &[String; 5]| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(padded).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workload_runs_when_all_of_its_pods_are_ready() {
        let mut workload = json!({
            "kind": "Deployment",
            "metadata": {"name": "slipway-web", "namespace": "slipway"},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": "r/x@sha256:0123456789abcdef"}]}}},
            "status": {"readyReplicas": 1},
        });
        let row = workload_row(&workload, "kubectl");
        assert!(!row.running);
        assert_eq!(row.version, "0123456789ab");
        assert_eq!(row.log, "kubectl --namespace slipway logs deployment/slipway-web");
        workload["status"]["readyReplicas"] = json!(2);
        assert!(workload_row(&workload, "kubectl").running);
    }

    #[test]
    fn columns_line_up() {
        let row = |name: &str, pid| Row {
            name: name.to_owned(),
            running: true,
            pid,
            version: "1".to_owned(),
            address: "a".to_owned(),
            log: "l".to_owned(),
        };
        let text = table(&[row("etcd", Some(7)), row("registry", None)]);
        let columns: Vec<usize> = text.lines().skip(1).map(|line| line.find("running").unwrap()).collect();
        assert_eq!(columns, [10, 10]);
    }
}
