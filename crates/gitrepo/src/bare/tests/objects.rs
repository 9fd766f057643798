//! Where objects are kept, and what that saves.

use super::*;

/// What git calls the process in which it asks for refs of whomever objects are borrowed from.
const ASKING: &str = "for-each-ref";

impl Server {
    fn at(&self, path: &str) -> PathBuf {
        self.repository.path.join(path)
    }

    fn is_established(&self) -> bool {
        fs::read_link(self.at("objects")).is_ok_and(|it| it == Path::new(layout::ODB))
            && self.at(layout::ODB).join("pack").is_dir()
    }

    /// As Slipway made repositories formerly, and git does.
    fn undo(&self) {
        fs::remove_file(self.at("objects")).unwrap();
        fs::rename(self.at(layout::ODB), self.at("objects")).unwrap();
    }

    /// The names of git's processes of a push, as git writes them down.
    async fn traced(&self, new: &Commit, known: &[&Commit]) -> String {
        let trace = self.root.path().join("trace");
        fs::remove_file(&trace).ok();
        let mut command = self.repository.receive_pack_command(PACK_MAX);
        let child = command.env("GIT_TRACE2_EVENT", &trace).spawn().unwrap();
        let name = pin_name(Uuid::now_v7(), "main");
        talk(child, &request(&[], new, &name, &self.pack(new, known))).await.assert_took(&name);
        fs::read_to_string(trace).unwrap()
    }
}

#[tokio::test]
async fn a_push_asks_nobody_for_refs_that_it_has() {
    let server = Server::new();
    let (one, two, three) = (server.commit("1"), server.commit("2"), server.commit("3"));
    assert!(server.is_established());
    let traced = server.traced(&one, &[]).await;
    assert!(traced.contains("rev-list") && !traced.contains(ASKING), "{traced}");
    // That it would be seen.
    server.undo();
    let traced = server.traced(&two, &[&one]).await;
    assert!(traced.contains("rev-list") && traced.contains(ASKING), "{traced}");

    server.repository.clean().unwrap();
    assert!(server.is_established());
    let traced = server.traced(&three, &[&two]).await;
    assert!(!traced.contains(ASKING), "{traced}");
    assert!(server.repository.has(&one) && server.repository.has(&two));
    server.assert_sound();
}

#[tokio::test]
async fn an_old_repository_is_brought_into_shape_wherever_that_was_cut_off() {
    let server = Server::new();
    let one = server.commit("1");
    let pin = server.push_well("main", &one, &[]).await;
    let link = || std::os::unix::fs::symlink(layout::ODB, server.at("objects.new")).unwrap();
    let cuts: [&dyn Fn(); 4] = [
        &|| server.undo(),
        &|| {
            server.undo();
            link();
        },
        &|| {
            link();
            fs::remove_file(server.at("objects")).unwrap();
        },
        // Not by a crash: somebody has copied it back without its links.
        &|| fs::remove_file(server.at("objects")).unwrap(),
    ];
    for (round, cut) in cuts.into_iter().enumerate() {
        cut();
        assert!(!server.is_established(), "{round}");
        assert_eq!(server.repository.clean().unwrap(), 0, "{round}: nothing was left");
        assert!(server.is_established() && !server.at("objects.new").is_symlink(), "{round}");
        assert_eq!(server.repository.pins().unwrap(), std::slice::from_ref(&pin));
        server.assert_sound();
    }
    assert!(!layout::establish(&server.repository.path).unwrap(), "it is there");
    server.push_well("main", &server.commit("2"), &[&one]).await;
}

/// Nobody but us looks at the link: cleaning, packing, reading and sizes work on what it leads to.
#[tokio::test]
async fn what_works_on_the_objects_finds_them() {
    let server = Server::new();
    let one = server.commit("1");
    let two = server.commit("2");
    server.push_well("main", &one, &[]).await;
    server.push_well("main", &two, &[&one]).await;
    let left = server.at("odb/pack/tmp_pack_1");
    fs::write(&left, vec![0; 100_000]).unwrap();
    let size = server.repository.size_bytes().unwrap();
    assert_eq!(server.repository.clean().unwrap(), 1);
    assert_eq!(server.repository.size_bytes().unwrap(), size - 100_000);
    let old = server.repository.packs().unwrap();
    assert_eq!(old.len(), 2);
    server.repository.repack(old).await.unwrap();
    assert_eq!(server.packs().len(), 1);
    assert!(server.repository.contains(&one, &two) && server.is_established());
    // A clone by path, as somebody on the machine would make one.
    server.repository.project(&[("main".to_owned(), Some(two.clone()))]).unwrap();
    let path = server.repository.path.to_str().unwrap().to_owned();
    server.git(&["clone", "--quiet", "--no-local", &path, "../clone"]);
    assert_eq!(server.git(&["-C", "../clone", "rev-parse", "HEAD"]), two.as_str());
    server.assert_sound();
}
