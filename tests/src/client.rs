//! A client of git's protocol made by hand: it says what no git says, and understands less.

use anyhow::{Context as _, Result, ensure};
use domain::commit::Commit;
use gitwire::pkt_line;
use gitwire::report::{self, Report};
use gitwire::request::{self, Update};
use gitwire::sideband::Demux;
use reqwest::{Method, RequestBuilder};

use crate::platform::Platform;
use crate::remote::Remote;
use crate::tree;

pub const RECEIVE_REQUEST: &str = "application/x-git-receive-pack-request";
pub const UPLOAD_REQUEST: &str = "application/x-git-upload-pack-request";
/// What an old or a simple client can do: no side band, so it sees no build.
pub const PLAIN: &str = "report-status object-format=sha1";
pub const SIDE_BAND: &str = "report-status side-band-64k object-format=sha1";

/// What a push was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The lines of the side band.
    pub said: Vec<String>,
    pub report: Option<Report>,
    pub text: String,
}

/// A request for a path of an application's repository, with the administrator's token as the password.
pub fn request(platform: &Platform, method: Method, app: &str, path: &str) -> RequestBuilder {
    platform
        .request(method, platform.base_domain(), &format!("/{app}.git/{path}"))
        .basic_auth("git", Some(&platform.admin_token))
}

/// A ref that is to be what `new` is.
pub fn update(name: &str, old: Option<&str>, new: Option<&str>) -> Result<Update> {
    let commit = |id: Option<&str>| id.map(Commit::parse).transpose();
    Ok(Update { old: commit(old)?, new: commit(new)?, name: name.to_owned() })
}

/// What a push begins with, and `pack` behind it.
pub fn body(updates: &[Update], capabilities: &str, pack: &[u8]) -> Vec<u8> {
    let mut body = request::encode_commands(&[], updates, capabilities);
    body.extend_from_slice(pack);
    body
}

/// All of the work tree's history.
pub async fn pack(remote: &Remote) -> Result<Vec<u8>> {
    let arguments = ["pack-objects", "--all", "--revs", "--stdout", "-q"];
    let output = tree::command(&remote.tree, &remote.tree.git, &arguments).output().await?;
    ensure!(output.status.success(), "git pack-objects: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

pub async fn push(platform: &Platform, app: &str, body: Vec<u8>) -> Result<Answer> {
    let request = request(platform, Method::POST, app, "git-receive-pack")
        .header("content-type", RECEIVE_REQUEST)
        .body(body);
    answer(request).await
}

pub async fn answer(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if status != 200 {
        return Ok(Answer { status, said: Vec::new(), report: None, text });
    }
    if let Some(report) = report::decode(&bytes) {
        return Ok(Answer { status, said: Vec::new(), report: Some(report), text });
    }
    let (mut said, mut reported) = (Vec::new(), Vec::new());
    for (band, data) in Demux::default().feed(&bytes).context("neither a report nor a side band")? {
        if band == 1 { reported.extend(data) } else { said.extend(data) }
    }
    let said = String::from_utf8_lossy(&said).lines().map(str::to_owned).collect();
    Ok(Answer { status, said, report: report::decode(&reported), text })
}

impl Answer {
    /// Why the ref was refused; none when it was not.
    pub fn refusal(&self, name: &str) -> Option<&str> {
        let report = self.report.as_ref()?;
        let verdict = report.verdicts.iter().find(|verdict| verdict.name == name)?;
        verdict.result.as_ref().err().map(String::as_str)
    }
}

/// One packet.
pub fn packet(text: &str) -> Vec<u8> {
    let mut packet = Vec::new();
    pkt_line::encode(text.as_bytes(), &mut packet);
    packet
}
