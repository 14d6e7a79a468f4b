//! What came of a run, as rows of the tables.

use crate::traffic::Seen;
use crate::watch::Watched;

/// One run.
pub(crate) struct Outcome {
    pub(crate) seen: Seen,
    pub(crate) watched: Watched,
    pub(crate) reloads: u64,
}

impl Outcome {
    pub(crate) const HEAD: &str = "| run | requests | failed | long ones cut | late | instance-seconds | actions \
        | first action after the queue | reloads | weir's memory | counts |\n|---|---|---|---|---|---|---|---|---|---|---|";

    /// All cells behind the first.
    pub(crate) fn row(&self) -> String {
        let Self { seen, watched, reloads } = self;
        let first =
            watched.first_action().map_or("none".to_owned(), |it| format!("{:.1} s", it.as_secs_f64()));
        format!(
            "| {} | {} | {} of {} | {:.1} % | {:.0} | {} | {first} | {reloads} | {:.1} MiB | {} |",
            seen.short.sent + seen.long.sent,
            seen.short.failed,
            seen.long.failed,
            seen.long.sent,
            self.late(),
            watched.instance_seconds,
            watched.actions(),
            watched.memory,
            self.counts(),
        )
    }

    /// Late ones among the short ones, in per cent: a long one always is.
    fn late(&self) -> f64 {
        100.0 * self.seen.short.late as f64 / self.seen.short.sent.max(1) as f64
    }

    fn counts(&self) -> String {
        let all =
            self.watched.counts.iter().map(|(at, count)| format!("{count} ({:.0} s)", at.as_secs_f64()));
        all.collect::<Vec<_>>().join(" → ")
    }

    /// The same cells for the median of each number over all runs.
    pub(crate) fn median(all: &[Self]) -> String {
        let of = |number: &dyn Fn(&Self) -> f64| {
            let mut numbers: Vec<f64> = all.iter().map(number).collect();
            numbers.sort_by(f64::total_cmp);
            numbers.get(numbers.len() / 2).copied().unwrap_or_default()
        };
        let first = |one: &Self| one.watched.first_action().map_or(f64::INFINITY, |it| it.as_secs_f64());
        format!(
            "| | {:.0} | {:.0} | {:.1} % | {:.0} | {:.0} | {:.1} s | {:.0} | {:.1} MiB | |",
            of(&|one| one.seen.short.failed as f64),
            of(&|one| one.seen.long.failed as f64),
            of(&Self::late),
            of(&|one| one.watched.instance_seconds),
            of(&|one| one.watched.actions() as f64),
            of(&first),
            of(&|one| one.reloads as f64),
            of(&|one| one.watched.memory),
        )
    }
}
