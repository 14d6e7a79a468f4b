//! How the show went: numbers, and what was wrong. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use weir_devcluster::load::LoadReport;

use super::format::{clock, percent, thousands};
use super::stage::BOUNDS;
use super::tally::{Expected, Tally, not_followed};

/// The end of the show.
pub(super) struct Summary {
    lasted: Duration,
    began: Timestamp,
    report: LoadReport,
    tally: Tally,
    reloads: u64,
    expected: Expected,
    /// What was wrong; empty for a good show.
    pub(super) faults: Vec<String>,
}

impl Summary {
    pub(super) fn new(
        lasted: Duration,
        began: Timestamp,
        report: LoadReport,
        tally: Tally,
        reloads: u64,
        expected: Expected,
    ) -> Self {
        let faults = faults(&report, &tally, expected);
        Self { lasted, began, report, tally, reloads, expected, faults }
    }

    /// The summary as it is printed.
    pub(super) fn text(&self) -> String {
        let report = &self.report;
        let mut text = format!("\nAfter {} of load:\n", clock(self.lasted));
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<11}{value}");
        };
        row("requests", &format!("{}, {} failed", thousands(report.sent), thousands(report.failed)));
        row("answers", &answers(report));
        row("instances", &self.instances());
        row("reloads", &self.reloads());
        row("scaled", &format!("{} times", self.tally.scaled.len()));
        for scaled in &self.tally.scaled {
            let at = Duration::try_from(self.began.duration_until(scaled.at)).unwrap_or_default();
            let (from, to) = (scaled.from, scaled.to);
            let _ = writeln!(text, "    {:>6}  {from} to {to}: {}", clock(at), scaled.why);
        }
        for fault in &self.faults {
            let _ = writeln!(text, "  FAILED     {fault}");
        }
        if self.faults.is_empty() {
            let _ = writeln!(text, "  {}", self.praise());
        }
        text.trim_end().to_owned()
    }

    fn instances(&self) -> String {
        let (min, max) = BOUNDS;
        self.tally.pool().map_or_else(
            || "unknown".to_owned(),
            |pool| {
                let (least, most, now) = (pool.least, pool.most, pool.now);
                format!(
                    "{least} at least, {most} at most, {now} at the end; the policy allows {min} to {max}"
                )
            },
        )
    }

    fn reloads(&self) -> String {
        let delays = self.tally.delays().map_or_else(String::new, |(median, longest)| {
            let (median, longest) = (median.as_millis(), longest.as_millis());
            format!("; from Consul's change to in force: {median} ms (median), {longest} ms at most")
        });
        format!("{}{delays}", self.reloads)
    }

    fn praise(&self) -> String {
        let followed = match (self.expected.grown, self.expected.back) {
            (true, true) => ", and the pool went up and came back with the load",
            (true, false) => ", and the pool went up with the load",
            _ => "; it was too short to judge how the pool follows",
        };
        format!("Every request was answered{followed}.")
    }
}

fn answers(report: &LoadReport) -> String {
    let late = percent(report.late, report.sent);
    let [half, most] = [report.p50, report.p99].map(|time| time.as_millis());
    format!("{late} later than 1 s; half within {half} ms, 99 % within {most} ms")
}

fn faults(report: &LoadReport, tally: &Tally, expected: Expected) -> Vec<String> {
    let mut faults = Vec::new();
    if report.failed > 0 {
        faults.push(format!("{} of {} requests: {}", report.failed, report.sent, kinds(report)));
    }
    if report.in_flight() > 0 {
        faults.push(format!("{} requests were not answered by the end", report.in_flight()));
    }
    if report.sent == 0 {
        faults.push("no request was sent".to_owned());
    }
    faults.extend(not_followed(tally.pool(), expected));
    faults
}

/// How requests failed.
fn kinds(report: &LoadReport) -> String {
    let kinds = [
        (report.server_error, "answered 5xx"),
        (report.client_error, "answered 4xx"),
        (report.refused, "refused"),
        (report.reset, "cut"),
        (report.timed_out, "timed out"),
        (report.overload, "not sent, too many under way"),
    ];
    let seen = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}"));
    seen.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(report: LoadReport, readings: &[u64]) -> Summary {
        let mut tally = Tally::default();
        for now in readings {
            tally.serving(*now);
        }
        let expected = Expected { min: 2, grown: true, back: true };
        Summary::new(Duration::from_mins(1), Timestamp::UNIX_EPOCH, report, tally, 6, expected)
    }

    #[test]
    fn a_good_show_is_praised() {
        let good = summary(LoadReport { sent: 1000, ok: 1000, ..LoadReport::default() }, &[2, 7, 2]);
        assert!(good.faults.is_empty());
        let text = good.text();
        for part in
            ["After 1:00 of load", "1,000, 0 failed", "2 at least, 7 at most, 2 at the end", "Every request"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn everything_that_was_wrong_is_said() {
        let report =
            LoadReport { sent: 10, ok: 7, failed: 2, server_error: 1, reset: 1, ..LoadReport::default() };
        let bad = summary(report, &[2, 2]);
        let faults: Vec<&str> = bad.faults.iter().map(String::as_str).collect();
        assert_eq!(
            faults,
            [
                "2 of 10 requests: 1 answered 5xx, 1 cut",
                "1 requests were not answered by the end",
                "the pool never grew: 2 instances at most",
            ]
        );
        assert!(bad.text().contains("FAILED") && !bad.text().contains("Every request"));
    }
}
