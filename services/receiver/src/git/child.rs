//! The `git receive-pack` of one push: what it is told and what it answers.

use std::time::Duration;

use anyhow::{Context as _, Result};
use gitwire::report::{self, Report, Verdict};
use gitwire::request::Update;
use gitwire::sideband::Demux;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use tokio_util::task::TaskTracker;

/// It knows no terminal and shows no progress of its own: the build is what is shown.
const CAPABILITIES: &str = "report-status side-band-64k quiet object-format=sha1";
/// What is kept of what it says.
const SAID_MAX: usize = 16 << 10;
/// A child that says nothing for so long after the pack has ended hangs.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What a child answered until it ended.
#[derive(Debug, Default)]
pub(super) struct Answer {
    report: Option<Report>,
    said: String,
}

/// Reads a child's answer. Runs beside the writing of its input: else both would wait for each other.
/// Its refs are written once it has reported; `tasks` waits for its end.
pub(super) async fn read(mut child: Child, tasks: &TaskTracker) -> Result<Answer> {
    let stdout = child.stdout.take().context("git has no output")?;
    let read = tokio::time::timeout(PATIENCE, read_bands(stdout)).await;
    if read.is_err() {
        child.start_kill().ok();
    }
    tasks.spawn(async move { child.wait().await });
    read.unwrap_or_else(|_| anyhow::bail!("git did not end within {} s", PATIENCE.as_secs()))
}

async fn read_bands(mut stdout: impl AsyncRead + Unpin) -> Result<Answer> {
    let (mut demux, mut report, mut said) = (Demux::default(), Vec::new(), Vec::new());
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = stdout.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        for (band, bytes) in demux.feed(&buffer[..count])? {
            match band {
                1 => report.extend_from_slice(&bytes),
                _ => said.extend_from_slice(&bytes),
            }
            said.truncate(SAID_MAX);
            anyhow::ensure!(report.len() <= 1 << 20, "git's report has no end");
        }
        if report::decode(&report).is_some() {
            break;
        }
    }
    Ok(Answer { report: report::decode(&report), said: String::from_utf8_lossy(&said).into_owned() })
}

/// What it is told before the pack.
pub(super) fn commands(shallow: &[domain::commit::Commit], updates: &[Update]) -> Vec<u8> {
    gitwire::request::encode_commands(shallow, updates, CAPABILITIES)
}

impl Answer {
    /// As git would answer to one update, which went well or of which nobody knows how it went.
    pub(super) fn of_one(name: &str, taken: Result<(), String>) -> Answer {
        match taken {
            Ok(()) => {
                let verdicts = vec![Verdict { name: name.to_owned(), result: Ok(()) }];
                Answer { report: Some(Report { unpack: Ok(()), verdicts }), said: String::new() }
            }
            Err(why) => Answer { report: None, said: format!("error: {why}\n") },
        }
    }

    /// The child died: what it left behind is in the next one's way.
    pub(super) const fn is_broken(&self) -> bool {
        self.report.is_none()
    }

    /// What became of an update, by its name as the child was told it.
    pub(super) fn verdict(&self, name: &str) -> Result<(), String> {
        let Some(report) = &self.report else {
            return Err(self.complaint().unwrap_or("the push ended before git had all of it").to_owned());
        };
        if let Err(why) = &report.unpack {
            return Err(self.complaint().unwrap_or(why).to_owned());
        }
        match report.verdicts.iter().find(|verdict| verdict.name == name) {
            Some(verdict) => verdict.result.clone().map_err(|why| self.explained(&why)),
            None => Err("git did not say what became of it".to_owned()),
        }
    }

    /// Its short words with its longer ones.
    fn explained(&self, why: &str) -> String {
        match self.complaint() {
            Some(complaint) => format!("{why}: {complaint}"),
            None => why.to_owned(),
        }
    }

    /// The line that says most.
    fn complaint(&self) -> Option<&str> {
        let lines = || self.said.lines().map(str::trim);
        let first = |prefix: &'static str| lines().find_map(move |line| line.strip_prefix(prefix));
        first("error: ").filter(|it| !it.starts_with("index-pack died")).or_else(|| first("fatal: "))
    }
}

#[cfg(test)]
mod tests {
    use gitwire::{pkt_line, sideband};

    use super::*;

    async fn answer(said: &str, report: &[u8]) -> Answer {
        let mut wire = Vec::new();
        if !said.is_empty() {
            sideband::encode(sideband::Band::Progress, said.as_bytes(), &mut wire);
        }
        sideband::encode(sideband::Band::Data, report, &mut wire);
        wire.extend_from_slice(pkt_line::FLUSH);
        read_bands(&wire[..]).await.unwrap()
    }

    fn pin(result: Result<(), String>) -> Vec<Verdict> {
        vec![Verdict { name: "refs/pushes/1/heads/main".to_owned(), result }]
    }

    #[tokio::test]
    async fn what_git_answers() {
        let taken = answer("", &report::encode(Ok(()), &pin(Ok(())))).await;
        assert_eq!(taken.verdict("refs/pushes/1/heads/main"), Ok(()));
        assert!(taken.verdict("refs/tags/v1").is_err());
        let said = "error: object 1234: hasDotgit: contains '.git'\nfatal: fsck error in packed object\n";
        let refused = answer(
            said,
            &report::encode(Err("index-pack abnormal exit"), &pin(Err("unpacker error".to_owned()))),
        )
        .await;
        assert_eq!(
            refused.verdict("refs/pushes/1/heads/main"),
            Err("object 1234: hasDotgit: contains '.git'".to_owned())
        );
        let cut = answer("", b"").await;
        assert!(cut.verdict("refs/pushes/1/heads/main").is_err_and(|why| why.contains("ended before")));
    }
}
