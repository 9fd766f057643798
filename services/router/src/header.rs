//! What a proxy does to headers (RFC 9110, section 7.6): takes off those of one connection, says who asked.

use std::net::IpAddr;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("te"),
    HeaderName::from_static("transfer-encoding"),
    UPGRADE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the message wants to change its connection into, such as `websocket`.
pub(crate) fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

/// Takes off what concerns one connection only; an upgrade is then put on again.
pub(crate) fn make_end_to_end(headers: &mut HeaderMap, upgrade: Option<HeaderValue>) {
    let named: Vec<HeaderName> = tokens(headers).filter_map(|token| token.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// Says from whom and for which host the request came. A proxy in front that ended TLS has said so itself.
pub(crate) fn add_forwarded(headers: &mut HeaderMap, peer: IpAddr) {
    let before: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let all = before
        .into_iter()
        .map(str::to_owned)
        .chain([peer.to_canonical().to_string()])
        .collect::<Vec<_>>()
        .join(", ");
    if let Ok(value) = HeaderValue::from_str(&all) {
        headers.insert(FORWARDED_FOR, value);
    }
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
}

/// The words of all Connection headers.
fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn connection_headers_end_here() {
        let mut all = headers(&[
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        assert_eq!(upgrade_of(&all), None, "an Upgrade that Connection does not name");
        make_end_to_end(&mut all, None);
        assert_eq!(all, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn an_upgrade_is_passed_on() {
        let mut all = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let upgrade = upgrade_of(&all);
        assert_eq!(upgrade, Some(HeaderValue::from_static("websocket")));
        make_end_to_end(&mut all, upgrade);
        assert_eq!(all, headers(&[("connection", "upgrade"), ("upgrade", "websocket")]));
    }

    #[test]
    fn forwarded_headers() {
        let peer = "::ffff:10.0.0.9".parse().unwrap();
        let mut all = headers(&[("host", "main--demo.s.localhost"), ("x-forwarded-host", "forged")]);
        add_forwarded(&mut all, peer);
        assert_eq!(all["x-forwarded-for"], "10.0.0.9");
        assert_eq!(all["x-forwarded-host"], "main--demo.s.localhost");
        assert_eq!(all["x-forwarded-proto"], "http");
        let mut all =
            headers(&[("host", "h"), ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")]);
        add_forwarded(&mut all, peer);
        assert_eq!(all["x-forwarded-for"], "1.2.3.4, 10.0.0.9");
        assert_eq!(all["x-forwarded-proto"], "https");
    }
}
