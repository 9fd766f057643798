//! The Dockerfile's bytes as BuildKit may get them: its built-in frontend is the only one that ever runs.
//!
//! `# syntax=docker/dockerfile:1` would make BuildKit pull a frontend image from Docker Hub and run it; the built-in one
//! is the same program, so such lines are taken out. Any other frontend is somebody's own program and refused.

/// Frontends that are the built-in one under another name; a tag or digest may follow.
const BUILT_IN: &[&str] = &["docker/dockerfile", "docker/dockerfile-upstream"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) line: Option<usize>,
    pub(crate) what: String,
}

fn at(line: usize, what: impl Into<String>) -> Invalid {
    Invalid { line: Some(line), what: what.into() }
}

/// The bytes to build from. Every instruction keeps its line number.
pub(crate) fn sanitize(bytes: &[u8]) -> Result<Vec<u8>, Invalid> {
    let text = decode(bytes)?;
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let shebang = usize::from(lines.first().is_some_and(|it| it.starts_with("#!")));
    let body = lines[shebang..].concat();
    // Both are forms in which BuildKit would look for a frontend's name too.
    if body.starts_with("//") || body.trim_start().starts_with('{') {
        return Err(at(shebang + 1, "this is not a Dockerfile: comments start with #"));
    }
    let directives: Vec<_> = lines[shebang..].iter().map_while(|it| directive(it)).collect();
    let mut syntax =
        (shebang..).zip(&directives).filter(|(_, (name, _))| name.eq_ignore_ascii_case("syntax"));
    if let Some((index, (_, value))) = syntax.next() {
        if !is_built_in(value) {
            return Err(at(
                index + 1,
                format!("the frontend {value:?} is not allowed: only docker/dockerfile is"),
            ));
        }
        if let Some((again, _)) = syntax.next() {
            return Err(at(again + 1, "only one syntax line can be used"));
        }
        // An empty comment in its place would end the directives; behind the last of them it does no harm.
        lines.remove(index);
        lines.insert(shebang + directives.len() - 1, "#\n");
    }
    if !lines.iter().any(|it| is_instruction(it)) {
        return Err(Invalid { line: None, what: "it has no instruction".to_owned() });
    }
    Ok(lines.concat().into_bytes())
}

fn decode(bytes: &[u8]) -> Result<&str, Invalid> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(at(1, "the file is UTF-16: save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        at(before.iter().filter(|it| **it == b'\n').count() + 1, "the file is not UTF-8")
    })
}

/// Name and value of a parser directive such as `# escape=\`. Only those at the top count, and only known names:
/// the first line of any other kind ends them.
fn directive(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let known = ["syntax", "escape", "check"].iter().any(|it| name.eq_ignore_ascii_case(it));
    (known && !value.is_empty()).then_some((name, value))
}

fn is_built_in(syntax: &str) -> bool {
    let image = syntax.split_whitespace().next().unwrap_or_default();
    let image =
        image.strip_prefix("docker.io/").or_else(|| image.strip_prefix("index.docker.io/")).unwrap_or(image);
    let name = image.split(['@', ':']).next().unwrap_or_default();
    BUILT_IN.contains(&name)
}

fn is_instruction(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanitized(text: &str) -> String {
        String::from_utf8(sanitize(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn takes_known_frontends_out() {
        for known in [
            "# syntax=docker/dockerfile:1",
            "#syntax = docker/dockerfile:1.7-labs",
            "# SYNTAX=docker.io/docker/dockerfile",
            "# syntax=docker/dockerfile:1@sha256:aa --opt",
            "# syntax=docker/dockerfile-upstream:master\r",
        ] {
            assert_eq!(sanitized(&format!("{known}\nFROM a\n")), "#\nFROM a\n", "{known}");
        }
    }

    #[test]
    fn other_directives_keep_their_effect_and_instructions_their_lines() {
        let text = "# syntax=docker/dockerfile:1\n# escape=`\n# a comment\nFROM a";
        assert_eq!(sanitized(text), "# escape=`\n#\n# a comment\nFROM a");
        let text = "#!/bin/build\n# check=skip=all\n# syntax=docker/dockerfile:1\nFROM a\n";
        assert_eq!(sanitized(text), "#!/bin/build\n# check=skip=all\n#\nFROM a\n");
    }

    #[test]
    fn what_is_no_directive_stays() {
        for text in [
            "FROM a\n# syntax=evil/frontend\n",
            "\n# syntax=evil/frontend\nFROM a\n",
            "# hello\n# syntax=evil/frontend\nFROM a\n",
            " # syntax=evil/frontend\nFROM a\n",
            "# syntax=\nFROM a\n",
        ] {
            assert_eq!(sanitized(text), text);
        }
        assert_eq!(sanitized("\u{feff}FROM a"), "FROM a");
    }

    #[test]
    fn refuses_with_the_line() {
        for (text, line) in [
            ("# syntax=evil/frontend\nFROM a\n", Some(1)),
            ("# escape=`\n# syntax=docker/dockerfile.evil:1\nFROM a\n", Some(2)),
            ("# syntax=registry.example/docker/dockerfile:1\nFROM a\n", Some(1)),
            ("# syntax=docker/dockerfile:1\n# syntax=evil/frontend\nFROM a\n", Some(2)),
            ("#!/x\n#syntax=evil\nFROM a\n", Some(2)),
            ("// syntax=evil/frontend\nFROM a\n", Some(1)),
            ("{\"syntax\": \"evil/frontend\"}", Some(1)),
            ("#!/x\n\n {\"syntax\": \"evil/frontend\"}", Some(2)),
            ("", None),
            ("# only\n\n  # comments\n", None),
        ] {
            assert_eq!(sanitize(text.as_bytes()).unwrap_err().line, line, "{text:?}");
        }
    }

    #[test]
    fn refuses_other_encodings() {
        let utf16: Vec<u8> = "\u{feff}FROM a".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(sanitize(&utf16).unwrap_err().what.contains("UTF-16"));
        assert_eq!(sanitize(b"FROM a\nRUN \xff\n").unwrap_err().line, Some(2));
    }
}
