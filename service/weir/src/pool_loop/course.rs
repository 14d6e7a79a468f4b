//! What a turn does about what is wanted: commands, the file behind them, or a reload.
//!
//! Commands come first. The file follows at most a second behind, validated, so that a restart of HAProxy gives the same pools.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use haproxy_cfg::Sections;
use weir_pools::places::OutputKind;
use weir_pools::plan::{Options, Step};

use super::live::{Around, Course, Live};
use super::observation::Observation;
use super::output::Note;
use super::tell::Tell;
use super::wanted::{Outcome, Wanted};
use super::{Change, Effect, Files, InFlight, PoolLoop};
use crate::journal::Record;
use crate::status::HaproxyState;

/// How often the file follows at most; each time `haproxy -c` runs once.
const FOLLOWS: Duration = Duration::from_secs(1);

impl PoolLoop {
    /// Goes the way that brings `wanted` about.
    pub(super) fn go(&mut self, now: Instant, files: Files, wanted: Wanted) {
        // Before the first look it is not known whether it runs, and what people have set that is to outlive a reload.
        if self.live.is_on && self.seen.state.is_none() {
            return;
        }
        match self.course(now, &wanted, &files) {
            Course::Tell(tell) => self.tell(now, tell, &files, &wanted),
            Course::Follow => self.follow(now, files, wanted),
            Course::Reload(reason) => self.reload_for(now, files, wanted, reason),
            Course::Unavailable => self.put_in_force(now, files, wanted),
        }
    }

    fn course(&mut self, now: Instant, wanted: &Wanted, files: &Files) -> Course {
        if !self.live.is_on || self.seen.state != Some(HaproxyState::Running) {
            return Course::Unavailable;
        }
        let course = self.look_or_plan(now, wanted, false);
        let course = match course {
            Course::Follow => self.other_files(files).map_or(Course::Follow, Course::Reload),
            other => other,
        };
        match course {
            // What a person set just before is to outlive it.
            Course::Reload(reason) => match self.live.due_look(now, true) {
                Ok(Some(look)) => Course::Tell(self.live.look(look)),
                _ => Course::Reload(reason),
            },
            other => other,
        }
    }

    fn look_or_plan(&mut self, now: Instant, wanted: &Wanted, is_reload_near: bool) -> Course {
        match self.live.due_look(now, is_reload_near) {
            Err(()) => return Course::Unavailable,
            Ok(Some(look)) => return Course::Tell(self.live.look(look)),
            Ok(None) => {}
        }
        let sections = self.sections(wanted);
        self.causes.read(&self.catalogue);
        let before = self.live.begun().clone();
        let course = self.with_around(now, |live, around| live.plan(now, &sections, around));
        // With commands it is kept before they are sent. What was ended without any is a person's if it comes again.
        if !matches!(course, Course::Tell(_)) && *self.live.begun() != before {
            self.effects.push(Effect::RememberBegun(self.live.begun().clone()));
        }
        self.see_overdue();
        // Most servers that are to be drained have no session, and are gone after the commands.
        if !matches!(course, Course::Tell(_)) {
            self.probe_drained(now);
        }
        course
    }

    /// The worker that a reload of ours takes the place of, as it was left.
    pub(super) fn see_left(&mut self, now: Instant, left: Observation) {
        self.with_around(now, |live, around| live.left(left, around));
    }

