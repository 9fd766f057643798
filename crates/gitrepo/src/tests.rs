//! Against the real git, over its local transport, and against servers that answer one thing only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use domain::reason::{Reason, ReasonCode};
use git2::{ObjectType, Oid, Repository};
use plan::tree::Kind;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A forge's repository with a work tree beside it, and a place for mirrors.
struct Forge {
    root: TempDir,
}

impl Forge {
    fn new() -> Forge {
        let forge = Forge { root: tempfile::tempdir().unwrap() };
        fs::create_dir(forge.work()).unwrap();
        forge.git(&["init", "--quiet", "--initial-branch=main", "."]);
        forge
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    fn mirror(&self) -> PathBuf {
        self.root.path().join("mirrors/app.git")
    }

    fn remote(&self) -> Remote {
        Remote::local(&self.work())
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(self.work());
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.org");
            // Commits have the same names each time.
            command.env(format!("GIT_{who}_DATE"), "2026-01-01T12:00:00Z");
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn commit(&self, message: &str) -> Commit {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        Commit::parse(&self.git(&["rev-parse", "HEAD"])).unwrap()
    }

    async fn fetch(&self, commit: &Commit) -> Result<Snapshot, GitError> {
        fetch(&self.mirror(), &self.remote(), commit, "main", None).await
    }
}

fn code(error: &GitError) -> ReasonCode {
    Reason::from(error).code
}

#[tokio::test]
async fn a_snapshot_lists_and_reads() {
    let forge = Forge::new();
    forge.write("foo/a.txt", "a");
    forge.write("foo.txt", "hello");
    forge.write("run", "#!/bin/sh\n");
    fs::set_permissions(forge.work().join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    std::os::unix::fs::symlink("foo/a.txt", forge.work().join("link")).unwrap();
    let commit = forge.commit("Add a link\n\nand more");

    let snapshot = forge.fetch(&commit).await.unwrap();
    assert_eq!((snapshot.subject.as_str(), snapshot.author.as_str()), ("Add a link", "Ada"));
    let listed: Vec<_> =
        snapshot.tree().entries().iter().map(|it| (it.path.as_str(), it.kind, it.size)).collect();
    let expected = [
        ("foo", Kind::Directory, 0),
        ("foo/a.txt", Kind::File, 1),
        ("foo.txt", Kind::File, 5),
        ("link", Kind::Symlink, 9),
        ("run", Kind::Executable, 10),
    ];
    assert_eq!(listed, expected);
    assert_eq!(snapshot.tree().get("link").unwrap().link, "foo/a.txt");
    assert_eq!(snapshot.file("foo.txt").unwrap(), b"hello");
    assert!(snapshot.file("gone").is_err());
}

#[tokio::test]
async fn equal_contents_have_equal_objects() {
    let forge = Forge::new();
    forge.write("same", "1");
    forge.write("other", "1");
    let one = forge.commit("one");
    forge.write("other", "2");
    let two = forge.commit("two");
    let (one, two) = (forge.fetch(&one).await.unwrap(), forge.fetch(&two).await.unwrap());
    let object =
        |snapshot: &Snapshot, path| snapshot.object(snapshot.tree().position(path).unwrap()).to_vec();
    assert_eq!(object(&one, "same"), object(&two, "same"));
    assert_ne!(object(&one, "other"), object(&two, "other"));
}

/// What our own receiver would send for `want` to a builder that keeps `have`.
fn pack(forge: &Forge, want: &Commit, have: &[Commit]) -> Option<Vec<u8>> {
    let id = |commit: &Commit| Oid::from_str(commit.as_str()).unwrap();
    let have: Vec<Oid> = have.iter().map(id).collect();
    pack::make(&Repository::open(forge.work()).unwrap(), id(want), &have).unwrap()
}

#[tokio::test]
async fn a_commit_can_come_as_a_pack() {
    let forge = Forge::new();
    forge.write("same", "1");
    forge.write("other", "1");
    let first = forge.commit("first");
    forge.fetch(&first).await.unwrap();
    assert_eq!(kept(&forge.mirror()).await.unwrap(), std::slice::from_ref(&first));
    for n in 2..6 {
        forge.write("other", &n.to_string());
        let commit = forge.commit("another");
        let have = kept(&forge.mirror()).await.unwrap();
        let packed = pack(&forge, &commit, &have);
        // Git could not have brought it: it does not find the repository.
        let nowhere = Remote::local(Path::new("/nowhere"));
        let fetched = fetch(&forge.mirror(), &nowhere, &commit, "main", packed).await.unwrap();
        assert_eq!(fetched.file("other").unwrap(), n.to_string().as_bytes());
        assert_eq!(fetched.file("same").unwrap(), b"1");
        assert_eq!(kept(&forge.mirror()).await.unwrap()[0], commit);
    }
    // Git goes on from there, and finds nothing wrong.
    forge.write("other", "git");
    let last = forge.commit("last");
    assert_eq!(forge.fetch(&last).await.unwrap().file("other").unwrap(), b"git");
    let mirror = format!("--git-dir={}", forge.mirror().display());
    forge.git(&[&mirror, "fsck", "--strict"]);
    forge.git(&[&mirror, "gc", "--quiet", "--prune=now"]);
    assert_eq!(forge.fetch(&last).await.unwrap().file("same").unwrap(), b"1");
}

#[tokio::test]
async fn a_pack_that_cannot_be_used_is_no_failure() {
    let forge = Forge::new();
    forge.write("a", "1");
    forge.fetch(&forge.commit("first")).await.unwrap();
    forge.write("a", "2");
    let second = forge.commit("second");
    let damaged = Some(b"PACK and then nothing".to_vec());
    let fetched = fetch(&forge.mirror(), &forge.remote(), &second, "main", damaged).await.unwrap();
    assert_eq!(fetched.file("a").unwrap(), b"2");
}

#[tokio::test]
async fn a_commit_that_is_gone() {
    let forge = Forge::new();
    let first = forge.commit("first");
    let never = Commit::parse(&"ab".repeat(20)).unwrap();
    let error = forge.fetch(&never).await.unwrap_err();
    assert_eq!(code(&error), ReasonCode::CommitGone, "{error}");
    let error = fetch(&forge.mirror(), &forge.remote(), &never, "no-such-branch", None).await.unwrap_err();
    assert_eq!(code(&error), ReasonCode::CommitGone, "{error}");
    assert!(forge.fetch(&first).await.is_ok());
}

#[tokio::test]
async fn a_forge_that_gives_no_commit_out_by_its_id() {
    let forge = Forge::new();
    forge.fetch(&forge.commit("first")).await.unwrap();
    // Protocol 0 knows only the tips of branches.
    let config = forge.mirror().join("config");
    let with_old = fs::read_to_string(&config).unwrap() + "[protocol]\n\tversion = 0\n";
    fs::write(&config, with_old).unwrap();
    forge.write("a", "2");
    let second = forge.commit("second");
    forge.commit("third");
    let snapshot = forge.fetch(&second).await.unwrap();
    assert_eq!(snapshot.subject, "second");
    forge.git(&["checkout", "--quiet", "--orphan", "new"]);
    let elsewhere = forge.commit("elsewhere");
    forge.commit("on top");
    assert_eq!(code(&forge.fetch(&elsewhere).await.unwrap_err()), ReasonCode::CommitGone);
}

#[tokio::test]
async fn the_last_few_commits_are_kept() {
    let forge = Forge::new();
    let mut commits = Vec::new();
    for n in 0..8 {
        forge.write("n", &n.to_string());
        commits.push(forge.commit(&format!("commit {n}")));
        forge.fetch(&commits[n]).await.unwrap();
        forge.fetch(&commits[0]).await.unwrap();
    }
    let kept: Vec<String> = fs::read_dir(forge.mirror().join("refs/slipway"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(kept.len(), 5);
    assert!(kept.contains(&commits[0].to_string()), "the one fetched again last");
    assert!(kept.contains(&commits[7].to_string()) && !kept.contains(&commits[1].to_string()));
}

#[tokio::test]
async fn what_a_killed_git_left_is_cleared() {
    let forge = Forge::new();
    forge.fetch(&forge.commit("first")).await.unwrap();
    forge.write("a", "2");
    let second = forge.commit("second");
    let left = ["shallow.lock", "HEAD.lock", "objects/pack/tmp_pack_x"].map(|it| forge.mirror().join(it));
    let of_ref = forge.mirror().join(format!("refs/slipway/{second}.lock"));
    for file in left.iter().chain([&of_ref]) {
        fs::write(file, "").unwrap();
    }
    forge.fetch(&second).await.unwrap();
    for file in left.iter().chain([&of_ref]) {
        assert!(!file.exists(), "{}", file.display());
    }
}

#[tokio::test]
async fn a_broken_mirror_is_made_anew() {
    type Break = fn(&Path);
    let ways: [Break; 3] = [
        |mirror| fs::remove_dir_all(mirror.join("objects")).unwrap(),
        |mirror| fs::write(mirror.join("HEAD"), "garbage").unwrap(),
        |mirror| fs::write(mirror.join("shallow"), "garbage").unwrap(),
    ];
    for break_it in ways {
        let forge = Forge::new();
        forge.write("a", "1");
        let first = forge.commit("first");
        forge.fetch(&first).await.unwrap();
        break_it(&forge.mirror());
        forge.write("a", "2");
        for commit in [&first, &forge.commit("second")] {
            let snapshot = forge.fetch(commit).await.unwrap();
            assert!(snapshot.file("a").is_ok());
        }
    }
}

#[tokio::test]
async fn many_fetches_are_packed() {
    let forge = Forge::new();
    forge.fetch(&forge.commit("first")).await.unwrap();
    let sample = forge.mirror().join("objects/17");
    fs::create_dir_all(&sample).unwrap();
    let repository = Repository::open_bare(forge.mirror()).unwrap();
    let mut n = 0;
    while fs::read_dir(&sample).unwrap().count() < 28 {
        repository.odb().unwrap().write(ObjectType::Blob, format!("{n}").as_bytes()).unwrap();
        n += 1;
    }
    forge.write("a", "2");
    let snapshot = forge.fetch(&forge.commit("second")).await.unwrap();
    assert_eq!(snapshot.file("a").unwrap(), b"2");
    assert!(!sample.exists(), "unreachable objects are gone");
}

#[tokio::test]
async fn a_fetch_waits_for_the_one_before_it() {
    let forge = Forge::new();
    let commit = forge.commit("first");
    fs::create_dir_all(forge.mirror()).unwrap();
    let lock = fs::File::create(forge.root.path().join("mirrors/app.git.lock")).unwrap();
    lock.lock().unwrap();
    let fetching = forge.fetch(&commit);
    tokio::pin!(fetching);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut fetching).await.is_err());
    drop(lock);
    assert!(fetching.await.is_ok());
}

#[tokio::test]
async fn names_that_cannot_be_built_are_refused() {
    let forge = Forge::new();
    let repository = Repository::open(forge.work()).unwrap();
    let odb = repository.odb().unwrap();
    let blob = odb.write(ObjectType::Blob, b"x").unwrap();
    for (name, expected) in [(&b"b\xff"[..], "not UTF-8"), (b"..", "not a name"), (b"a/b", "not a name")] {
        let mut tree = [b"100644 ", name, b"\0"].concat();
        tree.extend(blob.as_bytes());
        let tree = odb.write(ObjectType::Tree, &tree).unwrap();
        let text = format!("tree {tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nbad");
        let commit: Oid = odb.write(ObjectType::Commit, text.as_bytes()).unwrap();
        repository.reference("refs/heads/bad", commit, true, "").unwrap();
        let error = forge.fetch(&Commit::parse(&commit.to_string()).unwrap()).await.unwrap_err();
        assert_eq!(code(&error), ReasonCode::SourceInvalid);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn ls_remote_names_the_branch_exactly() {
    let forge = Forge::new();
    let main = forge.commit("first");
    forge.git(&["checkout", "--quiet", "-b", "x/refs/heads/main"]);
    forge.commit("second");
    assert_eq!(ls_remote(&forge.remote(), "main").await.unwrap(), Some(main));
    assert_eq!(ls_remote(&forge.remote(), "gone").await.unwrap(), None);
}

/// Answers one request with `status`; gives the first request and what became of asking.
async fn ask(status: &str, credentials: Option<Credentials>) -> (String, GitError) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a.git", listener.local_addr().unwrap());
    let remote = Remote::new(&url, credentials).unwrap();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n"
    );
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    };
    let (request, asked) = tokio::join!(serving, ls_remote(&remote, "main"));
    (request, asked.unwrap_err())
}

#[tokio::test]
async fn credentials_travel_in_a_header() {
    let credentials = Credentials::new(Some("bot"), "s3cret");
    let (request, error) = ask("403 Forbidden", Some(credentials)).await;
    assert!(request.contains("Authorization: Basic Ym90OnMzY3JldA=="), "{request}");
    assert_eq!(code(&error), ReasonCode::RepositoryRefused);
    assert!(!error.to_string().contains("s3cret"));
    let (request, _) = ask("403 Forbidden", None).await;
    assert!(!request.contains("Authorization"), "{request}");
}

#[tokio::test]
async fn a_forge_that_says_no_is_told_from_one_that_is_away() {
    for (status, expected) in [
        ("401 Unauthorized", ReasonCode::RepositoryRefused),
        ("404 Not Found", ReasonCode::RepositoryRefused),
        ("301 Moved Permanently", ReasonCode::RepositoryRefused),
        ("500 Internal Server Error", ReasonCode::ForgeUnavailable),
        ("503 Service Unavailable", ReasonCode::ForgeUnavailable),
    ] {
        let (_, error) = ask(status, None).await;
        assert_eq!(code(&error), expected, "{status}: {error}");
    }
    let remote = Remote::new("http://127.0.0.1:1/a.git", None).unwrap();
    let error = ls_remote(&remote, "main").await.unwrap_err();
    assert_eq!(code(&error), ReasonCode::ForgeUnavailable, "{error}");
}
