//! Trees and names that were made to do harm: each is refused with words that help an honest user, or does none.

use anyhow::{Context as _, Result};
use gitwire::report::Verdict;
use harness::client::{self, SIDE_BAND, update};
use harness::platform::Platform;
use harness::remote::{Remote, Said};
use harness::words::assert_lines;
use harness::{app, platform, remote, tree};

/// What is added to the tree of an ordinary application.
struct Hostile {
    mode: &'static str,
    name: &'static str,
    /// Of the file or the link; a directory holds this as the file `config`.
    content: &'static str,
    /// Why `main` is refused; nothing when the tree does no harm.
    why: Option<&'static str>,
}

const fn refused(
    mode: &'static str,
    name: &'static str,
    content: &'static str,
    why: &'static str,
) -> Hostile {
    Hostile { mode, name, content, why: Some(why) }
}

const fn harmless(mode: &'static str, name: &'static str, content: &'static str) -> Hostile {
    Hostile { mode, name, content, why: None }
}

const DIRECTORY: &str = "40000";
const FILE: &str = "100644";
const LINK: &str = "120000";
const SUBMODULE: &str = "160000";

const TREES: &[Hostile] = &[
    refused(DIRECTORY, ".git", "[core]", "object *: hasDotgit: contains '.git'"),
    refused(DIRECTORY, ".GIT", "[core]", "object *: hasDotgit: contains '.git'"),
    refused(DIRECTORY, ".g\u{200c}it", "[core]", "object *: hasDotgit: contains '.git'"),
    refused(DIRECTORY, "..", "", "object *: hasDotdot: contains '..'"),
    refused(FILE, "a/b", "", "object *: fullPathname: contains full pathnames"),
    refused(FILE, "server.js", "", "object *: duplicateEntries: contains duplicate file entries"),
    refused(
        FILE,
        ".gitmodules",
        "[submodule \"a\"]\n\tpath = -u\n",
        "object *: gitmodulesPath: disallowed submodule path: -u",
    ),
    refused(
        FILE,
        ".gitmodules",
        "[submodule \"a\"]\n\tpath = a\n\turl = -u\n",
        "object *: gitmodulesUrl: disallowed submodule url: -u",
    ),
    refused(
        FILE,
        ".gitmodules",
        "[submodule \"../a\"]\n\tpath = a\n",
        "object *: gitmodulesName: disallowed submodule name: ../a",
    ),
    refused(LINK, ".gitmodules", "server.js", "object *: gitmodulesSymlink: .gitmodules is a symbolic link"),
    refused(
        LINK,
        "secrets",
        "/etc/passwd",
        "build #* failed: secrets: the symbolic link leads to \"/etc/passwd\", which is outside the repository. *",
    ),
    refused(
        SUBMODULE,
        "vendored",
        "",
        "build #* failed: vendored: this is a submodule, and submodules are not supported yet. *",
    ),
    harmless(FILE, ".gitmodules", "[submodule \"a\"]\n\tpath = a\n\turl = file:///etc\n"),
    harmless("100666", "writable", "x"),
];

#[tokio::test]
async fn hostile_trees() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "trees", "static").await?;
    for hostile in TREES {
        let commit = commit(&app, hostile).await?;
        // Each stands for itself: none of them leads to the one before.
        let push =
            remote::push(&app, &["-o", "wait=built"], &[&format!("+{commit}:refs/heads/main")]).await?;
        let what = format!("{} {:?}: {}", hostile.mode, hostile.name, push.text);
        match hostile.why {
            None => {
                assert_eq!(push.code, Some(0), "{what}");
                // What it leads to is what the next one has to replace.
                app::settled(&platform, &app.app, &commit).await?;
            }
            Some(why) => {
                assert_eq!(push.code, Some(1), "{what}");
                let expected = format!(" ! [remote rejected] {commit} -> main ({why})");
                assert_lines(&[push.of_ref("main").with_context(|| what)?], &[expected]);
            }
        }
    }
    // Nothing that git refused became a build.
    let built = TREES.iter().filter(|it| it.why.is_none_or(|why| why.starts_with("build"))).count();
    assert_eq!(app::builds(&platform, &app.app).await?.len(), built);
    remote::put_away(&platform, &app).await
}

/// A commit of the application's tree and the hostile entry.
async fn commit(app: &Remote, hostile: &Hostile) -> Result<String> {
    let content = store(app, "blob", hostile.content.as_bytes()).await?;
    let object = match hostile.mode {
        DIRECTORY => store(app, "tree", &entry(FILE, "config", &content)?).await?,
        SUBMODULE => tree::git(&app.tree, &["rev-parse", "HEAD"]).await?.trim().to_owned(),
        _ => content,
    };
    let listed = tree::git(&app.tree, &["ls-tree", "HEAD"]).await?;
    let mut entries =
        vec![(sorted_as(hostile.mode, hostile.name), entry(hostile.mode, hostile.name, &object)?)];
    for line in listed.lines() {
        let (meta, name) = line.split_once('\t').context("a name")?;
        let mut words = meta.split(' ');
        let (mode, object) = (words.next().context("a mode")?, words.nth(1).context("an object")?);
        let mode = mode.trim_start_matches('0');
        entries.push((sorted_as(mode, name), entry(mode, name, object)?));
    }
    entries.sort();
    let bytes: Vec<u8> = entries.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let root = store(app, "tree", &bytes).await?;
    let message = format!("{} {}", hostile.mode, hostile.name.escape_debug());
    Ok(tree::git(&app.tree, &["commit-tree", "-m", &message, &root]).await?.trim().to_owned())
}

