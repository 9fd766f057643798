//! Pushes that are taken without git: what git says of them afterwards, and which are left to it.

use git2::{ObjectType, Oid};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::*;
use crate::bare;

mod made;

const WHO: &str = "author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nm\n";

/// By mode, name and id.
fn tree(entries: &[(&str, &str, &str)]) -> Vec<u8> {
    let entry = |(mode, name, id): &(&str, &str, &str)| {
        [format!("{mode} {name}\0").as_bytes(), Oid::from_str(id).unwrap().as_bytes()].concat()
    };
    entries.iter().flat_map(entry).collect()
}

impl Server {
    fn stage(&self, new: &Commit, pack: &[u8]) -> Option<Staged> {
        self.repository.stage(pack, new).unwrap()
    }

    /// Takes all of `new` that is not in `known` without git, and says what its pin is.
    fn take(&self, new: &Commit, known: &[&Commit]) -> Pin {
        let (push, branch) = (Uuid::now_v7(), "a/b".to_owned());
        self.stage(new, &self.pack(new, known)).unwrap().pin(&pin_name(push, &branch)).unwrap();
        Pin { push, branch, commit: new.clone() }
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn object(&self, kind: ObjectType, content: &[u8]) -> String {
        git2::Repository::open(self.work()).unwrap().odb().unwrap().write(kind, content).unwrap().to_string()
    }

    fn commit_of(&self, tree: &str, parent: &str) -> String {
        self.object(ObjectType::Commit, format!("tree {tree}\nparent {parent}\n{WHO}").as_bytes())
    }

    /// Just these objects.
    fn pack_of(&self, ids: &[&str]) -> Vec<u8> {
        let ids: String = ids.iter().map(|id| format!("{id}\n")).collect();
        self.run(&["pack-objects", "--stdout", "--quiet"], ids.as_bytes())
    }

    /// What was pushed can be read from its commit on, and nothing lies around.
    fn assert_took(&self, pins: &[Pin]) {
        assert_eq!(self.repository.pins().unwrap(), pins);
        self.assert_sound();
        for pin in pins {
            let mut command = Command::new("git");
            command.args(["rev-list", "--objects", "--quiet", pin.commit.as_str()]);
            assert!(command.current_dir(&self.repository.path).status().unwrap().success());
        }
        assert_eq!(self.repository.clean().unwrap(), 0);
    }

    /// Git judges this commit, and takes it or not.
    async fn assert_for_git(&self, what: &str, new: &Commit, pack: &[u8], takes: bool) {
        assert!(self.stage(new, pack).is_none(), "{what}");
        let name = pin_name(Uuid::now_v7(), "main");
        let answer = self.receive(super::PACK_MAX, &request(&[], new, &name, pack)).await;
        assert_eq!(answer.report.contains(&format!("ok {name}\n")), takes, "{what}: {answer:?}");
    }
}

#[test]
fn small_pushes_are_taken() {
    let server = Server::new();
    let long: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    for (path, content) in
        [("long", long.as_str()), ("some/where/deep", "1"), ("some/else", "2"), (".gitignore", "x")]
    {
        server.write(path, content.as_bytes());
    }
    let one = server.commit("1");
    let mut pins = vec![server.take(&one, &[])];
    // A delta against what is there, a file that is elsewhere now, a folder that is, and one that is gone.
    server.write("long", long.replace("line 7\n", "line seven\n").as_bytes());
    server.git(&["mv", "some/where", "where"]);
    server.git(&["mv", "some/else", "other"]);
    let two = server.commit("2");
    assert!(server.pack(&two, &[&one]).len() < 2000, "the pack is thin");
    pins.push(server.take(&two, &[&one]));
    // Two commits at once, of which one changes nothing.
    server.commit("2");
    let three = server.commit("3");
    pins.push(server.take(&three, &[&two]));
    // Nothing new.
    pins.push(server.take(&three, &[&three]));
    assert_eq!(server.packs().len(), 3);
    server.assert_took(&pins);
}

#[tokio::test]
async fn after_git_and_before_it() {
    let server = Server::new();
    server.git(&["symbolic-ref", "HEAD", "refs/heads/main"]);
    server.write(".gitattributes", b"*.x text\n");
    std::os::unix::fs::symlink("file", server.work().join("link")).unwrap();
    let one = server.commit("1");
    // A link and attributes are git's to judge, and plain once they were.
    server.assert_for_git("first", &one, &server.pack(&one, &[]), true).await;
    let two = server.commit("2");
    server.take(&two, &[&one]);
    server.git(&["mv", "link", "link2"]);
    let three = server.commit("3");
    server.assert_for_git("a link's new name", &three, &server.pack(&three, &[&two]), true).await;
    let four = server.commit("4");
    server.take(&four, &[&three]);
    // A branch from a commit that no ref names is rare.
    server.git(&["checkout", "--quiet", "--detach", one.as_str()]);
    let side = server.commit("5");
    for pin in server.repository.pins().unwrap() {
        if pin.commit == one {
            server.repository.delete_pins(&[pin]).unwrap();
        }
    }
    server.assert_for_git("from an older commit", &side, &server.pack(&side, &[&one]), true).await;
    server.git(&["merge", "--quiet", "--strategy=ours", "--message=Merge", four.as_str()]);
    let merge = Commit::parse(&server.git(&["rev-parse", "HEAD"])).unwrap();
    server.take(&merge, &[&side, &four]);
    server.repository.repack(server.repository.packs().unwrap()).await.unwrap();
    server.assert_sound();
}

#[tokio::test]
async fn what_is_missing_or_too_much() {
    let server = Server::new();
    server.write("folder/file", b"in a folder");
    let (one, two) = (server.commit("1"), server.commit("2"));
    server.assert_for_git("no parent", &two, &server.pack(&two, &[&one]), false).await;
    let list = |names: &[&str]| {
        let ids: Vec<String> = names.iter().map(|name| server.git(&["rev-parse", name])).collect();
        server.pack_of(&ids.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let whole = ["HEAD~", "HEAD~:", "HEAD~:file", "HEAD~:folder", "HEAD~:folder/file"];
    for without in 0..whole.len() {
        let rest: Vec<&str> = whole.iter().copied().filter(|it| *it != whole[without]).collect();
        server.assert_for_git(whole[without], &one, &list(&rest), false).await;
    }
    let more = server.object(ObjectType::Blob, b"nobody's");
    server
        .assert_for_git("a blob too many", &one, &list(&[&whole[..], &[more.as_str()]].concat()), true)
        .await;
    // What git was given meanwhile is there, and no ref leads to it any more: it may be without what it leads to.
    server.repository.delete_pins(&server.repository.pins().unwrap()).unwrap();
    server.assert_for_git("known, but of no ref", &two, &server.pack(&two, &[&one]), true).await;
    let mut damaged = server.pack(&two, &[]);
    *damaged.last_mut().unwrap() ^= 1;
    server.assert_for_git("a checksum of something else", &two, &damaged, false).await;

    let mut noise = vec![0; 2 * bare::PACK_MAX];
    let mut state: u32 = 1;
    noise.iter_mut().for_each(|byte| *byte = next(&mut state).to_le_bytes()[0]);
    server.write("noise", &noise);
    let large = server.commit("3");
    server.assert_for_git("large", &large, &server.pack(&large, &[&two]), true).await;
    for n in 0..1001 {
        server.write(&format!("many/{n}"), n.to_string().as_bytes());
    }
    let many = server.commit("4");
    server.assert_for_git("many", &many, &server.pack(&many, &[&large]), true).await;
}

fn next(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state >> 8
}

/// Whatever becomes of a pack on its way: what is taken is whole.
#[test]
fn damaged_packs() {
    let server = Server::new();
    let long: String = (0..300).map(|n| format!("line {n}\n")).collect();
    let one = server.commit(&long);
    let mut pins = vec![server.take(&one, &[])];
    let two = server.commit(&long.replace("line 7\n", "line seven\n"));
    let pack = server.pack(&two, &[&one]);
    let mut state: u32 = 1;
    let mut next = |below: usize| next(&mut state) as usize % below;
    let mut taken = 0;
    for round in 0..2000 {
        let mut damaged = pack.clone();
        match round % 4 {
            0 => damaged.truncate(next(pack.len())),
            1 => damaged.insert(next(pack.len()), u8::try_from(next(256)).unwrap()),
            _ => (0..=round % 3).for_each(|_| damaged[next(pack.len())] ^= 1 << next(8)),
        }
        // Who does it on purpose makes the checksum anew.
        if round % 5 > 0 {
            damaged.truncate(damaged.len().saturating_sub(20));
            let checksum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &damaged);
            damaged.extend_from_slice(checksum.as_ref());
        }
        if let Some(staged) = server.stage(&two, &damaged) {
            taken += 1;
            let pin = Pin { push: Uuid::now_v7(), branch: "main".to_owned(), commit: two.clone() };
            staged.pin(&pin_name(pin.push, "main")).unwrap();
            server.assert_took(&[&pins[..], std::slice::from_ref(&pin)].concat());
            server.repository.delete_pins(&[pin]).unwrap();
        }
    }
    assert!(taken > 0, "some damage changes nothing");
    let whole = Server::new();
    whole.git(&["pull", "--quiet", &server.work().to_string_lossy(), "main"]);
    pins = vec![whole.take(&one, &[]), whole.take(&two, &[&one])];
    whole.assert_took(&pins);
}

#[test]
fn what_is_not_pinned_is_forgotten() {
    let server = Server::new();
    let one = server.commit("1");
    let pack = server.pack(&one, &[]);
    let staged = server.stage(&one, &pack).unwrap();
    assert!(!is_free(&server, Duration::ZERO), "nobody cleans meanwhile");
    assert!(!server.repository.has(&one), "nobody sees it yet");
    drop(staged);
    assert!(is_free(&server, MOMENT));
    assert_eq!(server.repository.clean().unwrap(), 0, "nothing is left");

    // As after a crash: the janitor removes it.
    let quarantine = server.repository.path.join(layout::ODB).join("tmp_objdir-direct-1");
    fs::create_dir(&quarantine).unwrap();
    fs::write(quarantine.join("pack-1.pack"), "PACK").unwrap();
    assert!(server.repository.clean().unwrap() > 0 && !quarantine.exists());
    server.take(&one, &[]);
    server.assert_sound();
}
