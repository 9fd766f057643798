//! Fills `{{NAME}}` in the files of deploy/local, and refuses a name that nobody gave a value.

use anyhow::Context;

pub(crate) fn render(text: &str, values: &[(&str, String)]) -> anyhow::Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").context("a placeholder is not closed with }}")?;
        let (_, value) = values
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| format!("no value for {{{{{name}}}}}"))?;
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_every_place() {
        let values = [("A", "1".to_owned()), ("B", "{{A}}".to_owned())];
        assert_eq!(render("x {{A}}{{B}} y {{A}}", &values).unwrap(), "x 1{{A}} y 1");
    }

    #[test]
    fn refuses_an_unknown_name() {
        assert_eq!(render("{{C}}", &[]).unwrap_err().to_string(), "no value for {{C}}");
        assert!(render("{{C", &[]).is_err());
    }
}
