//! One pattern of a .dockerignore file, as moby's patternmatcher understands it: not a gitignore pattern.
//! Matching takes time linear in pattern times path, whatever the pattern.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Glob {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Tokens(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Char(char),
    /// `?`: one character of a name.
    AnyChar,
    /// `*`: any characters of one name.
    Star,
    /// `**` before something: nothing, or anything that ends with `/`.
    Directories,
    /// `**` at the end: anything.
    Rest,
    /// `[a-z]`, `[^a]`; unlike the others it may match `/`.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// How a pattern is matched depends on what was seen in it so far; some oddities of the original follow from that:
/// `**foo` matches `xfoo`, but `**foo*` only a name that starts with `foo`.
#[derive(PartialEq)]
enum Seen {
    Plain,
    PlainThenRest,
    RestThenPlain,
    Special,
}

/// `None` when the pattern is malformed. `pattern` is clean: no `.`, `..` or empty part, no `/` at its ends.
pub(crate) fn compile(pattern: &str) -> Option<Glob> {
    let mut seen = Seen::Plain;
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let first = tokens.is_empty();
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                let at_end = chars.peek().is_none();
                tokens.push(if at_end { Token::Rest } else { Token::Directories });
                seen = match (first, at_end, seen) {
                    (true, ..) => Seen::RestThenPlain,
                    (false, true, Seen::Plain) => Seen::PlainThenRest,
                    _ => Seen::Special,
                };
                continue;
            }
            '*' => tokens.push(Token::Star),
            '?' => tokens.push(Token::AnyChar),
            '\\' => tokens.push(Token::Char(chars.next()?)),
            '[' => tokens.push(class(&mut chars)?),
            c => {
                tokens.push(Token::Char(c));
                continue;
            }
        }
        seen = Seen::Special;
    }
    Some(match seen {
        Seen::Plain => Glob::Exact(pattern.to_owned()),
        Seen::PlainThenRest => Glob::Prefix(pattern.strip_suffix("**")?.to_owned()),
        Seen::RestThenPlain => Glob::Suffix(pattern.strip_prefix("**")?.to_owned()),
        Seen::Special => Glob::Tokens(tokens),
    })
}

/// The rest of a class, after its `[`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        c => Some(c),
    }
}

pub(crate) fn matches(glob: &Glob, path: &str) -> bool {
    match glob {
        Glob::Exact(exact) => path == exact,
        Glob::Prefix(prefix) => path.starts_with(prefix.as_str()),
        Glob::Suffix(suffix) => path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path),
        Glob::Tokens(tokens) => run(tokens, path),
    }
}

/// Steps through `path` with the set of all tokens that may come next: no backtracking.
fn run(tokens: &[Token], path: &str) -> bool {
    let mut now = vec![false; tokens.len() + 1];
    let mut next = now.clone();
    enter(tokens, &mut now, 0);
    for c in path.chars() {
        next.fill(false);
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| now[*at]) {
            match token {
                Token::Char(wanted) if *wanted == c => enter(tokens, &mut next, at + 1),
                Token::AnyChar if c != '/' => enter(tokens, &mut next, at + 1),
                Token::Class { negated, ranges } if in_ranges(ranges, c) != *negated => {
                    enter(tokens, &mut next, at + 1);
                }
                Token::Star if c != '/' => enter(tokens, &mut next, at),
                Token::Rest => enter(tokens, &mut next, at),
                Token::Directories => {
                    next[at] = true;
                    if c == '/' {
                        enter(tokens, &mut next, at + 1);
                    }
                }
                Token::Char(_) | Token::AnyChar | Token::Class { .. } | Token::Star => {}
            }
        }
        std::mem::swap(&mut now, &mut next);
    }
    now[tokens.len()]
}

/// Adds token `at`, and those after it for as long as the ones before may match nothing.
fn enter(tokens: &[Token], set: &mut [bool], mut at: usize) {
    loop {
        set[at] = true;
        match tokens.get(at) {
            Some(Token::Star | Token::Rest | Token::Directories) => at += 1,
            Some(Token::Char(_) | Token::AnyChar | Token::Class { .. }) | None => return,
        }
    }
}

fn in_ranges(ranges: &[(char, char)], c: char) -> bool {
    ranges.iter().any(|(low, high)| (*low..=*high).contains(&c))
}
