//! The folder of the repositories, and making one.

use std::sync::mpsc;

use super::*;

#[test]
fn one_process_writes() {
    let root = tempfile::tempdir().unwrap();
    let first = Repositories::open(root.path()).unwrap();
    let error = Repositories::open_within(root.path(), Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("another receiver holds the repositories"), "{error}");
    let (opened, waits) = mpsc::channel();
    let path = root.path().to_path_buf();
    let second = std::thread::spawn(move || opened.send(Repositories::open(&path)));
    assert!(waits.recv_timeout(Duration::from_millis(100)).is_err(), "it waits");
    drop(first);
    assert!(waits.recv().unwrap().is_ok());
    second.join().unwrap().unwrap();
}

#[test]
fn a_repository_is_made_once_and_whole() {
    let root = tempfile::tempdir().unwrap();
    let leftover = root.path().join(format!("{}.git.{}.new", Uuid::from_u128(7), Uuid::from_u128(8)));
    fs::create_dir_all(leftover.join("objects")).unwrap();
    let repositories = Repositories::open(root.path()).unwrap();
    assert!(!leftover.exists());
    assert!(repositories.all().unwrap().is_empty());

    let app = Uuid::from_u128(7);
    let repository = repositories.repository(app);
    assert!(repository.tags().unwrap().is_empty(), "nobody has pushed yet");
    assert_eq!(repository.clean().unwrap(), 0);
    std::thread::scope(|scope| {
        let making: Vec<_> = (0..8).map(|_| scope.spawn(|| repository.ensure())).collect();
        making.into_iter().for_each(|it| it.join().unwrap().unwrap());
    });
    assert_eq!(repositories.all().unwrap(), [app]);
    assert_eq!(repositories.path(app).file_name().unwrap().to_str(), Some(format!("{app}.git").as_str()));
    assert_eq!(
        fs::read_to_string(repositories.path(app).join("HEAD")).unwrap().trim(),
        "ref: refs/heads/main"
    );
    let names: Vec<_> = fs::read_dir(root.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");

    fs::write(repositories.path(app).join("description"), "mine").unwrap();
    repository.ensure().unwrap();
    assert_eq!(fs::read_to_string(repositories.path(app).join("description")).unwrap(), "mine");
}

#[tokio::test]
async fn the_size_is_that_of_all_files() {
    let server = Server::new();
    let before = server.repository.size_bytes().unwrap();
    let file = server.repository.path.join("objects/info/x");
    fs::write(&file, vec![0; 100_000]).unwrap();
    assert_eq!(server.repository.size_bytes().unwrap(), before + 100_000);
}
