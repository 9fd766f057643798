//! How long a busy registry wants to be left alone. BuildKit and the registry's client both drop the header that says it.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode};

const TIMEOUT: Duration = Duration::from_secs(2);
/// A registry that wants more is asked all the same: by then the build would have failed.
const LONGEST: Duration = Duration::from_secs(60);

/// Asks `HOST[:PORT]` for nothing in particular: `Some` while it answers that there is too much to do, and for how long.
pub async fn asks_to_wait(http: &Client, host: &str, insecure: bool) -> Option<Duration> {
    asks_within(http, host, insecure, TIMEOUT).await
}

async fn asks_within(http: &Client, host: &str, insecure: bool, at_most: Duration) -> Option<Duration> {
    let scheme = if insecure { "http" } else { "https" };
    let answer = http.get(format!("{scheme}://{host}/v2/")).timeout(at_most).send().await.ok()?;
    if ![StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status()) {
        return None;
    }
    let seconds: u64 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    async fn asked(response: ResponseTemplate) -> Option<Duration> {
        // Fails when another test was first, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = MockServer::start().await;
        Mock::given(path("/v2/")).respond_with(response).mount(&server).await;
        asks_within(&Client::new(), &server.address().to_string(), true, Duration::from_secs(60)).await
    }

    #[tokio::test]
    async fn a_busy_registry_says_for_how_long() {
        let busy = |status, after: &str| ResponseTemplate::new(status).insert_header("retry-after", after);
        assert_eq!(asked(busy(429, "7")).await, Some(Duration::from_secs(7)));
        assert_eq!(asked(busy(503, " 3 ")).await, Some(Duration::from_secs(3)));
        assert_eq!(asked(busy(429, "86400")).await, Some(LONGEST));
        assert_eq!(asked(busy(429, "Wed, 21 Oct 2026 07:28:00 GMT")).await, None);
        assert_eq!(asked(ResponseTemplate::new(429)).await, None);
        assert_eq!(asked(busy(200, "7")).await, None);
        assert_eq!(asks_to_wait(&Client::new(), "127.0.0.1:1", true).await, None);
    }
}
