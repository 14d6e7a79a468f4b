//! The page: what was simulated, the table, and a section for each scaler.

use std::fmt::Write;

use super::axis::{clock, number};
use super::course::{Column, columns};
use super::escape::escape;
use super::panel::{Line, Panel};
use super::style::STYLE;
use crate::simulate::{Outcome, Setting, Spread};

/// What is reported.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The load's name, such as the trace's file.
    pub title: &'a str,
    /// What was simulated.
    pub setting: &'a Setting,
    /// The scalers, the policy in question first.
    pub runs: &'a [Run],
}

/// One scaler on the setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its name.
    pub scaler: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it changed the count, with the seconds; empty for one that does not say.
    pub reasons: Vec<(u64, String)>,
}

/// Reasons that are listed at most; a day has hundreds.
const REASONS: usize = 200;

/// The whole page.
pub fn page(report: &Report<'_>) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{0}: simulated</title><style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n",
        escape(report.title)
    );
    setting(&mut html, report.setting);
    table(&mut html, report.runs);
    let sections = Scales::of(report);
    report.runs.iter().for_each(|run| section(&mut html, report.setting, run, &sections));
    html.push_str("</body></html>\n");
    html
}

fn setting(html: &mut String, setting: &Setting) {
    let cluster = &setting.cluster;
    let mut facts = vec![
        ("length", clock(setting.rates.len() as f64)),
        ("a request takes", service(setting)),
        ("slots per instance", cluster.slots.to_string()),
        ("start", clock(cluster.start)),
        ("instances", format!("{} to {}", cluster.min, cluster.max)),
        ("seed", setting.seed.to_string()),
    ];
    let deployment =
        cluster.min_healthy.map_or("never".to_owned(), |healthy| format!("until {} healthy", clock(healthy)));
    facts.insert(4, ("Nomad refuses to scale", deployment));
    html.push_str("<div class=\"facts\">");
    for (name, value) in facts {
        let _ = write!(html, "<span>{} <b>{}</b></span>", escape(name), escape(&value));
    }
    html.push_str("</div>\n");
}

fn service(setting: &Setting) -> String {
    let service = &setting.service;
    let spread = match service.spread {
        Spread::Fixed => "",
        Spread::Exponential => " in the mean",
    };
    let long =
        service.long.map_or(String::new(), |(every, long)| format!(", one in {every} {}", clock(long)));
    format!("{} ms{spread}{long}", number(service.mean * 1000.0))
}

/// One row a scaler; the best of each column is marked.
fn table(html: &mut String, runs: &[Run]) {
    html.push_str(
        "<section class=\"wide\"><table><tr><th>scaler</th><th>requests</th><th>late</th><th>p99 wait</th>\
         <th>instance-hours</th><th>changes</th><th>peak count</th><th>longest queue</th></tr>\n",
    );
    for run in runs {
        let outcome = &run.outcome;
        let _ =
            write!(html, "<tr><td>{}</td><td>{}</td>", escape(&run.scaler), number(outcome.requests as f64));
        cell(html, runs, outcome, Outcome::late_percent, |late| format!("{late:.2} %"));
        cell(html, runs, outcome, |outcome| outcome.p99, wait);
        cell(html, runs, outcome, Outcome::instance_hours, |hours| format!("{hours:.2}"));
        let rest = [outcome.actions.len() as f64, outcome.peak as f64, longest_queue(outcome)];
        html.extend(rest.map(|value| format!("<td>{}</td>", number(value))));
        html.push_str("</tr>\n");
    }
    html.push_str(
        "</table></section>\n<p class=\"soft\">Late: waited more than half a second for a slot. \
         Instance-hours: from placement to the end of the last request. The best of a column is green. \
         All plots have the same axes; what is beyond them is cut off.</p>\n",
    );
}

fn longest_queue(outcome: &Outcome) -> f64 {
    outcome.course.iter().map(|second| f64::from(second.queued)).fold(0.0, f64::max)
}

fn cell(
    html: &mut String,
    runs: &[Run],
    outcome: &Outcome,
    of: impl Fn(&Outcome) -> f64,
    say: impl Fn(f64) -> String,
) {
    let best = runs.iter().map(|run| of(&run.outcome)).fold(f64::INFINITY, f64::min);
    let class = if runs.len() > 1 && of(outcome) <= best { " class=\"best\"" } else { "" };
    let _ = write!(html, "<td{class}>{}</td>", escape(&say(of(outcome))));
}

fn wait(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { format!("{seconds:.1} s") }
}

/// The upper ends of the axes: the same for all scalers, or they could not be compared. They are made for the
/// first one and for what is needed; what another has beyond is cut off, and said on hover.
struct Scales {
    count: f64,
    queue: f64,
}

