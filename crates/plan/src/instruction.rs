//! A Dockerfile as the lines of its instructions: as much of its grammar as is needed to find instructions that may be
//! replaced. What is not understood is left as it is.

/// One line of a Dockerfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'t> {
    /// With its line feed.
    pub(crate) text: &'t str,
    pub(crate) role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// All of an instruction.
    Whole,
    /// The first line of one that goes on.
    First,
    /// A comment, an empty line, a later line of an instruction, or text of a here-document.
    Other,
}

/// The lines of a Dockerfile that is known to be one (see [`crate::dockerfile`]).
pub(crate) fn lines(text: &str) -> Vec<Line<'_>> {
    let escape = escape(text);
    let mut lines = Vec::new();
    // Ends of here-documents that are still to come.
    let mut documents: Vec<&str> = Vec::new();
    let mut continues = false;
    for text in text.split_inclusive('\n') {
        let bare = text.trim();
        if let Some(end) = documents.first() {
            if bare == *end {
                documents.remove(0);
            }
            lines.push(Line { text, role: Role::Other });
            continue;
        }
        if bare.is_empty() || bare.starts_with('#') {
            lines.push(Line { text, role: Role::Other });
            continue;
        }
        let goes_on = bare.ends_with(escape);
        let role = match (continues, goes_on) {
            (true, _) => Role::Other,
            (false, true) => Role::First,
            (false, false) => Role::Whole,
        };
        lines.push(Line { text, role });
        continues = goes_on;
        documents = here_documents(bare);
    }
    lines
}

/// The directive `# escape=` stands before everything else.
fn escape(text: &str) -> char {
    let directives = text.lines().take_while(|line| line.starts_with('#'));
    let value = directives
        .filter_map(|line| line[1..].split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("escape"));
    if value.is_some_and(|(_, value)| value.trim() == "`") { '`' } else { '\\' }
}

/// The words that end the here-documents that begin on this line: `<<EOF`, `<<-"EOF"`.
fn here_documents(line: &str) -> Vec<&str> {
    let begins = line.split("<<").skip(1).map(|rest| rest.trim_start_matches('-'));
    let word = |rest: &'_ str| -> usize {
        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
    };
    begins
        .filter_map(|rest| {
            let quoted = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
            let word = &quoted[..word(quoted)];
            (!word.is_empty()).then_some(word)
        })
        .collect()
}

/// Keyword, flags and the rest of an instruction that is one line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Instruction<'t> {
    pub(crate) keyword: &'t str,
    pub(crate) flags: Vec<&'t str>,
    pub(crate) arguments: Vec<&'t str>,
}

pub(crate) fn parse(line: &str) -> Option<Instruction<'_>> {
    let mut words = line.split_whitespace().peekable();
    let keyword = words.next()?;
    let mut flags = Vec::new();
    while let Some(flag) = words.next_if(|word| word.starts_with("--")) {
        flags.push(flag);
    }
    Some(Instruction { keyword, flags, arguments: words.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(text: &str) -> String {
        let letter = |line: &Line<'_>| match line.role {
            Role::Whole => 'W',
            Role::First => 'F',
            Role::Other => '.',
        };
        lines(text).iter().map(letter).collect()
    }

    #[test]
    fn instructions_go_on_over_lines() {
        assert_eq!(roles("FROM a\nRUN a \\\n  b \\\n\n# c\n  d\nCOPY . .\n"), "WF....W");
        assert_eq!(roles("# escape=`\nFROM a\nRUN a `\n b\nRUN c \\\nRUN d"), ".WF.WW");
    }

    #[test]
    fn here_documents_are_no_instructions() {
        assert_eq!(roles("RUN <<EOF\nCOPY . .\nEOF\nCOPY . .\n"), "W..W");
        assert_eq!(roles("COPY <<-\"A\" <<B /x/\nCOPY . .\nA\nb\nB\nRUN a\n"), "W....W");
        assert_eq!(roles("RUN a \\\n  <<EOF\nCOPY . .\nEOF\nRUN b\n"), "F...W");
    }

    #[test]
    fn words_of_an_instruction() {
        let parsed = parse("  copy --chown=1:1  --link a  b/ ./\n").unwrap();
        assert_eq!(
            (parsed.keyword, parsed.flags, parsed.arguments),
            ("copy", vec!["--chown=1:1", "--link"], vec!["a", "b/", "./"])
        );
        assert_eq!(parse("  \n"), None);
    }
}
