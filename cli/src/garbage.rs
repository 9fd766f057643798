//! `slipway garbage`: what is kept, what is garbage, and what was removed.

use std::io::Write;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

use crate::client::Server;
use crate::show::{self, Cell, ago, array, text};

pub(crate) async fn run(server: &Server, as_json: bool, out: &mut dyn Write) -> Result<()> {
    let answer = server.get("/garbage").await?;
    if as_json {
        return Ok(writeln!(out, "{answer:#}")?);
    }
    let kinds = array(&answer["kinds"]);
    let now = Timestamp::now();
    let row = |kind: &Value| -> Vec<Cell> {
        let cells = [
            text(&kind["kind"]),
            amount(&kind["kept"]),
            amount(&kind["garbage"]),
            amount(&kind["removed_in_30_days"]),
            ago(&kind["looked_at"], now),
        ];
        cells.into_iter().map(Cell::from).collect()
    };
    let rows: Vec<_> = kinds.iter().map(row).collect();
    show::table(out, &["what", "kept", "garbage", "removed in 30 days", "looked for"], &rows)?;
    for kind in kinds {
        for fault in array(&kind["faults"]) {
            writeln!(out, "{}: {}", text(&kind["kind"]), text(fault))?;
        }
    }
    Ok(())
}

/// `12, 1.5 MB`
fn amount(amount: &Value) -> String {
    let bytes = amount["bytes"].as_i64().unwrap_or_default();
    let size = match bytes {
        ..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{}.{} kB", bytes / 1000, bytes % 1000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    };
    format!("{}, {size}", text(&amount["count"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts() {
        for (bytes, expected) in [(999, "2, 999 B"), (23_456, "2, 23.4 kB"), (1_250_000, "2, 1.2 MB")] {
            assert_eq!(amount(&json!({"count": 2, "bytes": bytes})), expected);
        }
    }
}
