//! Names that pass, and the many that must not, each with the rule it breaks.

use super::BadRefName::{Character, Dot, EmptyPart, Head, Hyphen, Lock, Outside, TooLong, TwoDots};
use super::*;

const HOSTILE: &[(&str, BadRefName)] = &[
    // outside of what users may write
    ("", Outside),
    ("HEAD", Outside),
    ("main", Outside),
    ("heads/main", Outside),
    ("refs/heads", Outside),
    ("refs/replace/1111111111111111111111111111111111111111", Outside),
    ("refs/pushes/0199/heads/main", Outside),
    ("refs/remotes/origin/main", Outside),
    ("refs/notes/commits", Outside),
    ("refs/for/main", Outside),
    ("refs/pull/1/head", Outside),
    ("refs/stash", Outside),
    ("Refs/heads/main", Outside),
    ("refs/Heads/main", Outside),
    ("refs//heads/main", Outside),
    ("/refs/heads/main", Outside),
    ("../refs/heads/main", Outside),
    ("refs/heads\0/main", Outside),
    (" refs/heads/main", Outside),
    ("--upload-pack=id", Outside),
    ("config", Outside),
    // options of commands
    ("refs/heads/-d", Hyphen),
    ("refs/heads/--upload-pack=touch", Hyphen),
    ("refs/heads/a/-b", Hyphen),
    ("refs/tags/-", Hyphen),
    // what a shell would act upon
    ("refs/heads/$(id)", Character),
    ("refs/heads/`id`", Character),
    ("refs/heads/a;id", Character),
    ("refs/heads/a|id", Character),
    ("refs/heads/a&id", Character),
    ("refs/heads/a>b", Character),
    ("refs/heads/a b", Character),
    ("refs/heads/'a'", Character),
    ("refs/heads/\"a\"", Character),
    ("refs/heads/a*", Character),
    ("refs/heads/a?", Character),
    ("refs/heads/[a]", Character),
    ("refs/heads/{a}", Character),
    ("refs/heads/!a", Character),
    ("refs/heads/a\\b", Character),
    ("refs/heads/~root", Character),
    ("refs/heads/#a", Character),
    ("refs/heads/%2e%2e", Character),
    ("refs/heads/a,b", Character),
    // what git's own commands would act upon
    ("refs/heads/a^", Character),
    ("refs/heads/a~1", Character),
    ("refs/heads/a:b", Character),
    ("refs/heads/a@{1}", Character),
    ("refs/heads/HEAD", Head),
    ("refs/tags/HEAD", Head),
    ("refs/heads/@", Head),
    // control characters
    ("refs/heads/a\0b", Character),
    ("refs/heads/a\nok refs/heads/main", Character),
    ("refs/heads/a\r", Character),
    ("refs/heads/a\tb", Character),
    ("refs/heads/\u{1b}[2J", Character),
    ("refs/heads/a\u{7f}", Character),
    ("refs/heads/a\u{85}", Character),
    // what looks like something else, or was not UTF-8
    ("refs/heads/m\u{430}in", Character),
    ("refs/heads/main\u{200b}", Character),
    ("refs/heads/\u{202e}niam", Character),
    ("refs/heads/a\u{2215}b", Character),
    ("refs/heads/\u{ff0e}\u{ff0e}", Character),
    ("refs/heads/\u{fffd}", Character),
    // paths
    ("refs/heads/", EmptyPart),
    ("refs/tags/", EmptyPart),
    ("refs/heads/a/", EmptyPart),
    ("refs/heads//a", EmptyPart),
    ("refs/heads/a//b", EmptyPart),
    ("refs/heads/..", TwoDots),
    ("refs/heads/../../config", TwoDots),
    ("refs/heads/a/../b", TwoDots),
    ("refs/heads/a..b", TwoDots),
    ("refs/heads/.", Dot),
    ("refs/heads/.git", Dot),
    ("refs/heads/a/.hidden", Dot),
    ("refs/heads/a.", Dot),
    ("refs/heads/main.lock", Lock),
    ("refs/heads/a.lock/b", Lock),
];

#[test]
fn ordinary_names_pass() {
    for branch in
        ["main", "feature/login", "fix_1.2", "dependabot/npm/@types=node-20", "a+b", "x@y", "A", "a/HEAD"]
    {
        assert_eq!(check(&format!("refs/heads/{branch}")), Ok(RefKind::Branch(branch)));
        assert_eq!(check(&format!("refs/tags/{branch}")), Ok(RefKind::Tag(branch)));
    }
}

#[test]
fn hostile_names_are_refused_with_their_rule() {
    for (name, rule) in HOSTILE {
        assert_eq!(check(name), Err(*rule), "{name:?}");
    }
}

#[test]
fn names_have_a_length() {
    let longest = format!("refs/heads/{}", "x".repeat(NAME_MAX - "refs/heads/".len()));
    assert!(check(&longest).is_ok());
    assert_eq!(check(&format!("{longest}x")), Err(TooLong));
    assert_eq!(check(&format!("refs/heads/{}", "x".repeat(4096))), Err(TooLong));
    assert_eq!(check(&"x/".repeat(100_000)), Err(TooLong));
    assert_eq!(TooLong.to_string(), "a ref's name has at most 200 bytes");
}
