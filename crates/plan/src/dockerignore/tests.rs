//! Ignore files against paths. Every row was checked against BuildKit's own filter.

use super::*;
use crate::tree::Tree;

/// Every directory, with `/`, and file of the tree that the rows are about.
const PATHS: &str = ".env .git/ .git/HEAD Dockerfile README.md a/ a/b/ a/b/c a/b/d.txt a/x.txt docs/ docs/README.md \
                     docs/a.md foo foo-bar node_modules/ node_modules/m/ node_modules/m/i.js src/ src/main.go \
                     src/node_modules/ src/node_modules/n.js x.txt xfoo";

fn left_out(ignore: &str) -> Vec<&'static str> {
    let entries = all().map(|path| Entry {
        path: path.trim_end_matches('/').to_owned(),
        kind: if path.ends_with('/') { Kind::Directory } else { Kind::File },
        size: 1,
        link: String::new(),
    });
    let tree = Tree::new(entries.collect());
    let kept = parse(ignore.as_bytes()).unwrap().kept(tree.entries());
    all().filter(|path| !kept[tree.position(path.trim_end_matches('/')).unwrap()]).collect()
}

fn all() -> impl Iterator<Item = &'static str> {
    PATHS.split_whitespace()
}

/// Where nearly everything is left out.
fn all_but(kept: &[&str]) -> Vec<&'static str> {
    all().filter(|path| !kept.contains(path)).collect()
}

#[test]
fn patterns() {
    let modules = ["node_modules/", "node_modules/m/", "node_modules/m/i.js"];
    let inner_modules = ["src/node_modules/", "src/node_modules/n.js"];
    let b = ["a/b/", "a/b/c", "a/b/d.txt"];
    let rows: &[(&str, Vec<&str>)] = &[
        ("", vec![]),
        ("\n  \n# comment\n#!x.txt", vec![]),
        ("\u{feff}# comment\nfoo", vec!["foo"]),
        // anchored at the root, unlike gitignore
        ("foo", vec!["foo"]),
        ("README.md", vec!["README.md"]),
        ("node_modules", modules.to_vec()),
        ("n.js", vec![]),
        // the ways to write one path
        ("/foo", vec!["foo"]),
        ("./foo", vec!["foo"]),
        ("  foo\t\r\n", vec!["foo"]),
        ("foo/", vec!["foo"]),
        ("a/b/", b.to_vec()),
        ("a//b/../b", b.to_vec()),
        ("  # foo", vec![]),
        // * and ? stay inside one name
        ("*.txt", vec!["x.txt"]),
        ("*/*.txt", vec!["a/x.txt"]),
        ("fo?", vec!["foo"]),
        ("?.txt", vec!["x.txt"]),
        ("a?b", vec![]),
        ("*", all_but(&[])),
        ("foo*", vec!["foo", "foo-bar"]),
        (".*", vec![".env", ".git/", ".git/HEAD"]),
        // ** spans names
        ("**", all_but(&[])),
        ("**/*.txt", vec!["a/b/d.txt", "a/x.txt", "x.txt"]),
        ("**/node_modules", [&modules[..], &inner_modules[..]].concat()),
        ("**/README.md", vec!["README.md", "docs/README.md"]),
        ("**foo", vec!["foo", "xfoo"]),
        ("**foo*", vec!["foo", "foo-bar"]),
        ("a/**", [&b[..], &["a/x.txt"]].concat()),
        ("a/**/d.txt", vec!["a/b/d.txt"]),
        ("a/**/x.txt", vec!["a/x.txt"]),
        ("foo**", vec!["foo", "foo-bar"]),
        ("**/b/**", vec!["a/b/c", "a/b/d.txt"]),
        // classes and escapes
        ("[fx]*", vec!["foo", "foo-bar", "x.txt", "xfoo"]),
        ("[^a-z]*", vec![".env", ".git/", ".git/HEAD", "Dockerfile", "README.md"]),
        ("x\\.tx?", vec!["x.txt"]),
        ("\\*", vec![]),
        ("x.tx", vec![]),
        // taking back; the last match decides
        ("*.md\n!README.md", vec![]),
        ("!README.md\n*.md", vec!["README.md"]),
        ("docs\n!docs/a.md", vec!["docs/README.md"]),
        ("docs\n! /docs/a.md\ndocs/a.md", vec!["docs/", "docs/README.md", "docs/a.md"]),
        ("*\n!src", all_but(&["src/", "src/main.go", "src/node_modules/", "src/node_modules/n.js"])),
        ("*\n!src\n**/node_modules", all_but(&["src/", "src/main.go"])),
        ("*\n!**/*.txt", all_but(&["a/", "a/b/", "a/b/d.txt", "a/x.txt", "x.txt"])),
        ("a\n!a/b\na/b/c", vec!["a/b/c", "a/x.txt"]),
        ("a/b\n!a", b.to_vec()),
        ("..\n../foo\n/\n.", vec![]),
    ];
    for (ignore, expected) in rows {
        assert_eq!(&left_out(ignore), expected, "{ignore:?}");
    }
}

#[test]
fn malformed_patterns_name_their_line() {
    for (ignore, line) in [
        ("!", 1),
        ("!/", 1),
        ("a\n\n!  ", 3),
        ("[a", 1),
        ("a\n[]a]", 2),
        ("[a-]", 1),
        ("[z-a]", 1),
        ("a\\", 1),
    ] {
        let bad = parse(ignore.as_bytes()).unwrap_err();
        assert_eq!(bad.line, line, "{ignore:?}");
    }
}

#[test]
fn a_hostile_pattern_takes_no_exponential_time() {
    let pattern = format!("{}b", "*a".repeat(200));
    let path = "a".repeat(4000);
    let glob = glob::compile(&pattern).unwrap();
    let started = std::time::Instant::now();
    assert!(!glob::matches(&glob, &path));
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}
