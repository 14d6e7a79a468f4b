//! What is to be asked of the sources, and what they answered. Pure.
//!
//! Each question is asked once in its period, however many checks ask it, and never twice at a time; but while its
//! source is away it does not wait long for an answer that may be lost, so that it is soon noticed when that is back.
//! An answer counts for two periods and 5 s more: one that fails is not missed, two are. Prometheus keeps a window
//! itself; of Nomad, which knows the present only, the answers themselves make the window.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use weir_scaling::{Check, FRESH, Metric, Policy, Window};

use super::{Answer, Question, Unanswered};

/// How much later than due a question may be asked early: ticks are not that even.
const EARLY: Duration = Duration::from_millis(100);
/// How long an answer is waited for before it is asked again, of a source that did not answer last time.
const LOST: Duration = Duration::from_secs(2);

/// All questions with their answers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<Question, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    asked: Option<SystemTime>,
    in_flight: bool,
    period: Duration,
    /// How far back somebody looks.
    keep: Duration,
    answers: VecDeque<(SystemTime, Vec<f64>)>,
    failed: Option<String>,
}

impl Ledger {
    /// What is to be asked now for a policy that is looked at now.
    pub(crate) fn due(&mut self, now: SystemTime, policy: &Policy) -> Vec<Question> {
        let mut due = Vec::new();
        for check in &policy.checks {
            let Some(question) = Question::of(policy, check) else { continue };
            let entry = self.entries.entry(question.clone()).or_default();
            entry.period = question.period(policy.evaluation_interval);
            entry.keep = entry.keep.max(check.window.span() + check.offset);
            if entry.is_due(now) {
                entry.in_flight = true;
                entry.asked = Some(now);
                due.push(question);
            }
        }
        due
    }

    /// Takes an answer in.
    pub(crate) fn note(&mut self, now: SystemTime, question: &Question, answer: Answer) {
        let Some(entry) = self.entries.get_mut(question) else { return };
        entry.in_flight = false;
        match answer {
            Ok(values) => {
                // Prometheus' newest answer holds the whole window.
                if matches!(question, Question::Prometheus { .. }) {
                    entry.answers.clear();
                }
                entry.answers.push_back((now, values));
                entry.failed = None;
            }
            Err(Unanswered::Nothing(reason)) => {
                entry.answers.clear();
                entry.failed = Some(reason);
            }
            Err(Unanswered::Away(reason)) => entry.failed = Some(reason),
        }
        entry.forget(now);
    }

    /// Forgets what none of these policies asks any more.
    pub(crate) fn keep<'a>(&mut self, policies: impl Iterator<Item = &'a Policy>) {
        let asked: BTreeSet<Question> = policies
            .flat_map(|policy| policy.checks.iter().filter_map(move |check| Question::of(policy, check)))
            .collect();
        self.entries.retain(|question, _| asked.contains(question));
    }

    /// What the sources say for each check of the policy that asks one, by its label.
    pub(crate) fn metrics(&self, policy: &Policy, now: SystemTime) -> BTreeMap<String, Metric> {
        let of = |check: &Check| {
            let question = Question::of(policy, check)?;
            let metric = match self.entries.get(&question) {
                None => Metric::unknown("it was not asked yet"),
                Some(entry) => entry.metric(&question, check, now),
            };
            Some((check.label.clone(), metric))
        };
        policy.checks.iter().filter_map(of).collect()
    }
}

impl Entry {
    fn is_due(&self, now: SystemTime) -> bool {
        let waited = self.asked.map_or(Duration::MAX, |asked| since(asked, now).saturating_add(EARLY));
        let is_lost = self.failed.is_some() && waited >= LOST;
        (!self.in_flight || is_lost) && waited >= self.period
    }

    fn forget(&mut self, now: SystemTime) {
        let keep = self.keep + self.valid();
        while self.answers.front().is_some_and(|(at, _)| since(*at, now) > keep) {
            self.answers.pop_front();
        }
    }

    /// How long an answer counts.
    fn valid(&self) -> Duration {
        self.period * 2 + FRESH
    }

    fn metric(&self, question: &Question, check: &Check, now: SystemTime) -> Metric {
        let why = || self.failed.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        let Some((at, newest)) = self.answers.back() else {
            return Metric::unknown(
                self.failed.clone().unwrap_or_else(|| "it has not answered yet".to_owned()),
            );
        };
        let age = since(*at, now);
        if age > self.valid() {
            return Metric::unknown(format!("the newest answer is {} s old{}", age.as_secs(), why()));
        }
        let values = match question {
            Question::Prometheus { .. } => newest.clone(),
            Question::Nomad(_) => self.window(check, now),
        };
        if values.is_empty() {
            return Metric::unknown("nothing was answered in its window");
        }
        Metric::Known { at: *at, values }
    }

    /// The values of a check's window, oldest first.
    fn window(&self, check: &Check, now: SystemTime) -> Vec<f64> {
        let age = |at: &SystemTime| since(*at, now);
        let mut until = self.answers.iter().filter(|(at, _)| age(at) >= check.offset);
        match check.window {
            Window::Instant => until.next_back().map(|(_, values)| values.clone()).unwrap_or_default(),
            Window::Span(span) => {
                let longest = check.offset + span.max(self.valid());
                until.filter(|(at, _)| age(at) <= longest).flat_map(|(_, values)| values.clone()).collect()
            }
        }
    }
}

/// What a clock that was set back leaves in the future was long ago.
fn since(then: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or(Duration::MAX / 2)
}

#[cfg(test)]
mod tests;
