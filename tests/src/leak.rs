//! Looks for a value everywhere on the platform: in the database, the registry, BuildKit, the cluster, the processes.

pub mod registry;

use std::collections::BTreeSet;
use std::time::Instant;

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::AssertSqlSafe;
use url::Url;

use crate::platform::Platform;

/// A value that nothing else on the platform has, and the forms in which it may be somewhere.
#[derive(Debug)]
pub struct Needles {
    forms: Vec<String>,
    all: AhoCorasick,
}

impl Needles {
    /// As it is, in hexadecimal, and in base64 wherever it stands.
    pub fn of(value: &str) -> Result<Needles> {
        let mut forms = vec![value.to_owned(), hex::encode(value)];
        for (before, first) in [(0, 0), (1, 2), (2, 3)] {
            let bytes = [&vec![0; before], value.as_bytes()].concat();
            // What its neighbours have no part in.
            forms.push(STANDARD.encode(&bytes)[first..bytes.len() * 8 / 6].to_owned());
        }
        Ok(Needles { all: AhoCorasick::new(&forms)?, forms })
    }

    pub fn are_in(&self, bytes: &[u8]) -> bool {
        self.all.is_match(bytes)
    }
}

/// The tables that have it in a row, and how many tables there are. What is binary there is read as hexadecimal.
pub async fn tables(platform: &Platform, needles: &Needles) -> Result<(Vec<String>, usize)> {
    let mut url = Url::parse(&platform.database_url).context("DATABASE_URL is no URL")?;
    url.set_path("slipway");
    let db = store::pool(url.as_str(), 1)?;
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', schemaname, tablename) from pg_tables
         where schemaname not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&db)
    .await?;
    // Binary columns hold encodings of it, too.
    let forms: Vec<String> =
        needles.forms.iter().flat_map(|form| [form.clone(), hex::encode(form)]).collect();
    let mut having = Vec::new();
    for table in &tables {
        let question = format!(
            "select count(*) from {table} t where exists (select from unnest($1::text[]) n where position(n in t::text) > 0)"
        );
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(question)).bind(&forms).fetch_one(&db).await?;
        if rows > 0 {
            having.push(table.clone());
        }
    }
    db.close().await;
    Ok((having, tables.len()))
}

/// What was seen of the node's processes.
#[derive(Debug, Default)]
pub struct Processes {
    /// Those that have it in their arguments or their environment, by the beginning of their command line.
    pub having: BTreeSet<String>,
    /// The command lines of those whose environment could be read.
    pub seen: Vec<String>,
}

/// Looks at every process of the node, those in containers included.
pub fn processes(needles: &Needles) -> Result<Processes> {
    let mut processes = Processes::default();
    for entry in std::fs::read_dir("/proc")? {
        let folder = entry?.path();
        if !folder.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit)) {
            continue;
        }
        // Many end while they are looked at.
        let (Ok(arguments), Ok(environment)) =
            (std::fs::read(folder.join("cmdline")), std::fs::read(folder.join("environ")))
        else {
            continue;
        };
        let line: String = String::from_utf8_lossy(&arguments).replace('\0', " ").chars().take(200).collect();
        if needles.are_in(&arguments) || needles.are_in(&environment) {
            processes.having.insert(line.clone());
        }
        processes.seen.push(line);
    }
    Ok(processes)
}

/// What BuildKit has of it: the files that changed since `since`, and what it tells of its cache and its history.
pub async fn buildkit(platform: &Platform, needles: &Needles, since: Instant) -> Result<Vec<String>> {
    let minutes = since.elapsed().as_secs() / 60 + 2;
    let patterns: Vec<String> = needles.forms.iter().map(|form| format!("-e {form}")).collect();
    // Base images do not change; what is executed is the container's own.
    let script = format!(
        "set -e; cd /var/lib/buildkit; told=$(mktemp)
         buildctl du --verbose > \"$told\"; buildctl debug histories >> \"$told\"
         (find . -type f -cmin -{minutes} -size -256M -print0; printf '%s\\0' \"$told\") |
             xargs -0 grep -laF {} || true
         rm \"$told\"",
        patterns.join(" ")
    );
    let pod = ["-n", "slipway-build", "exec", "buildkitd-0", "--", "sh", "-c", &script];
    let told = platform.kubectl(&pod).await?;
    Ok(told.lines().map(str::to_owned).collect())
}

/// The places in the cluster that have it: objects, and what Slipway's own pods have written.
pub async fn cluster(platform: &Platform, needles: &Needles) -> Result<Vec<String>> {
    let objects = "deployments,statefulsets,replicasets,pods,configmaps,secrets,events,services";
    let mut places: Vec<(String, String)> = Vec::new();
    let text = platform.kubectl(&["get", objects, "--all-namespaces", "-o", "yaml"]).await?;
    places.push(("an object".to_owned(), text));
    for (namespace, selector) in [
        ("slipway", "app.kubernetes.io/part-of=slipway"),
        ("slipway-build", "app.kubernetes.io/name=buildkitd"),
    ] {
        let logs = ["-n", namespace, "logs", "--selector", selector, "--tail=-1"];
        let text = platform.kubectl(&logs).await?;
        ensure!(!text.is_empty(), "the pods of {namespace} have written nothing");
        places.push((format!("what the pods of {namespace} have written"), text));
    }
    places.retain(|(_, text)| needles.are_in(text.as_bytes()));
    Ok(places.into_iter().map(|(place, _)| place).collect())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_value_is_found_in_every_form() {
        let value = "0123456789abcdef";
        let needles = Needles::of(value).unwrap();
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{value}\n");
            assert!(needles.are_in(text.as_bytes()));
            assert!(needles.are_in(STANDARD.encode(&text).as_bytes()), "{before}");
            assert!(needles.are_in(hex::encode(&text).as_bytes()));
        }
        assert!(!needles.are_in(b"0123456789abcde"));
    }

    #[test]
    fn processes_are_seen_with_their_environment() {
        let value = "0123456789abcdef-in-the-environment";
        let mut child = Command::new("cat");
        let child = child.env("LEAK", value).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        // A process has neither arguments nor environment while its program is being loaded, and `spawn` may return then:
        // one that answers is loaded.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let found = processes(&Needles::of(value).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        let found = found.unwrap();
        assert!(found.having.contains("cat "), "{found:?}");
    }
}
