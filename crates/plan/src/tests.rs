//! From a tree and bytes to a plan or a reason.

use proptest::prelude::*;

use super::*;
use crate::tree::Entry;

fn tree(paths: &[&str]) -> Tree {
    let entry = |path: &&str| {
        let kind = if path.ends_with('/') { Kind::Directory } else { Kind::File };
        Entry { path: path.trim_end_matches('/').to_owned(), kind, size: 10, link: String::new() }
    };
    Tree::new(paths.iter().map(entry).collect())
}

#[test]
fn the_ignore_file_beside_the_dockerfile_wins() {
    let paths = ["Dockerfile", ".dockerignore", "docker/", "docker/web", "docker/web.dockerignore"];
    let located = locate(&tree(&paths), "/docker/web", "").unwrap();
    assert_eq!(located.dockerignore.as_deref(), Some("docker/web.dockerignore"));
    let located = locate(&tree(&paths), "Dockerfile", "").unwrap();
    assert_eq!(located.dockerignore.as_deref(), Some(".dockerignore"));
    assert_eq!(locate(&tree(&["Dockerfile"]), "./Dockerfile", "").unwrap().dockerignore, None);
}

#[test]
fn a_context_is_a_folder_of_the_repository() {
    let tree = tree(&["Dockerfile", ".dockerignore", "shop/", "shop/.dockerignore", "shop/a"]);
    let located = locate(&tree, "Dockerfile", "./shop/").unwrap();
    assert_eq!(
        (located.context.as_str(), located.dockerignore.as_deref()),
        ("shop", Some("shop/.dockerignore"))
    );
    let plan = plan(&located, b"FROM a", Some(b"")).unwrap();
    assert_eq!((plan.context.as_str(), plan.why.as_str()), ("shop", "there is a Dockerfile for shop"));
    for gone in ["shop/a", "gone", "../x"] {
        let reason = Reason::from(locate(&tree, "Dockerfile", gone).unwrap_err());
        assert_eq!(reason.code, ReasonCode::SourceInvalid, "{gone}");
    }
}

#[test]
fn a_missing_dockerfile_names_what_was_seen() {
    let error =
        locate(&tree(&["README.md", "src/", "src/Dockerfile", "src/a"]), "Dockerfile", "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the repository has no Dockerfile; it has: src/Dockerfile, README.md, src/"
    );
    let reason = Reason::from(locate(&tree(&[]), "Dockerfile", "").unwrap_err());
    assert_eq!(reason.code, ReasonCode::DockerfileMissing);
    assert!(reason.message.ends_with("nothing"), "{}", reason.message);
    let many: Vec<String> = (0..40).map(|n| format!("file-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(locate(&tree(&many), "Dockerfile", "").unwrap_err().to_string().ends_with("28 more"));
}

#[test]
fn a_directory_or_a_path_outside_is_no_dockerfile() {
    for path in ["src", "../Dockerfile", "", "src/.."] {
        let error = locate(&tree(&["Dockerfile", "src/", "src/a"]), path, "").unwrap_err();
        assert!(matches!(error, Unplannable::DockerfileMissing { .. }), "{path}");
    }
}

#[test]
fn the_dockerfile_is_read_even_where_it_is_ignored() {
    let located = locate(&tree(&["Dockerfile", ".dockerignore", "a"]), "Dockerfile", "").unwrap();
    let plan = plan(&located, b"FROM a\n", Some(b"Dockerfile\n.dockerignore\n")).unwrap();
    assert_eq!(plan.dockerfile_bytes, b"FROM a\n");
    assert_eq!(plan.why, "there is a Dockerfile; .dockerignore has 2 patterns");
    assert_eq!(plan.ignore.kept(tree(&["Dockerfile", ".dockerignore", "a"]).entries()), [false, false, true]);
}

#[test]
fn reasons_name_file_and_line() {
    let located = Located {
        dockerfile: "Dockerfile".to_owned(),
        dockerignore: Some(".dockerignore".to_owned()),
        context: String::new(),
    };
    let reason = Reason::from(plan(&located, b"# syntax=evil/x\nFROM a\n", None).unwrap_err());
    assert_eq!(reason.code, ReasonCode::DockerfileInvalid);
    assert!(reason.message.starts_with("Dockerfile line 1: the frontend \"evil/x\""), "{}", reason.message);
    let reason = Reason::from(plan(&located, b"FROM a", Some(b"ok\n[a-\n")).unwrap_err());
    assert_eq!(reason.code, ReasonCode::SourceInvalid);
    assert_eq!(reason.message, ".dockerignore: line 2: the pattern \"[a-\" is malformed");
}

proptest! {
    #[test]
    fn any_bytes_make_a_plan_or_a_reason(
        paths in proptest::collection::vec("[a-c./]{1,8}", 0..12),
        dockerfile in proptest::collection::vec(any::<u8>(), 0..200),
        lines in proptest::collection::vec("[#/{ !]{0,2}(syntax|escape)?[= ]?\\PC{0,6}", 0..6),
        ignore in "(\\PC{0,4}[*?!\\[\\]\\\\^/\n-]{0,5}){0,8}",
    ) {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let tree = tree(&paths);
        let located = locate(&tree, "a", "").unwrap_or(Located { dockerfile: "a".to_owned(), dockerignore: None, context: String::new() });
        let _ = plan(&located, &dockerfile, Some(&dockerfile));
        let text = lines.join("\n");
        if let Ok(plan) = plan(&located, text.as_bytes(), Some(ignore.as_bytes())) {
            prop_assert_eq!(plan.ignore.kept(tree.entries()).len(), tree.entries().len());
            let again = dockerfile::sanitize(&plan.dockerfile_bytes);
            prop_assert_eq!(again.ok(), Some(plan.dockerfile_bytes), "no frontend is left in it");
        }
    }
}
