//! Which distribution it is: `os-release`.

use crate::package::{Distribution, usable};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Release {
    /// `debian`
    pub(crate) id: Option<String>,
    /// `12`
    pub(crate) version: Option<String>,
    /// `Debian GNU/Linux`
    pub(crate) name: Option<String>,
}

impl Release {
    pub(crate) fn distribution(&self) -> Distribution<'_> {
        Distribution { id: self.id.as_deref(), version: self.version.as_deref() }
    }
}

pub(crate) fn release(text: &str) -> Release {
    let field = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let value =
            lines.filter(|(it, _)| *it == name).map(|(_, value)| value.trim_matches(['"', '\'', ' '])).next();
        value.and_then(usable).map(str::to_owned)
    };
    Release { id: field("ID"), version: field("VERSION_ID"), name: field("NAME") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments() {
        let text = "# x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\nID=debian\n";
        let of = |text: &str| Some(text.to_owned());
        let expected = Release { id: of("debian"), version: of("12"), name: of("Debian GNU/Linux") };
        assert_eq!(release(text), expected);
        assert_eq!(release("ID=\n=\n"), Release::default());
    }
}
