//! The header `traceparent` of W3C Trace Context: the span of somebody else's trace that a request goes on from.

use std::fmt;

use http::HeaderMap;

use super::TraceId;

const HEADER: &str = "traceparent";
/// The only flag that is looked at. What the others mean is not known here, so they are not passed on.
const SAMPLED: u128 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace: TraceId,
    pub span: u64,
    /// Whether whoever began the trace keeps it.
    pub is_sampled: bool,
}

/// What the request says of itself. `None`: nothing, or not in the way that the standard wants it, and then it says to go
/// on as if there were no header. Only for requests whose sender is known.
pub fn of(headers: &HeaderMap) -> Option<Parent> {
    let mut values = headers.get_all(HEADER).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => parse(value.to_str().ok()?),
        _ => None,
    }
}

/// As it is written in the header.
pub fn parse(value: &str) -> Option<Parent> {
    let mut fields = value.splitn(5, '-');
    let mut field = |digits: usize| fields.next().and_then(|it| hex(it, digits));
    let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    // Later versions may add fields.
    if version == 0xff || (version == 0 && fields.next().is_some()) || trace == 0 || span == 0 {
        return None;
    }
    let span = u64::try_from(span).ok()?;
    Some(Parent { trace: TraceId(trace), span, is_sampled: flags & SAMPLED != 0 })
}

fn hex(field: &str, digits: usize) -> Option<u128> {
    let is_hex = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_hex && field.len() == digits).then(|| u128::from_str_radix(field, 16).ok()).flatten()
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace.0, self.span, u8::from(self.is_sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (http::HeaderName::from_static(HEADER), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_parent_is_written_as_it_was_read() {
        for (flags, is_sampled) in [("00", false), ("01", true)] {
            let value = format!("00-{TRACE}-{SPAN}-{flags}");
            let parent = of(&headers(&[&value])).unwrap();
            assert_eq!(parent.trace.0, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
            assert_eq!((parent.span, parent.is_sampled), (0xb7ad_6b71_6920_3331, is_sampled));
            assert_eq!(parent.to_string(), value);
        }
    }

    #[test]
    fn what_is_not_known_of_it_is_left_out() {
        let known = parse(&format!("00-{TRACE}-{SPAN}-01"));
        assert!(known.is_some());
        for other in ["00-T-S-03", "00-T-S-ff", "01-T-S-01", "cc-T-S-01-what-the-future-brings", "01-T-S-09-"]
        {
            assert_eq!(parse(&other.replace('T', TRACE).replace('S', SPAN)), known, "{other}");
        }
    }

    #[test]
    fn what_is_no_parent_is_ignored() {
        for bad in [
            "",
            "-",
            "00",
            "00-T-S",
            "00-T-S-",
            "00-T-S-1",
            "00-T-S-001",
            "00-T-S-0g",
            "00-T-S-01-",
            "00-T-S-01-more",
            "ff-T-S-01",
            "FE-T-S-01",
            "0-T-S-01",
            "00-T0-S-01",
            "00-T-S0-01",
            "00-S-T-01",
            "00-00000000000000000000000000000000-S-01",
            "00-T-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-S-01",
            "00-+af7651916cd43dd8448eb211c80319c-S-01",
            "00_T_S_01",
            " 00-T-S-01",
            "01-T-S-01more",
        ] {
            let value = bad.replace('T', TRACE).replace('S', SPAN);
            assert_eq!(parse(&value), None, "{bad}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(of(&headers(&[])), None);
        assert_eq!(of(&headers(&[&good, &good])), None, "nobody knows which");
        let unreadable = http::HeaderValue::from_bytes(b"\xff").unwrap();
        assert_eq!(of(&[(http::HeaderName::from_static(HEADER), unreadable)].into_iter().collect()), None);
    }
}