impl Scales {
    fn of(report: &Report<'_>) -> Self {
        let slots = f64::from(report.setting.cluster.slots);
        let rate = report.setting.rates.iter().copied().fold(0.0, f64::max);
        let needed = rate * report.setting.service.overall() / slots;
        let first = report.runs.first();
        let count = first.map_or(0.0, |run| run.outcome.peak as f64).max(needed * 1.5).max(4.0);
        let queue = first.map_or(0.0, |run| longest_queue(&run.outcome)).max(10.0);
        let highest = report.runs.iter().map(|run| longest_queue(&run.outcome)).fold(10.0, f64::max);
        Self { count, queue: highest.min(queue * 2.0) }
    }
}

fn section(html: &mut String, setting: &Setting, run: &Run, scales: &Scales) {
    let _ = write!(html, "<section><h2>{}</h2>", escape(&run.scaler));
    summary(html, &run.outcome);
    // All three in one, so that they stay above one another where a narrow window scrolls them.
    html.push_str("<div class=\"wide\">\n");
    html.extend(plots(setting, run, scales).map(|panel| panel.svg()));
    html.push_str("</div>\n");
    reasons(html, run);
    html.push_str("</section>\n");
}

/// Slots, instances and queue, one above the other.
fn plots<'a>(setting: &Setting, run: &'a Run, scales: &Scales) -> [Panel<'a>; 3] {
    let columns = columns(&run.outcome);
    let slots = f64::from(setting.cluster.slots);
    let mean = setting.service.overall();
    let panel = |title, height, end| Panel {
        title,
        height,
        length: setting.rates.len() as f64,
        end,
        lines: Vec::new(),
        steps: &[],
        times: false,
    };
    let load = vec![
        line("that take requests", "capacity", &columns, |column| column.up * slots),
        line("asked for: rate × time", "load", &columns, |column| column.rate * mean),
        line("busy", "work", &columns, |column| column.busy).thin(),
    ];
    let count = vec![
        line("that take requests", "capacity", &columns, |column| column.up),
        line("count in Nomad", "count", &columns, |column| column.count).thin().stepped(),
    ];
    let queue = vec![line("at the most", "queue", &columns, |column| column.queued)];
    [
        Panel { lines: load, ..panel("Slots", 150.0, scales.count * slots) },
        Panel { lines: count, steps: &run.outcome.actions, ..panel("Instances", 90.0, scales.count) },
        Panel { lines: queue, times: true, ..panel("Requests that wait", 70.0, scales.queue) },
    ]
}

fn line<'a>(name: &'a str, class: &'a str, columns: &[Column], of: impl Fn(&Column) -> f64) -> Line<'a> {
    let points = columns.iter().map(|column| (column.at, of(column))).collect();
    Line { name, class, filled: true, stepped: false, points }
}

fn summary(html: &mut String, outcome: &Outcome) {
    let facts = [
        ("late", format!("{:.2} %", outcome.late_percent())),
        ("instance-hours", format!("{:.2}", outcome.instance_hours())),
        ("changes", number(outcome.actions.len() as f64)),
        ("seconds refused by Nomad", number(outcome.refused as f64)),
    ];
    html.push_str("<div class=\"facts\">");
    for (name, value) in facts {
        let _ = write!(html, "<span>{name} <b>{value}</b></span>");
    }
    html.push_str("</div>\n");
}

fn reasons(html: &mut String, run: &Run) {
    if run.reasons.is_empty() {
        return;
    }
    html.push_str("<details><summary>why the count changed</summary><ol>\n");
    for (second, reason) in run.reasons.iter().take(REASONS) {
        let _ = writeln!(html, "<li><time>{}</time> {}</li>", clock(*second as f64), escape(reason));
    }
    if run.reasons.len() > REASONS {
        let _ = writeln!(html, "<li class=\"soft\">and {} more</li>", run.reasons.len() - REASONS);
    }
    html.push_str("</ol></details>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{suite, trace};

    #[test]
    fn the_page_is_whole_and_everything_in_it_is_text() {
        let trace = trace::read("t", "0,60\n60,600\n120,60\n", None).unwrap();
        let setting = suite::recorded("t", trace).setting;
        let outcome = crate::simulate::run(
            &setting,
            crate::simulate::baseline("kpa", &setting.cluster).unwrap().as_mut(),
        );
        let reasons = vec![(3, "1 < 2".to_owned())];
        let runs = [Run { scaler: "<script>".to_owned(), outcome, reasons }];
        let html = page(&Report { title: "a & b", setting: &setting, runs: &runs });
        assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
        assert!(html.contains("<h1>a &amp; b</h1>") && html.contains("1 &lt; 2"));
        assert!(!html.contains("<script") && !html.contains("http"));
        assert_eq!(html.matches("<svg").count(), 3);
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert!(html.contains("<div class=\"wide\">\n<svg") && html.contains("</svg>\n</div>"));
    }
}