/// Git orders directories as if their names ended with a slash.
fn sorted_as(mode: &str, name: &str) -> String {
    if mode == DIRECTORY { format!("{name}/") } else { name.to_owned() }
}

fn entry(mode: &str, name: &str, object: &str) -> Result<Vec<u8>> {
    Ok([format!("{mode} {name}\0").as_bytes(), &hex::decode(object)?].concat())
}

/// Whatever is in it.
async fn store(app: &Remote, kind: &str, bytes: &[u8]) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(&file, bytes)?;
    let path = file.path().to_string_lossy();
    let stored =
        tree::git(&app.tree, &["hash-object", "-t", kind, "-w", "--literally", "--no-filters", &path])
            .await?;
    Ok(stored.trim().to_owned())
}

const OUTSIDE: &str = "only refs/heads/ and refs/tags/ can be pushed";
const CHARACTER: &str = "a ref's name holds only letters a-z and A-Z, digits, slashes and . _ + @ = -";
const HYPHEN: &str = "no part of a ref's name starts with a hyphen";
const DOT: &str = "no part of a ref's name starts or ends with a dot";
const TWO_DOTS: &str = "a ref's name does not hold two dots in a row";
const EMPTY_PART: &str = "a ref's name has something between its slashes and does not end with one";
const LOCK: &str = "no part of a ref's name ends with .lock";
const HEAD: &str = "a branch or tag cannot be called HEAD or @, which stand for another one";

/// The name, why it is refused, and whether git itself would send it.
const NAMES: &[(&str, &str, bool)] = &[
    ("HEAD", OUTSIDE, false),
    ("refs/replace/1111111111111111111111111111111111111111", OUTSIDE, true),
    ("refs/pushes/0199/heads/main", OUTSIDE, true),
    ("refs/remotes/origin/main", OUTSIDE, true),
    ("refs/stash", OUTSIDE, true),
    ("../refs/heads/main", OUTSIDE, false),
    ("config", OUTSIDE, false),
    ("refs/heads/-d", HYPHEN, true),
    ("refs/heads/--upload-pack=touch", HYPHEN, true),
    ("refs/heads/a/-b", HYPHEN, true),
    ("refs/heads/$(id)", CHARACTER, true),
    ("refs/heads/`id`", CHARACTER, true),
    ("refs/heads/a;id", CHARACTER, true),
    ("refs/heads/a|id", CHARACTER, true),
    ("refs/heads/'a'", CHARACTER, true),
    ("refs/heads/{a}", CHARACTER, true),
    ("refs/heads/m\u{430}in", CHARACTER, true),
    ("refs/heads/\u{202e}niam", CHARACTER, true),
    ("refs/heads/%2e%2e", CHARACTER, true),
    ("refs/heads/a b", CHARACTER, false),
    ("refs/heads/a~1", CHARACTER, false),
    ("refs/heads/a\nok refs/heads/main", CHARACTER, false),
    ("refs/heads/\u{1b}[2J", CHARACTER, false),
    ("refs/heads/a@{1}", CHARACTER, false),
    ("refs/heads/HEAD", HEAD, true),
    ("refs/heads/@", HEAD, true),
    ("refs/heads/a//b", EMPTY_PART, false),
    ("refs/heads/../../config", TWO_DOTS, false),
    ("refs/heads/.git", DOT, false),
    ("refs/heads/main.lock", LOCK, false),
];

#[tokio::test]
async fn hostile_names() -> Result<()> {
    let _lock = platform::share()?;
    let platform = Platform::from_env()?;
    let app = remote::create(&platform, "names", "static").await?;
    let commit = tree::git(&app.tree, &["rev-parse", "HEAD"]).await?;
    for (name, why, is_sent) in NAMES {
        let body = client::body(&[update(name, None, Some(commit.trim()))?], SIDE_BAND, b"");
        let answer = client::push(&platform, &app.app.name, body).await?;
        let verdicts = answer.report.with_context(|| format!("{name:?}: {}", answer.text))?.verdicts;
        // A report cannot say where a name that holds a space ends.
        let is_refused = |it: &Verdict| it.result.as_ref().is_err_and(|it| it.ends_with(why));
        assert!(verdicts.len() == 1 && is_refused(&verdicts[0]), "{name:?}: {verdicts:?}");

        // Of shorter names git makes branches.
        if !name.starts_with("refs/") {
            continue;
        }
        let push: Said = remote::push(&app, &[], &[&format!("HEAD:{name}")]).await?;
        let shown =
            ["refs/heads/", "refs/remotes/"].iter().find_map(|it| name.strip_prefix(it)).unwrap_or(name);
        let expected = format!(" ! [remote rejected] HEAD -> {shown} ({why})");
        if *is_sent {
            assert_eq!((push.code, push.of_ref(shown)), (Some(1), Some(expected.as_str())), "{}", push.text);
        } else {
            assert!(push.code != Some(0) && push.remote.is_empty(), "{name:?}: {}", push.text);
        }
    }
    Ok(())
}
