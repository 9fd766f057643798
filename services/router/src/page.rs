//! What people see when there is nothing to forward to: a small page, or plain text for programs.

use std::fmt::Write as _;

use domain::reason::Reason;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::body::{self, Body};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) title: String,
    pub(crate) text: String,
    /// The lines that prove it.
    pub(crate) lines: Vec<String>,
    /// Where more is to be seen.
    pub(crate) link: Option<String>,
    /// It will look different soon: the page loads itself again.
    pub(crate) is_passing: bool,
}

impl Page {
    pub(crate) fn new(status: StatusCode, title: impl Into<String>, text: impl Into<String>) -> Page {
        Page {
            status,
            title: title.into(),
            text: text.into(),
            lines: Vec::new(),
            link: None,
            is_passing: false,
        }
    }

    pub(crate) fn bad_request() -> Page {
        Page::new(StatusCode::BAD_REQUEST, "Bad request", "The request names no host.")
    }

    pub(crate) fn unknown(host: &str) -> Page {
        let text = format!("No environment of that name is known here: {host}");
        Page::new(StatusCode::NOT_FOUND, "Nothing here", text)
    }

    pub(crate) fn broken(error: &str) -> Page {
        let text = format!("The request did not reach an end: {error}.");
        Page::new(StatusCode::BAD_GATEWAY, "The application does not answer", text)
    }

    /// Also what `git push` prints after `remote:` while the receiver starts again.
    pub(crate) fn platform_away() -> Page {
        let text = "This part of Slipway does not answer at the moment. Try again in a few seconds.";
        let page = Page::new(StatusCode::SERVICE_UNAVAILABLE, "Slipway is starting", text);
        Page { is_passing: true, ..page }
    }

    pub(crate) fn failed(title: String, reason: Option<&Reason>) -> Page {
        let text = reason.map(|reason| format!("{}. {}", reason.message, reason.hint)).unwrap_or_default();
        let lines = reason.map(|reason| reason.lines.clone()).unwrap_or_default();
        Page { lines, ..Page::new(StatusCode::SERVICE_UNAVAILABLE, title, text) }
    }
}

/// Browsers name HTML; programs that take anything get text.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("text/html"))
}

pub(crate) fn render(page: &Page, wants_html: bool) -> Response<Body> {
    let (kind, text) = if wants_html {
        ("text/html; charset=utf-8", html(page))
    } else {
        ("text/plain; charset=utf-8", plain(page))
    };
    let mut response = Response::new(body::full(text));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    );
    if page.is_passing {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

fn plain(page: &Page) -> String {
    let mut out = format!("{}\n\n{}\n", page.title, page.text);
    for line in &page.lines {
        let _ = writeln!(out, "    {line}");
    }
    if let Some(link) = &page.link {
        let _ = writeln!(out, "\n{link}");
    }
    out
}

fn html(page: &Page) -> String {
    let refresh = if page.is_passing { "<meta http-equiv=\"refresh\" content=\"2\">" } else { "" };
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">{refresh}\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1><p>{text}</p>",
        title = escape(&page.title),
        text = escape(&page.text),
    );
    if !page.lines.is_empty() {
        let _ = write!(out, "<pre>{}</pre>", escape(&page.lines.join("\n")));
    }
    if let Some(link) = &page.link {
        let _ = write!(out, "<p><a href=\"{0}\">{0}</a></p>", escape(link));
    }
    out.push_str("</main></body></html>\n");
    out
}

const STYLE: &str = ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
                     main{max-width:44rem;margin:15vh auto;padding:0 1rem}h1{font-size:1.4rem}\
                     pre{overflow:auto;padding:.75rem;border:1px solid #8886;border-radius:6px;font-size:.85rem}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page {
            lines: vec!["<script>".to_owned()],
            link: Some("http://s/?a=1&b=2".to_owned()),
            ..Page::new(StatusCode::SERVICE_UNAVAILABLE, "A & B", "why")
        }
    }

    #[test]
    fn html_is_escaped() {
        let text = html(&page());
        assert!(text.contains("<title>A &amp; B</title>"), "{text}");
        assert!(text.contains("<pre>&lt;script&gt;</pre>"), "{text}");
        assert!(text.contains("href=\"http://s/?a=1&amp;b=2\""), "{text}");
        assert!(!text.contains("refresh"), "{text}");
    }

    #[test]
    fn programs_get_text() {
        assert_eq!(plain(&page()), "A & B\n\nwhy\n    <script>\n\nhttp://s/?a=1&b=2\n");
        let browser =
            HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"))]);
        let curl = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("*/*"))]);
        assert!(wants_html(&browser) && !wants_html(&curl) && !wants_html(&HeaderMap::new()));
    }

    #[test]
    fn what_passes_says_when_to_come_again() {
        let response = render(&Page { is_passing: true, ..page() }, true);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(render(&page(), false).headers().get(header::RETRY_AFTER), None);
    }
}
