//! One moment of the show as text: a frame for a terminal, a line for a log. Pure.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use weir_devcluster::load::LoadReport;

use super::curve::HIGH;
use super::format::{clock, percent, thousands};
use super::stage::{BOUNDS, SLOTS};
use crate::status::Status;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";
/// Cells of the bars of load and work.
const WIDTH: usize = 40;

/// What is to be seen.
pub(super) struct Moment<'a> {
    pub(super) elapsed: Duration,
    pub(super) length: Option<Duration>,
    /// Requests a second, as planned.
    pub(super) rate: f64,
    pub(super) report: &'a LoadReport,
    /// Work in the system, as weir sees it.
    pub(super) work: Option<f64>,
    /// Servers of the pool that serve.
    pub(super) pool: u64,
    pub(super) starting: u64,
    pub(super) wanted: u64,
    pub(super) reloads: u64,
    pub(super) in_force: Option<Duration>,
    pub(super) http: SocketAddr,
}

/// The newest decision that weir has made.
pub(super) fn decision(status: &Status) -> Option<&Value> {
    status.scaling.as_ref()?.policies.first()?.last_decision.as_ref()
}

/// The work in the system that a decision was made from.
pub(super) fn work(decision: &Value) -> Option<f64> {
    decision["demand"]["known"]["work"].as_f64()
}

/// The whole picture.
pub(super) fn frame(now: &Moment<'_>, told: &VecDeque<String>) -> Vec<String> {
    let report = now.report;
    let of = now.length.map_or_else(String::new, |length| format!(" of {}", clock(length)));
    let mut lines = vec![
        format!("{BOLD}weir demo{PLAIN}  {}{of}   {DIM}Ctrl-C ends it{PLAIN}", clock(now.elapsed)),
        String::new(),
        row("load", &format!("{}  {:.0} requests/s", bar(now.rate / HIGH), now.rate)),
        row("work", &work_text(now)),
        row("instances", &instances(now)),
        row("reloads", &format!("{}{}", now.reloads, in_force(now))),
        row("requests", &format!("{}, {}, {}", thousands(report.sent), failed(report), late(report))),
        String::new(),
    ];
    lines.extend(told.iter().map(|text| format!("{DIM}{}{PLAIN}{}", &text[..6], &text[6..])));
    lines.extend([String::new(), format!("{DIM}more: weir status --address {}{PLAIN}", now.http)]);
    lines
}

fn row(name: &str, text: &str) -> String {
    format!("  {name:<11}{text}")
}

/// A bar of a share.
fn bar(share: f64) -> String {
    let full = (0..WIDTH).filter(|cell| (*cell as f64 + 0.5) / WIDTH as f64 <= share).count();
    format!("{GREEN}{}{PLAIN}{DIM}{}{PLAIN}", "█".repeat(full), "·".repeat(WIDTH - full))
}

fn work_text(now: &Moment<'_>) -> String {
    let Some(work) = now.work else { return "not known yet".to_owned() };
    let all = f64::from(BOUNDS.1) * SLOTS as f64;
    let slots = now.pool * SLOTS as u64;
    format!("{}  {work:.0} requests at once, {slots} slots", bar(work / all))
}

/// A cell for each instance that may be: serving, on its way, still there though one less is wanted, none.
fn instances(now: &Moment<'_>) -> String {
    let cells = (0..u64::from(BOUNDS.1)).map(|at| match (at < now.pool, at < now.wanted) {
        (true, true) => format!("{GREEN}████ {PLAIN}"),
        (true, false) => format!("{YELLOW}████ {PLAIN}"),
        (false, true) => format!("{YELLOW}░░░░ {PLAIN}"),
        (false, false) => format!("{DIM}···· {PLAIN}"),
    });
    format!("{}  {} serve, {} wanted", cells.collect::<String>(), now.pool, now.wanted)
}

fn in_force(now: &Moment<'_>) -> String {
    let text =
        |median: Duration| format!(", from Consul's change to in force {} ms (median)", median.as_millis());
    now.in_force.map_or_else(String::new, text)
}

fn failed(report: &LoadReport) -> String {
    let colour = if report.failed == 0 { GREEN } else { RED };
    format!("{colour}{} failed{PLAIN}", report.failed)
}

fn late(report: &LoadReport) -> String {
    format!("{} later than 1 s, half within {} ms", percent(report.late, report.sent), report.p50.as_millis())
}

/// The same in one line, without colours.
pub(super) fn line(now: &Moment<'_>) -> String {
    let work = now.work.map_or_else(|| "?".to_owned(), |work| format!("{work:.1}"));
    let starting = if now.starting > 0 { format!(" ({} starting)", now.starting) } else { String::new() };
    format!(
        "{:>6}  {:>3.0} requests/s  work {work:>4}  instances {}, {} wanted{starting}  reloads {}  failed {}",
        clock(now.elapsed),
        now.rate,
        now.pool,
        now.wanted,
        now.reloads,
        now.report.failed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(report: &LoadReport) -> Moment<'_> {
        Moment {
            elapsed: Duration::from_secs(23),
            length: Some(Duration::from_mins(1)),
            rate: 125.0,
            report,
            work: Some(16.4),
            pool: 3,
            starting: 2,
            wanted: 5,
            reloads: 4,
            in_force: Some(Duration::from_millis(90)),
            http: ([127, 0, 0, 1], 8717).into(),
        }
    }

    #[test]
    fn a_line_says_all_in_order() {
        let report = LoadReport { sent: 1200, ..LoadReport::default() };
        let text = line(&moment(&report));
        assert_eq!(
            text,
            "  0:23  125 requests/s  work 16.4  instances 3, 5 wanted (2 starting)  reloads 4  failed 0"
        );
    }

    #[test]
    fn a_frame_shows_bars_and_failures_in_red() {
        let report = LoadReport { sent: 1200, failed: 1, ..LoadReport::default() };
        let told = VecDeque::from(["  0:21  Nomad    from 3 to 5: work".to_owned()]);
        let text = frame(&moment(&report), &told).join("\n");
        for part in
            ["0:23 of 1:00", "3 serve, 5 wanted", "1,200", "16 requests at once, 15 slots", "from 3 to 5"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains(&format!("{RED}1 failed")));
        assert_eq!(bar(0.5).matches('█').count(), WIDTH / 2);
        assert_eq!(bar(7.0).matches('█').count(), WIDTH);
    }
}
