//! What is replaced, and all that is not.

use super::*;
use crate::tree::Tree;

const FILES: [&str; 6] = ["Dockerfile", "package.json", "package-lock.json", "src/a/x", "src/b/y", "web/z"];

fn tree() -> Tree {
    let file = |path: &str| Entry { path: path.to_owned(), kind: Kind::File, size: 1, link: String::new() };
    let mut entries: Vec<Entry> = FILES.iter().map(|path| file(path)).collect();
    let directories = ["src", "src/a", "src/b", "web"];
    entries.extend(directories.map(|path| Entry { kind: Kind::Directory, ..file(path) }));
    entries.push(Entry { kind: Kind::Symlink, link: "web".to_owned(), ..file("link") });
    Tree::new(entries)
}

/// Part 0: the top, 1: src/a, 2: src/b and web.
fn rewritten(dockerfile: &str) -> String {
    let tree = tree();
    let entries: Vec<&Entry> = tree.entries().iter().collect();
    let part = |name: &str, paths: &[&str]| {
        let mut places: Vec<usize> = paths.iter().map(|path| tree.position(path).unwrap()).collect();
        places.sort_unstable();
        Part { name: name.to_owned(), places }
    };
    let parts = [
        part("top", &["Dockerfile", "package.json", "package-lock.json", "link"]),
        part("src/a", &["src", "src/a", "src/a/x"]),
        part("rest", &["src", "src/b", "src/b/y", "web", "web/z"]),
    ];
    let secrets = BTreeSet::from(["npm".to_owned(), "pip".to_owned()]);
    let rewritten = rewrite(dockerfile.as_bytes(), &entries, &parts, &secrets);
    assert_eq!(rewritten.lines.len(), String::from_utf8_lossy(&rewritten.bytes).lines().count());
    String::from_utf8(rewritten.bytes).unwrap()
}

#[test]
fn a_directory_is_copied_part_by_part() {
    assert_eq!(
        rewritten("FROM a\nCOPY . /app\nRUN b\n"),
        "FROM a\nCOPY --from=slipway-part-0 . /app\nCOPY --from=slipway-part-1 . /app\nCOPY --from=slipway-part-2 . /app\nRUN b\n"
    );
    assert_eq!(
        rewritten("copy --chown=1:1 --link ./src/ src"),
        "COPY --from=slipway-part-1 --chown=1:1 --link ./src/ src\nCOPY --from=slipway-part-2 --chown=1:1 --link ./src/ src"
    );
    assert_eq!(rewritten("COPY src/a ./\n"), "COPY --from=slipway-part-1 src/a ./\n");
}

#[test]
fn files_come_from_the_part_they_are_in() {
    assert_eq!(rewritten("COPY package*.json ./\n"), "COPY --from=slipway-part-0 package*.json ./\n");
    assert_eq!(rewritten("COPY /web/z Dockerfile /d/\n"), "COPY /web/z Dockerfile /d/\n", "of two parts");
    assert_eq!(rewritten("COPY web/z src/b/y /d/\n"), "COPY --from=slipway-part-2 web/z src/b/y /d/\n");
}

#[test]
fn what_is_not_plain_stays() {
    for text in [
        "COPY --from=x . .\n",
        "COPY --exclude=a . .\n",
        "COPY --parents . .\n",
        "COPY [\".\", \".\"]\n",
        "COPY $DIR .\n",
        "COPY . \\\n  .\n",
        "RUN <<EOF\nCOPY . .\nEOF\n",
        "COPY <<EOF /x\nhello\nEOF\n",
        "ADD . .\n",
        "ONBUILD COPY . .\n",
        "COPY gone .\n",
        "COPY link .\n",
        "COPY link/z .\n",
        "COPY * .\n",
        "COPY **/x .\n",
        "COPY ../x .\n",
        "COPY .\n",
        "# COPY . .\n",
    ] {
        assert_eq!(rewritten(text), text);
    }
}

#[test]
fn a_step_that_mounts_a_secret_depends_on_it() {
    let npm = "--mount=type=bind,from=slipway-secrets,source=/npm,target=/run/slipway-secrets/npm";
    let pip = npm.replace("npm", "pip");
    for (mount, added) in [
        ("--mount=type=secret,id=npm", vec![npm]),
        ("--mount=type=secret,target=/x/pip", vec![pip.as_str()]),
        ("--mount=type=cache,target=/c --mount=id=npm,type=secret,env=T", vec![npm]),
        ("--mount=type=secret,id=$WHICH", vec![npm, &pip]),
        ("--mount=type=secret,id=\"npm\"", vec![npm, &pip]),
    ] {
        let added: String = added.iter().map(|it| format!(" {it}")).collect();
        assert_eq!(rewritten(&format!("RUN {mount} make\n")), format!("RUN{added} {mount} make\n"));
    }
    let text = "RUN --network=none \\\n  --mount=type=secret,id=npm \\\n  make\n";
    assert_eq!(rewritten(text), text.replacen("RUN", &format!("RUN {npm}"), 1));
    for text in [
        "RUN --mount=type=secret,id=other make\n",
        "RUN --mount=type=cache,target=/c make\n",
        "RUN make\n",
        "RUNS x\n",
    ] {
        assert_eq!(rewritten(text), text);
    }
}

#[test]
fn lines_lead_back_to_the_original() {
    let tree = tree();
    let entries: Vec<&Entry> = tree.entries().iter().collect();
    let parts: Vec<Part> =
        (0..entries.len()).map(|place| Part { name: String::new(), places: vec![place] }).collect();
    let rewritten = rewrite(b"FROM a\nCOPY src .\nRUN b\n", &entries, &parts, &BTreeSet::new());
    assert_eq!(rewritten.lines, [1, 2, 2, 3]);
    let reason =
        |line: usize| Reason::new(ReasonCode::DockerfileInvalid, format!("Dockerfile line {line}: no"));
    assert_eq!(rewritten.in_original(reason(4)).message, "Dockerfile line 3: no");
    assert_eq!(rewritten.in_original(reason(9)).message, "Dockerfile line 9: no");
}

#[test]
fn steps_are_shown_by_the_names_their_author_knows() {
    let parts = [Part { name: "src".to_owned(), places: vec![] }];
    assert_eq!(original_name("[2/5] COPY --from=slipway-part-0 . .", &parts), "[2/5] COPY . . (src)");
    let mount = secret_mount("npm");
    assert_eq!(
        original_name(&format!("[3/5] RUN {mount} --mount=type=secret,id=npm make"), &parts),
        "[3/5] RUN --mount=type=secret,id=npm make"
    );
    assert_eq!(original_name("[1/5] FROM a", &parts), "[1/5] FROM a");
}
