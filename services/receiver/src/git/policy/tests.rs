//! Each row of the policy's table, and what becomes of the refs beside a guilty one.

use gitwire::request::Reader;

use super::*;

fn id(digit: char) -> Commit {
    Commit::parse(&digit.to_string().repeat(40)).unwrap()
}

/// `0` is no commit, any other digit the commit of forty of them.
fn update(name: &str, old: char, new: char) -> Update {
    let commit = |digit| (digit != '0').then(|| id(digit));
    Update { old: commit(old), new: commit(new), name: name.to_owned() }
}

/// As it comes from the wire.
fn request_saying(updates: &[Update], capabilities: &str) -> Request {
    let bytes = gitwire::request::encode_commands(&[], updates, capabilities);
    Reader::new().feed(&bytes).unwrap().unwrap().0
}

fn request(updates: &[Update]) -> Request {
    request_saying(updates, "report-status side-band-64k object-format=sha1")
}

fn done(update: Update) -> Action {
    judge(&request(&[update]), "trunk").unwrap().remove(0)
}

/// The reasons, in the order of the updates.
fn refused(request: &Request) -> Vec<String> {
    let verdicts = judge(request, "trunk").unwrap_err();
    let names = |it: &[Verdict]| it.iter().map(|verdict| verdict.name.clone()).collect::<Vec<_>>();
    let asked: Vec<String> = request.updates.iter().map(|update| update.name.clone()).collect();
    assert_eq!(names(&verdicts), asked, "each ref has a verdict");
    verdicts.into_iter().map(|verdict| verdict.result.unwrap_err()).collect()
}

#[test]
fn a_branch_is_built() {
    for (branch, old) in [("main", '0'), ("feature/login", '1'), ("trunk", '1')] {
        let action = done(update(&format!("refs/heads/{branch}"), old, '2'));
        let old = (old != '0').then(|| id(old));
        assert_eq!(action, Action::Build { branch: branch.to_owned(), old, new: id('2') });
    }
}

#[test]
fn tags_are_kept_or_deleted() {
    let tag = update("refs/tags/v1", '0', '1');
    assert_eq!(done(tag.clone()), Action::StoreTag(tag.clone()));
    let moved = update("refs/tags/v1", '1', '2');
    assert_eq!(done(moved.clone()), Action::StoreTag(moved));
    let deleted = update("refs/tags/v1", '1', '0');
    assert_eq!(done(deleted.clone()), Action::DeleteTag(deleted));

    let both = judge(&request(&[update("refs/heads/main", '1', '2'), tag.clone()]), "main").unwrap();
    let build = Action::Build { branch: "main".to_owned(), old: Some(id('1')), new: id('2') };
    assert_eq!(both, [build, Action::StoreTag(tag)]);
}

#[test]
fn only_the_main_environments_branches_cannot_be_deleted() {
    let deleted = done(update("refs/heads/feature/login", '1', '0'));
    assert_eq!(deleted, Action::DeleteBranch { branch: "feature/login".to_owned(), old: id('1') });
    for branch in ["main", "master", "trunk"] {
        let why = refused(&request(&[update(&format!("refs/heads/{branch}"), '1', '0')]));
        assert_eq!(why, [format!("{branch} runs in the environment main, which a push does not remove")]);
    }
}

#[test]
fn one_branch_per_push() {
    let pairs = [
        [update("refs/heads/a", '1', '2'), update("refs/heads/b", '1', '2')],
        [update("refs/heads/a", '1', '2'), update("refs/heads/b", '1', '0')],
        [update("refs/heads/a", '1', '0'), update("refs/heads/b", '1', '0')],
    ];
    for pair in pairs {
        assert_eq!(refused(&request(&pair)), ["one branch per push: push this one by itself"; 2], "{pair:?}");
    }
    let with_tag = [
        update("refs/tags/v1", '0', '1'),
        update("refs/heads/a", '0', '1'),
        update("refs/heads/b", '0', '1'),
    ];
    assert_eq!(
        refused(&request(&with_tag))[0],
        "not done: refs/heads/a: one branch per push: push this one by itself"
    );
}

#[test]
fn the_innocent_hear_who_was_not() {
    let updates = [
        update("refs/heads/main", '1', '2'),
        update("refs/replace/1", '0', '3'),
        update("refs/tags/-d", '0', '3'),
    ];
    assert_eq!(
        refused(&request(&updates)),
        [
            "not done: refs/replace/1: only refs/heads/ and refs/tags/ can be pushed",
            "only refs/heads/ and refs/tags/ can be pushed",
            "no part of a ref's name starts with a hyphen",
        ]
    );
    let long = update(&format!("refs/{}", "x".repeat(5000)), '0', '1');
    let why = refused(&request(&[update("refs/heads/main", '1', '2'), long]));
    assert!(why[0].len() < 200, "{}", why[0]);
}

#[test]
fn refs_that_stay_or_never_were_are_refused() {
    for name in ["refs/heads/a", "refs/tags/a"] {
        for digit in ['0', '1'] {
            let why = refused(&request(&[update(name, digit, digit)]));
            assert_eq!(why, ["it is to stay what it is: there is nothing to do"], "{name} {digit}");
        }
    }
    let twice = [update("refs/tags/a", '0', '1'), update("refs/tags/a", '0', '2')];
    assert_eq!(refused(&request(&twice)), ["the push names this ref more than once"; 2]);
}

#[test]
fn certificates_and_sha_256_refuse_the_whole_push() {
    let updates = [update("refs/heads/main", '1', '2'), update("refs/tags/v1", '0', '2')];
    let signed = Request { has_certificate: true, ..request(&updates) };
    assert!(refused(&signed).iter().all(|why| why.contains("without --signed")));

    let says_so = request_saying(&updates, "report-status object-format=sha256");
    assert!(refused(&says_so).iter().all(|why| why.contains("only SHA-1")));
    let long = Some(Commit::parse(&"12".repeat(32)).unwrap());
    let has_one = Update { old: None, new: long.clone(), name: "refs/heads/main".to_owned() };
    assert!(refused(&request_saying(&[has_one], "report-status"))[0].contains("only SHA-1"));
    let shallow = Request { shallow: long.into_iter().collect(), ..request(&updates) };
    assert!(refused(&shallow).iter().all(|why| why.contains("only SHA-1")));
    assert!(judge(&request_saying(&updates, ""), "main").is_ok(), "an old client does not name its format");
}

#[test]
fn the_documentation_has_the_table() {
    let documentation = include_str!("../../../../../docs/git-remote.md");
    let table = table();
    for line in table.lines() {
        assert!(line.chars().count() <= 76, "{line}");
        assert!(documentation.lines().any(|it| it.trim() == line), "docs/git-remote.md lacks {line:?}");
    }
    assert_eq!(table.lines().count(), TABLE.len());
}
