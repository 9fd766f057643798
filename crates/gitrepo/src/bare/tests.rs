//! Against the real git: a server's repository and a client that pushes to it, without the HTTP between them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use domain::commit::Commit;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use super::*;

mod cleaning;
mod direct;
mod hostile;
mod objects;
mod packing;
mod pushing;
mod refs;
mod repositories;

const NULL: &str = "0000000000000000000000000000000000000000";
const CAPABILITIES: &str = "report-status side-band-64k object-format=sha1";
const PACK_MAX: u64 = 64 << 20;

struct Server {
    root: TempDir,
    _repositories: Repositories,
    repository: Repository,
}

/// What a `git receive-pack` said until it ended.
#[derive(Debug)]
struct Answer {
    report: String,
    said: String,
}

impl Server {
    fn new() -> Server {
        let root = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(&root.path().join("repositories")).unwrap();
        let repository = repositories.repository(Uuid::from_u128(1));
        repository.ensure().unwrap();
        let server = Server { root, _repositories: repositories, repository };
        fs::create_dir(server.work()).unwrap();
        server.git(&["init", "--quiet", "--initial-branch=main", "."]);
        server
    }

    /// The client's.
    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_with(arguments, &[]).trim().to_owned()
    }

    fn git_with(&self, arguments: &[&str], input: &[u8]) -> String {
        String::from_utf8(self.run(arguments, input)).unwrap()
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let file = self.root.path().join("input");
        fs::write(&file, input).unwrap();
        let mut command = Command::new("git");
        command.args(arguments).current_dir(self.work()).stdin(fs::File::open(file).unwrap());
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.org");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn commit(&self, content: &str) -> Commit {
        fs::write(self.work().join("file"), content).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "a commit"]);
        Commit::parse(&self.git(&["rev-parse", "HEAD"])).unwrap()
    }

    /// All of `new` that is not in `known`.
    fn pack(&self, new: &Commit, known: &[&Commit]) -> Vec<u8> {
        let not: String = known.iter().map(|it| format!("^{it}\n")).collect();
        self.run(
            &["pack-objects", "--revs", "--stdout", "--thin", "--quiet"],
            format!("{new}\n{not}").as_bytes(),
        )
    }

    /// Pushes a commit to a new pin of `branch`.
    async fn push(&self, branch: &str, new: &Commit, known: &[&Commit]) -> (Uuid, Answer) {
        let (push, pack) = (Uuid::now_v7(), self.pack(new, known));
        let is_plain = self.repository.stage(&pack, new).unwrap().is_some();
        let name = pin_name(push, branch);
        let answer = self.receive(PACK_MAX, &request(&[], new, &name, &pack)).await;
        assert!(
            !is_plain || answer.report.contains(&format!("ok {name}\n")),
            "plain, but not to git: {answer:?}"
        );
        (push, answer)
    }

    async fn push_well(&self, branch: &str, new: &Commit, known: &[&Commit]) -> Pin {
        let (push, answer) = self.push(branch, new, known).await;
        answer.assert_took(&pin_name(push, branch));
        Pin { push, branch: branch.to_owned(), commit: new.clone() }
    }

    async fn receive(&self, pack_max_bytes: u64, request: &[u8]) -> Answer {
        talk(self.repository.receive_pack(pack_max_bytes).unwrap(), request).await
    }

    /// Nothing is broken, and nothing is missing.
    fn assert_sound(&self) {
        let mut command = Command::new("git");
        command.args(["fsck", "--strict", "--full"]).current_dir(&self.repository.path);
        let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn packs(&self) -> Vec<String> {
        let entries = files::entries(&self.repository.path.join("objects/pack")).unwrap();
        let names = entries.iter().map(|it| it.file_name().into_string().unwrap());
        let mut packs: Vec<_> = names.filter(|it| it.ends_with(".idx")).collect();
        packs.sort();
        packs
    }
}

impl Answer {
    fn assert_took(&self, name: &str) {
        assert!(
            self.report.contains("unpack ok") && self.report.contains(&format!("ok {name}\n")),
            "{self:?}"
        );
    }

    fn assert_refused(&self, why: &str) {
        assert!(!self.report.contains("ok refs/") && !self.report.contains("unpack ok\n"), "{self:?}");
        assert!(self.said.contains(why) || self.report.contains(why), "{self:?}");
    }
}

/// A process that another test just starts has all our files for a moment: what is free may be so a little later.
const MOMENT: Duration = Duration::from_secs(10);

fn is_free(server: &Server, patience: Duration) -> bool {
    lock::alone(&server.repository.lock_file(), patience).unwrap().is_some()
}

fn pkt(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn request(shallow: &[&Commit], new: &Commit, name: &str, pack: &[u8]) -> Vec<u8> {
    let shallow: String = shallow.iter().map(|it| pkt(&format!("shallow {it}\n"))).collect();
    let command = pkt(&format!("{NULL} {new} {name}\0 {CAPABILITIES}"));
    [shallow.as_bytes(), command.as_bytes(), b"0000", pack].concat()
}

async fn talk(mut child: Child, request: &[u8]) -> Answer {
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answered = Vec::new();
    let writing = async {
        // Who refuses does not read to the end.
        stdin.write_all(request).await.ok();
        drop(stdin);
    };
    let (read, ()) = tokio::join!(stdout.read_to_end(&mut answered), writing);
    read.unwrap();
    child.wait().await.unwrap();
    demux(&answered)
}

/// Takes the bands apart, and the pkt-lines within the first one.
fn demux(mut answered: &[u8]) -> Answer {
    let (mut report, mut said) = (Vec::new(), Vec::new());
    while let Some(line) = next_line(&mut answered) {
        match line.split_first() {
            Some((1, data)) => report.extend_from_slice(data),
            Some((_, data)) => said.extend_from_slice(data),
            None => {}
        }
    }
    let (mut rest, mut lines) = (report.as_slice(), Vec::new());
    while let Some(line) = next_line(&mut rest) {
        lines.extend_from_slice(line);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { report: text(&lines), said: text(&said) }
}

fn next_line<'a>(wire: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from_str_radix(std::str::from_utf8(wire.get(..4)?).unwrap(), 16).unwrap().max(4);
    let (line, rest) = wire.split_at(length);
    *wire = rest;
    Some(&line[4..])
}
