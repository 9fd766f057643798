//! Traces as an OTLP collector takes them (HTTP with JSON). They are told afterwards and from rows, so that one trace
//! leads through all roles, and a role that died in the middle leaves no hole.

pub mod parent;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// 16 bytes that are not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub u128);

#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Unique in its trace, and not 0.
    pub id: u64,
    pub parent: Option<u64>,
    pub name: String,
    /// Nanoseconds since 1970.
    pub start_ns: i128,
    pub end_ns: i128,
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The body of a request to `/v1/traces`.
fn body(trace: TraceId, spans: &[Span]) -> Value {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = |span: &Span| {
        let attributes: Vec<Value> =
            span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        let status = match &span.error {
            Some(why) => json!({"code": 2, "message": why}),
            None => json!({}),
        };
        json!({
            "traceId": format!("{:032x}", trace.0),
            "spanId": format!("{:016x}", span.id),
            "parentSpanId": span.parent.map(|id| format!("{id:016x}")).unwrap_or_default(),
            "name": span.name,
            "kind": 1,
            "startTimeUnixNano": span.start_ns.to_string(),
            "endTimeUnixNano": span.end_ns.max(span.start_ns).to_string(),
            "attributes": attributes,
            "status": status,
        })
    };
    json!({"resourceSpans": [{
        "resource": {"attributes": [attribute("service.name", "slipway")]},
        "scopeSpans": [{"scope": {"name": "slipway"}, "spans": spans.iter().map(span).collect::<Vec<_>>()}],
    }]})
}

/// Sends one trace to the collector at `endpoint`, the part of the URL before `/v1/traces`.
pub async fn send(http: &reqwest::Client, endpoint: &str, trace: TraceId, spans: &[Span]) -> Result<()> {
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let answer = http.post(url).json(&body(trace, spans)).send().await;
    answer
        .and_then(reqwest::Response::error_for_status)
        .context("the collector at OTEL_EXPORTER_OTLP_ENDPOINT did not take a trace")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_otlp() {
        let root = Span {
            id: 1,
            parent: None,
            name: "push to live".to_owned(),
            start_ns: 1_000,
            end_ns: 900,
            attributes: vec![("slipway.app", "demo".to_owned())],
            error: Some("boom".to_owned()),
        };
        let child = Span { id: 0xab, parent: Some(1), error: None, ..root.clone() };
        let body = body(TraceId(7), &[root, child]);
        let spans = &body["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!(spans[0]["traceId"], "00000000000000000000000000000007");
        assert_eq!((&spans[0]["parentSpanId"], &spans[0]["status"]["code"]), (&json!(""), &json!(2)));
        assert_eq!(
            (&spans[1]["spanId"], &spans[1]["parentSpanId"]),
            (&json!("00000000000000ab"), &json!("0000000000000001"))
        );
        assert_eq!(
            spans[1]["endTimeUnixNano"], "1000",
            "clocks that differ make no span that ends before it starts"
        );
        assert_eq!(spans[1]["attributes"][0]["value"]["stringValue"], "demo");
    }
}
