//! Whether a form was sent by one of our own pages. The cookie's `SameSite` does not tell: applications run on our
//! subdomains, which are the same site. Pure.

use axum::http::{HeaderMap, header};

/// Browsers say where a request comes from, and no page can lie about it. What says nothing is not a browser,
/// and then nobody was tricked into sending the cookie.
pub(crate) fn is_ours(headers: &HeaderMap, own_origin: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    match (text("sec-fetch-site"), headers.get(header::ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let origin = origin.to_str().unwrap_or_default();
            // A port-forward reaches the pages under another name than the public one.
            let host = origin.split_once("://").map(|(_, host)| host);
            origin == own_origin || (host.is_some() && host == text("host"))
        }
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_our_own_pages_send_forms() {
        let own = "http://slipway.localhost:8080";
        let cases = [
            (headers(&[("sec-fetch-site", "same-origin"), ("origin", own)]), true),
            (headers(&[("sec-fetch-site", "none")]), true),
            // An application on a subdomain.
            (headers(&[("sec-fetch-site", "same-site"), ("origin", own)]), false),
            (headers(&[("sec-fetch-site", "cross-site")]), false),
            (headers(&[("origin", own)]), true),
            (
                headers(&[
                    ("origin", "http://main--evil.slipway.localhost:8080"),
                    ("host", "slipway.localhost:8080"),
                ]),
                false,
            ),
            (headers(&[("origin", "http://localhost:9000"), ("host", "localhost:9000")]), true),
            (headers(&[("origin", "null"), ("host", "null")]), false),
            (headers(&[]), true),
        ];
        for (headers, expected) in cases {
            assert_eq!(is_ours(&headers, own), expected, "{headers:?}");
        }
    }
}