    fn with_around<T>(&mut self, now: Instant, think: impl FnOnce(&mut Live, &Around<'_>) -> T) -> T {
        let options = self.plan_options();
        let around = Around {
            options: &options,
            cause: &|address| self.causes.of(address, self.probes.unreachable()),
            is_file_behind: self.following.is_some(),
            now: wall_clock(now),
        };
        think(&mut self.live, &around)
    }

    /// Whether anybody answers at the address of a server decides how long its sessions are waited for.
    fn probe_drained(&mut self, now: Instant) {
        let due = self.probes.due(now, &self.live.draining().collect());
        if !due.is_empty() {
            self.effects.push(Effect::Probe(due));
        }
    }

    /// That a first good check is overdue is a word to people.
    fn see_overdue(&mut self) {
        let overdue: BTreeSet<(String, String)> =
            self.live.overdue().map(|wait| (wait.backend.clone(), wait.server.clone())).collect();
        let before = std::mem::replace(&mut self.overdue, overdue);
        for (backend, server) in self.overdue.difference(&before).cloned().collect::<Vec<_>>() {
            let (haproxy, after) = (self.name.clone(), self.plan_options().first_check_timeout);
            let after_s = after.as_secs();
            self.record(Record::CheckOverdue { haproxy, backend, server, after_s });
        }
    }

    /// Whether anybody answers where servers are drained.
    pub(super) fn probed(&mut self, found: Vec<(SocketAddr, bool)>) {
        if self.probes.found(found) {
            self.live.wake();
        }
    }

    fn plan_options(&self) -> Options {
        let haproxy = self.haproxy.as_ref();
        haproxy.map_or_else(Options::default, |haproxy| Options {
            drain_timeout: haproxy.drain_timeout,
            first_check_timeout: haproxy.first_check_timeout,
        })
    }

    /// The configurations that are wanted, read.
    fn sections(&self, wanted: &Wanted) -> Vec<(usize, Sections)> {
        let each = wanted.outcomes.iter().zip(&self.outputs).enumerate();
        each.filter_map(|(index, (outcome, output))| match outcome {
            Outcome::Text { sections, .. } if output.kind == OutputKind::Haproxy => {
                Some((index, sections.clone()))
            }
            _ => None,
        })
        .collect()
    }

    /// Why files beside the configuration need a reload. Maps, lists and certificates that HAProxy has loaded do not: they are
    /// brought in force by [`crate::certificates`] when they are written.
    fn other_files(&self, files: &Files) -> Option<String> {
        let others = files.iter().filter(|(index, _)| self.outputs[*index].kind != OutputKind::Haproxy);
        let destinations: Vec<&PathBuf> =
            others.map(|(index, _)| &self.outputs[*index].config.destination).collect();
        if destinations.is_empty() {
            return None;
        }
        let base =
            self.haproxy.as_ref().and_then(|haproxy| haproxy.working_directory.clone()).unwrap_or_default();
        let named: BTreeSet<PathBuf> =
            self.live.references().iter().map(|found| base.join(&found.path)).collect();
        let other = destinations.into_iter().find(|destination| !named.contains(*destination));
        other.map(|destination| format!("{} changed", destination.display()))
    }

    fn tell(&mut self, now: Instant, tell: Tell, files: &Files, wanted: &Wanted) {
        let is_news = self.is_news(wanted);
        if is_news {
            self.changed_at.get_or_insert(now);
        }
        let reason =
            if is_news && !tell.steps.is_empty() { self.reason(files, wanted) } else { why(&tell.steps) };
        let since = self.changed_at.unwrap_or(now);
        self.send(tell, reason, since);
    }

    /// Puts something to say to HAProxy in flight.
    pub(super) fn send(&mut self, tell: Tell, reason: String, since: Instant) {
        self.effects.push(Effect::Tell(tell.clone()));
        self.in_flight = Some(InFlight { reason, tell: Some(tell), ..InFlight::since(since) });
    }

    /// Whether HAProxy does not run all that is wanted.
    fn is_news(&self, wanted: &Wanted) -> bool {
        wanted.outcomes.iter().zip(&self.outputs).any(|(outcome, output)| match outcome {
            Outcome::Text { text, .. } => !output.runs(text),
            Outcome::Waiting(_) | Outcome::Failed(_) | Outcome::NoSource => false,
        })
    }

    /// HAProxy runs what is wanted, and the files may be behind; or it does not run, and will read them.
    fn follow(&mut self, now: Instant, files: Files, wanted: Wanted) {
        let mut reason = String::new();
        if self.seen.state == Some(HaproxyState::Running) {
            self.note_running(&wanted);
        } else {
            reason = self.reason(&files, &wanted);
        }
        self.changed_at = None;
        self.held_since = None;
        if files.is_empty() {
            self.refused = None;
        }
        self.reload_if_due(now);
        if files.is_empty() || self.in_flight.is_some() || !self.may_follow(now, &files) {
            return;
        }
        self.follow_after = Some(now + FOLLOWS);
        let flight = self.flight(now, files, wanted, reason);
        if let Some(change) = &flight.change {
            self.effects.push(Effect::Follow(change.clone()));
        }
        self.following = Some(flight);
    }

    /// Whether the files may be written now.
    fn may_follow(&mut self, now: Instant, files: &Files) -> bool {
        let waits = |after: Option<Instant>| after.is_some_and(|after| after > now);
        let is_refused =
            self.refused.as_ref().is_some_and(|refused| refused.files == *files && refused.again > now);
        let is_early = waits(self.follow_after) && !self.stopping;
        self.following.is_none() && !is_early && !waits(self.write_after) && !is_refused
    }

    fn note_running(&mut self, wanted: &Wanted) {
        let mut is_news = false;
        for (output, outcome) in self.outputs.iter_mut().zip(&wanted.outcomes) {
            if let (Outcome::Text { text, pools, .. }, OutputKind::Haproxy) = (outcome, output.kind) {
                is_news |= !output.runs(text);
                output.running = Some(text.clone());
                output.pools = pools.clone();
                output.note = Note::InForce;
            }
        }
        if is_news {
            self.last_good = wanted.effective.clone();
            self.forget_confirmed();
        }
    }

    fn reload_for(&mut self, now: Instant, files: Files, wanted: Wanted, reason: String) {
        self.changed_at.get_or_insert(now);
        if files.is_empty() {
            self.reload.reason.get_or_insert(reason);
            return self.reload_if_due(now);
        }
        if self.following.is_none() && self.may_write(now, &files) {
            self.apply(now, files, wanted, Some(reason));
        } else {
            self.reload_if_due(now);
        }
    }

    /// The way of an HAProxy that cannot be told: everything is written, validated and reloaded; only written where it does not
    /// run, and does not care which of the texts it starts with.
    fn put_in_force(&mut self, now: Instant, files: Files, wanted: Wanted) {
        let is_down = self.live.is_on && self.seen.state == Some(HaproxyState::NotRunning);
        if is_down
            && !files.is_empty()
            && !files.iter().any(|(index, text)| self.matters_at_start(*index, text))
        {
            return self.follow(now, files, wanted);
        }
        if files.is_empty() {
            self.refused = None;
            self.changed_at = None;
            self.held_since = None;
            return self.reload_if_due(now);
        }
        self.changed_at.get_or_insert(now);
        if self.following.is_none() && self.may_write(now, &files) {
            self.apply(now, files, wanted, None);
        } else {
            // What is on the disk may still wait for its reload.
            self.reload_if_due(now);
        }
    }

    /// A change of these files, as it is in flight.
    pub(super) fn flight(
        &mut self,
        since: Instant,
        files: Files,
        wanted: Wanted,
        reason: String,
    ) -> InFlight {
        let edits =
            files.iter().map(|(index, _)| *index).filter(|index| self.outputs[*index].uses_edit()).collect();
        let mut outcomes: Vec<_> = wanted.outcomes.into_iter().map(super::turn::pools).collect();
        let pools = files.iter().filter_map(|(index, _)| Some((*index, outcomes[*index].take()?))).collect();
        let restore = self.live.is_on.then(|| self.live.restore());
        let change = Some(Change { files, reason: reason.clone(), restore });
        InFlight { change, pools, edits, reason, offered: wanted.effective, ..InFlight::since(since) }
    }
}

/// What the clock on the wall shows at that moment, which is now or (in tests) to come.
fn wall_clock(moment: Instant) -> SystemTime {
    SystemTime::now() + moment.saturating_duration_since(Instant::now())
}

/// Why steps are taken that no new text asks for: the server and the reason of the first, and how many servers more.
fn why(steps: &[Step]) -> String {
    let Some(first) = steps.first() else { return String::new() };
    let others: BTreeSet<&str> = steps.iter().filter_map(Step::server).collect();
    let more = match others.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    first.server().map_or_else(|| first.why.clone(), |server| format!("{server}: {}{more}", first.why))
}

#[cfg(test)]
mod tests {
    use weir_pools::plan::Reply;

    use super::*;

    #[test]
    fn a_reason_names_its_server() {
        let step = |command: &str, why: &str| Step {
            command: command.to_owned(),
            why: why.to_owned(),
            expects: Reply::Empty,
            is_conditional: false,
        };
        let drains = |server| step(&format!("set server web/{server} state drain"), "an intent drains it");
        assert_eq!(why(&[]), "");
        assert_eq!(why(&[drains("a")]), "web/a: an intent drains it");
        assert_eq!(why(&[drains("a"), step("del server web/a", "gone")]), "web/a: an intent drains it");
        assert_eq!(why(&[drains("a"), drains("b"), drains("c")]), "web/a: an intent drains it, and 2 more");
        assert_eq!(why(&[step("enable dynamic-cookie backend web", "it has cookies")]), "it has cookies");
    }
}
