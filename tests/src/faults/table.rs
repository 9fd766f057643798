//! The verdicts as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::run::Verdict;

const HEAD: &str = "# Faults

What becomes of a build when a part fails under it. `cargo xtask faults --table docs/faults.md` runs every row on real
parts (slipwayd, buildkitd, runc, a registry, PostgreSQL) and writes this file; it fails when a row is not as required.

In every row the build has to end in exactly one state, with one image and one release if it succeeded and none if not,
with a log without holes or lines said twice, with its digest in the registry, and with no lease, job or process left. A
builder that was stopped and wakes up has to write nothing. \"Next attempt\" and \"recovered\" are seconds from the fault.

## Deadlines

| what waits | for whom | at most |
|---|---|---|
| a job that runs | a sign of life of its builder | 10 s, then it is queued again |
| an attempt | its own end | 30 min; there are 4, then the build fails |
| an attempt | a BuildKit that is well | 60 s, then it is tried again later |
| a solve | a BuildKit that does not answer | 10 s |
| a builder | the registry's answer | 10 s |
| a build that waits or runs | a job of its own | 60 s without one, then it is queued again or gives way |
| a build that waits or runs | its end | 24 h from its push, then it fails |
| a builder that was asked to end | its handlers | 20 s, then their leases run out |

## Cells

";

pub fn markdown(verdicts: &[Verdict]) -> String {
    let mut text = HEAD.to_owned();
    let well = verdicts.iter().filter(|it| it.findings.is_empty()).count();
    let _ = writeln!(text, "{well} of {} rows are as required.\n", verdicts.len());
    text.push_str(
        "| part | fault | moment | outcome | attempts | next attempt | recovered | as required |\n",
    );
    text.push_str("|---|---|---|---|---:|---:|---:|---|\n");
    for it in verdicts {
        let resumed = it.resumed_s.map(|seconds| format!("{seconds:.1}")).unwrap_or_default();
        let is_well =
            if it.findings.is_empty() { "yes".to_owned() } else { format!("**no**: {}", it.findings.len()) };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {resumed} | {:.1} | {is_well} |",
            it.cell.fault.component(),
            it.cell.fault.words(),
            it.cell.moment.words(),
            it.outcome,
            it.attempts,
            it.recovered_s
        );
    }
    text
}

pub fn json(verdicts: &[Verdict], seconds: u64) -> Value {
    let cells: Vec<Value> = verdicts
        .iter()
        .map(|it| {
            json!({
                "component": it.cell.fault.component(), "fault": it.cell.fault.words(), "moment": it.cell.moment.words(),
                "outcome": it.outcome, "attempts": it.attempts, "resumed_s": it.resumed_s, "recovered_s": it.recovered_s,
                "took_s": it.took_s, "as_required": it.findings.is_empty(), "findings": it.findings,
            })
        })
        .collect();
    let well = verdicts.iter().filter(|it| it.findings.is_empty()).count();
    let slowest = verdicts.iter().filter_map(|it| it.resumed_s).fold(0.0, f64::max);
    json!({
        "cells": verdicts.len(), "as_required": well, "seconds": seconds, "slowest_next_attempt_s": slowest, "all": cells,
    })
}
