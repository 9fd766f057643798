//! The session cookie. Applications run on subdomains, so the name says that no subdomain set it where browsers allow that.

use axum::http::{HeaderMap, HeaderValue, header};

const PLAIN: &str = "slipway_session";
/// Browsers take this one only over TLS and only from this very host.
const HOST_ONLY: &str = "__Host-slipway_session";

fn name(is_https: bool) -> &'static str {
    if is_https { HOST_ONLY } else { PLAIN }
}

/// All values of our cookie: without the prefix, an application on a subdomain can add one of its own before ours.
pub(crate) fn sessions(headers: &HeaderMap, is_https: bool) -> Vec<&str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name(is_https))
        .map(|(_, value)| value)
        .take(4)
        .collect()
}

/// A cookie for the browser's session, known here for as long as the store keeps it.
pub(crate) fn set(secret: &str, is_https: bool) -> anyhow::Result<HeaderValue> {
    Ok(HeaderValue::from_str(&with(secret, is_https, ""))?)
}

pub(crate) fn clear(is_https: bool) -> anyhow::Result<HeaderValue> {
    Ok(HeaderValue::from_str(&with("", is_https, "; Max-Age=0"))?)
}

fn with(value: &str, is_https: bool, more: &str) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{more}", name(is_https))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cookie_of_our_name_is_found() {
        let mut headers = HeaderMap::new();
        headers
            .append(header::COOKIE, HeaderValue::from_static("a=1; slipway_session=x; slipway_session2=no"));
        headers.append(header::COOKIE, HeaderValue::from_static("slipway_session=y"));
        assert_eq!(sessions(&headers, false), ["x", "y"]);
        assert!(
            sessions(&headers, true).is_empty(),
            "over TLS only the one that no subdomain can set counts"
        );
    }

    #[test]
    fn scripts_and_other_sites_do_not_get_it() {
        assert_eq!(set("x", false).unwrap(), "slipway_session=x; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(
            set("x", true).unwrap(),
            "__Host-slipway_session=x; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(clear(true).unwrap().to_str().unwrap().ends_with("; Max-Age=0"));
    }
}
