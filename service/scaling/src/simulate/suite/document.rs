//! The suite's results as a page of documentation.

use std::fmt::Write;

use super::Case;
use super::verdict::{Total, Verdict};
use crate::simulate::Outcome;

/// What the page says before the figures.
const ABOUT: &str = "\
# Weir against other autoscalers, simulated

This page is made by `make simulate`; do not edit it. The first scaler is Weir's strategy `concurrency` with
nothing set in the policy, through the same code that decides in the daemon. The others are the Horizontal
Pod Autoscaler of Kubernetes (`hpa`), the pod autoscaler of Knative (`kpa`) and the Nomad Autoscaler's
`target-value`, each with its published rules and defaults. They get what is best for them: the work in the
whole pool with HAProxy's queue, at once and never missing, and 7 of an instance's 10 slots as their aim.

All scale the same model: requests arrive as a Poisson process at the rate of each second and take 100 ms in
the mean (exponential), an instance does 10 at once and needs 20 s to start, what finds no free slot waits
in one queue, and Nomad refuses to scale until the instances of the change before were healthy for 10 s.
Weir knows these times, and may replace its own deployment while a queue grows. Between 2 and 400 instances.
The load `measured` has its own instances: it is the one that was run on a real Nomad. *Late* is a request
that waited more than half a second for a slot. *Instance-hours* count from the placement of an instance
until its last request ended. Not in the model: instances that fail, what a request costs more when its
instance is full, delays of metrics, requests that give up. Read it as a comparison, not as a promise.
";

/// The head of the table of sums. "Relative" is against the first scaler's, in the mean of the loads.
const TOTALS: &str = "\
| scaler | late | late, mean of the loads | instance-hours | relative, mean of the loads | changes |
|---|---:|---:|---:|---:|---:|
";

/// What the page is made from.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The scalers, the one in question first.
    pub scalers: &'a [String],
    /// The loads.
    pub cases: &'a [Case],
    /// For each load, what came of each scaler.
    pub outcomes: &'a [Vec<Outcome>],
    /// The judgement on all of them.
    pub verdict: &'a Verdict,
    /// The judgements on the variations, with what was changed.
    pub variations: &'a [(String, Verdict)],
}

/// The page.
pub fn document(page: &Page<'_>) -> String {
    let mut text = ABOUT.to_owned();
    text.push_str("\n## All together\n\n");
    text.push_str(TOTALS);
    page.verdict.totals.iter().for_each(|total| sum(&mut text, "", total));
    shortfalls(&mut text, page);
    loads(&mut text, page);
    variations(&mut text, page.variations);
    text
}

fn loads(text: &mut String, page: &Page<'_>) {
    text.push_str("\n## Each load\n\n");
    for case in page.cases {
        let _ = writeln!(text, "- `{}`: {}", case.name, case.about);
    }
    text.push_str("\n| load | scaler | requests | late | p99 wait | instance-hours | changes | peak |\n");
    text.push_str("|---|---|---:|---:|---:|---:|---:|---:|\n");
    for (case, outcomes) in page.cases.iter().zip(page.outcomes) {
        for (outcome, scaler) in outcomes.iter().zip(page.scalers) {
            row(text, &case.name, scaler, outcome);
        }
    }
}

fn variations(text: &mut String, variations: &[(String, Verdict)]) {
    text.push_str("\n## The made loads on other instances\n\n| changed ");
    text.push_str(&TOTALS.replacen("\n|---", "\n|---|---", 1));
    for (about, verdict) in variations {
        verdict.totals.iter().for_each(|total| sum(text, &format!("| {about} "), total));
    }
}

fn sum(text: &mut String, before: &str, total: &Total) {
    let _ = writeln!(
        text,
        "{before}| `{}` | {:.3} % | {:.3} % | {:.1} | {:.2} | {} |",
        total.scaler,
        total.late_percent(),
        total.mean_late,
        total.instance_hours,
        total.mean_hours,
        total.actions,
    );
}

fn row(text: &mut String, name: &str, scaler: &str, outcome: &Outcome) {
    let _ = writeln!(
        text,
        "| {name} | `{scaler}` | {} | {:.3} % | {} | {:.2} | {} | {} |",
        outcome.requests,
        outcome.late_percent(),
        wait(outcome.p99),
        outcome.instance_hours(),
        outcome.actions.len(),
        outcome.peak,
    );
}

/// A wait in words.
fn wait(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

fn shortfalls(text: &mut String, page: &Page<'_>) {
    text.push_str("\n## Where Weir falls short\n\n");
    let verdict = page.verdict;
    if verdict.shortfalls.is_empty() {
        text.push_str(
            "No other is better in both, late requests and instance-hours, on any load or in the sums.\n\n",
        );
    }
    for shortfall in verdict.shortfalls.iter().chain(&verdict.fewer_late) {
        let _ = writeln!(text, "- {shortfall}");
    }
    for (about, varied) in page.variations {
        let Some((first, others)) = varied.totals.split_first() else { continue };
        for other in others.iter().filter(|other| other.late < first.late) {
            let _ = writeln!(text, "- {}", later(about, first, other));
        }
    }
}

/// On other instances another has fewer late requests.
fn later(about: &str, first: &Total, other: &Total) -> String {
    format!(
        "Made loads, {about}: `{}` has {:.3} % late for {:.3} %, and {:.1} instance-hours for {:.1}.",
        other.scaler,
        other.late_percent(),
        first.late_percent(),
        other.instance_hours,
        first.instance_hours
    )
}
