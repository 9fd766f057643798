//! Which names of refs may be pushed: fewer than git itself allows, since a name ends up in files, pages and commands.

/// Leaves room for what is put before a name in a file system and behind it in a report.
const NAME_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKind<'a> {
    Branch(&'a str),
    Tag(&'a str),
}

/// Each says the rule that the name breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRefName {
    #[error("only refs/heads/ and refs/tags/ can be pushed")]
    Outside,
    #[error("a ref's name has at most {NAME_MAX} bytes")]
    TooLong,
    #[error("a ref's name has something between its slashes and does not end with one")]
    EmptyPart,
    #[error("a ref's name holds only letters a-z and A-Z, digits, slashes and . _ + @ = -")]
    Character,
    #[error("no part of a ref's name starts with a hyphen")]
    Hyphen,
    #[error("no part of a ref's name starts or ends with a dot")]
    Dot,
    #[error("a ref's name does not hold two dots in a row")]
    TwoDots,
    #[error("no part of a ref's name ends with .lock")]
    Lock,
    #[error("a branch or tag cannot be called HEAD or @, which stand for another one")]
    Head,
}

/// Says what a full name like `refs/heads/main` names, or why it may not be pushed.
pub fn check(name: &str) -> Result<RefKind<'_>, BadRefName> {
    if name.len() > NAME_MAX {
        return Err(BadRefName::TooLong);
    }
    let kind = if let Some(branch) = name.strip_prefix("refs/heads/") {
        RefKind::Branch(branch)
    } else if let Some(tag) = name.strip_prefix("refs/tags/") {
        RefKind::Tag(tag)
    } else {
        return Err(BadRefName::Outside);
    };
    let (RefKind::Branch(short) | RefKind::Tag(short)) = kind;
    if matches!(short, "HEAD" | "@") {
        return Err(BadRefName::Head);
    }
    short.split('/').try_for_each(check_part)?;
    Ok(kind)
}

fn check_part(part: &str) -> Result<(), BadRefName> {
    // `{` is not among the characters, so git's `@{` cannot come about.
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._+@=-".contains(&b);
    if part.is_empty() {
        Err(BadRefName::EmptyPart)
    } else if !part.bytes().all(known) {
        Err(BadRefName::Character)
    } else if part.starts_with('-') {
        Err(BadRefName::Hyphen)
    } else if part.contains("..") {
        Err(BadRefName::TwoDots)
    } else if part.starts_with('.') || part.ends_with('.') {
        Err(BadRefName::Dot)
    } else if part.ends_with(".lock") {
        Err(BadRefName::Lock)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
