//! Whether the first scaler holds its own against the others on all cases.

use super::Case;
use crate::simulate::Outcome;

/// What was found about the first scaler, against the others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// Sums over all cases, by scaler.
    pub totals: Vec<Total>,
    /// Where another is better in both, late requests and instance-hours, in sentences; and in what another is
    /// better in the sums. Empty: nowhere.
    pub shortfalls: Vec<String>,
    /// Where another has fewer late requests, for more instance-hours.
    pub fewer_late: Vec<String>,
}

/// One scaler over all cases.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Total {
    /// Its name.
    pub scaler: String,
    /// Requests.
    pub requests: u64,
    /// Late ones.
    pub late: u64,
    /// Instance-hours.
    pub instance_hours: f64,
    /// Changes of the count.
    pub actions: usize,
    /// The mean over the cases of the late requests, in percent: each case counts alike, however long.
    pub mean_late: f64,
    /// The mean over the cases of the instance-hours, as a multiple of the first scaler's.
    pub mean_hours: f64,
}

impl Total {
    /// Late requests of all, in percent.
    pub fn late_percent(&self) -> f64 {
        self.late as f64 * 100.0 / self.requests.max(1) as f64
    }
}

/// Judges. `outcomes` has those of all scalers for each case, in the order of `scalers`.
pub fn verdict(scalers: &[String], cases: &[Case], outcomes: &[Vec<Outcome>]) -> Verdict {
    let totals: Vec<Total> =
        scalers.iter().enumerate().map(|(at, scaler)| total(scaler, at, outcomes)).collect();
    let (mut shortfalls, mut fewer_late) = (Vec::new(), Vec::new());
    for (case, outcomes) in cases.iter().zip(outcomes) {
        let Some((first, others)) = outcomes.split_first() else { continue };
        let less = others.iter().zip(&scalers[1..]).filter(|(other, _)| is_later(first, other));
        fewer_late.extend(less.map(|(other, scaler)| later(&case.name, scaler, first, other)));
        let better = others.iter().zip(&scalers[1..]).filter(|(other, _)| is_better(other, first));
        shortfalls.extend(better.map(|(other, scaler)| beaten(&case.name, scaler, first, other)));
    }
    if let Some((first, others)) = totals.split_first() {
        shortfalls.extend(others.iter().filter_map(|other| behind(first, other)));
    }
    Verdict { totals, shortfalls, fewer_late }
}

/// In both.
fn is_better(one: &Outcome, other: &Outcome) -> bool {
    one.late < other.late && one.instance_seconds < other.instance_seconds
}

/// In late requests alone.
fn is_later(first: &Outcome, other: &Outcome) -> bool {
    other.late < first.late && other.instance_seconds >= first.instance_seconds
}

fn later(case: &str, scaler: &str, first: &Outcome, other: &Outcome) -> String {
    format!(
        "`{case}`: `{scaler}` has {} late requests for {}, and {:.2} instance-hours for {:.2}.",
        other.late,
        first.late,
        other.instance_hours(),
        first.instance_hours()
    )
}

fn beaten(case: &str, scaler: &str, first: &Outcome, other: &Outcome) -> String {
    format!(
        "`{case}`: `{scaler}` is better in both, \
         {:.3} % late for {:.3} % and {:.2} instance-hours for {:.2}.",
        other.late_percent(),
        first.late_percent(),
        other.instance_hours(),
        first.instance_hours()
    )
}

/// In what another is ahead over all cases, where it is.
fn behind(first: &Total, other: &Total) -> Option<String> {
    let mut in_what = Vec::new();
    if other.late < first.late {
        in_what.push("late requests");
    }
    if other.mean_late < first.mean_late {
        in_what.push("the mean of the late shares");
    }
    if other.instance_hours < first.instance_hours {
        in_what.push("instance-hours");
    }
    if other.mean_hours < first.mean_hours {
        in_what.push("the mean of the instance-hours");
    }
    (!in_what.is_empty())
        .then(|| format!("All together: `{}` is better in {}.", other.scaler, in_what.join(", ")))
}

fn total(scaler: &str, at: usize, outcomes: &[Vec<Outcome>]) -> Total {
    let mut total = Total { scaler: scaler.to_owned(), ..Total::default() };
    let share = 1.0 / outcomes.len().max(1) as f64;
    for (first, outcome) in outcomes.iter().filter_map(|all| all.first().zip(all.get(at))) {
        total.requests += outcome.requests;
        total.late += outcome.late;
        total.instance_hours += outcome.instance_hours();
        total.actions += outcome.actions.len();
        total.mean_late += outcome.late_percent() * share;
        total.mean_hours += outcome.instance_seconds / first.instance_seconds * share;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::suite::measured;

    #[test]
    fn another_must_be_better_in_both_to_be_named() {
        let outcome =
            |late, instance_seconds| Outcome { requests: 100, late, instance_seconds, ..Outcome::default() };
        let scalers = ["concurrency", "hpa", "kpa"].map(String::from);
        let judged = |others: [Outcome; 2]| {
            let outcomes = vec![[vec![outcome(5, 7200.0)], others.to_vec()].concat()];
            verdict(&scalers, &[measured()], &outcomes).shortfalls
        };
        assert_eq!(judged([outcome(5, 7200.0), outcome(9, 9000.0)]), Vec::<String>::new());
        let one = judged([outcome(4, 9000.0), outcome(9, 3600.0)]);
        assert_eq!(one.len(), 2);
        assert!(one[0].starts_with("All together: `hpa` is better in late requests"), "{one:?}");
        let both = judged([outcome(9, 9000.0), outcome(4, 3600.0)]);
        assert_eq!(
            both[0],
            "`measured`: `kpa` is better in both, 4.000 % late for 5.000 % and 1.00 instance-hours for 2.00."
        );
    }
}
