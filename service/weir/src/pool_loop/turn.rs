//! One turn: what is wanted, what differs, and whether it may be put in force now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use haproxy_cfg::Sections;
use weir_pools::Catalogue;
use weir_pools::guard::Pools;
use weir_pools::places::OutputKind;

use super::output::{Note, Output};
use super::wanted::{Choice, Inputs, Outcome, Wanted};
use super::{Effect, InFlight, PoolLoop, TEACHING, servers};
use crate::journal::{Record, confirming};
use crate::status::HaproxyState;

impl PoolLoop {
    /// Begins the next step, if one is due and nothing is in flight.
    pub(super) fn next_step(&mut self, now: Instant) {
        if self.in_flight.is_some() || (self.stopping && !self.is_behind()) {
            return;
        }
        for output in &mut self.outputs {
            output.try_again(now);
            output.stop_waiting();
        }
        let before = self.guard.clone();
        let wanted = self.want_usable(now);
        if !wanted.untraceable.is_empty() && self.outputs.iter().any(Output::uses_edit) {
            // The edit is the cause, not Consul: nothing is kept for it.
            self.guard = before;
            self.refuse_emptying_edits(now, &wanted);
            return self.next_step(now);
        }
        if self.guard != before {
            self.remember();
        }
        self.note(&wanted);
        if !wanted.untraceable.is_empty() {
            return self.hold_back(now, &wanted);
        }
        self.held_back = None;
        let files = self.news(&wanted);
        self.go(now, files, wanted);
    }

    /// What is wanted. An edit that cannot be rendered, or not yet, leaves the last good source in use meanwhile.
    fn want_usable(&mut self, now: Instant) -> Wanted {
        let before = self.guard.clone();
        let first = self.want(now);
        let unusable: Vec<usize> = (0..self.outputs.len())
            .filter(|index| self.outputs[*index].uses_edit() && self.outputs[*index].good.is_some())
            .filter(|index| !matches!(first.outcomes[*index], Outcome::Text { .. }))
            .collect();
        if unusable.is_empty() {
            return first;
        }
        self.guard = before;
        for index in unusable {
            match &first.outcomes[index] {
                Outcome::Failed(problem) => self.refuse_edit(now, index, problem),
                Outcome::Waiting(queries) => {
                    self.outputs[index].wait(queries.iter().map(ToString::to_string).collect());
                }
                Outcome::Text { .. } | Outcome::NoSource => {}
            }
        }
        let mut wanted = self.want(now);
        Arc::make_mut(&mut wanted.reads).extend(first.reads.iter().cloned());
        wanted
    }

    fn want(&mut self, now: Instant) -> Wanted {
        self.release_where_zero_is_meant();
        let catalogue = self.without_banned(now);
        let choices: Vec<Choice<'_>> = self.outputs.iter().map(choice).collect();
        let released = self.confirmed.iter().chain(&self.zero).chain(self.live.held_open());
        let inputs = Inputs {
            choices: &choices,
            catalogue: &catalogue,
            last_good: &self.last_good,
            environment: &self.environment,
            haproxy: self.haproxy.as_ref(),
            released: released.cloned().collect(),
        };
        let mut wanted = self.renderer.want(&inputs, &mut self.guard);
        self.search.leave_out(now, &mut wanted);
        wanted.left_out.extend(self.banned.iter().map(|(banned, _)| banned.left_out.clone()));
        wanted
    }

    /// The catalogue without those that HAProxy refuses. One that was registered anew is tried again, and any after
    /// some minutes: a name may resolve by now.
    fn without_banned(&mut self, now: Instant) -> Arc<Catalogue> {
        let catalogue = &self.catalogue;
        self.banned.retain(|(banned, until)| *until > now && banned.suspect.stands(catalogue));
        if self.banned.is_empty() {
            return self.catalogue.clone();
        }
        let mut rest = Catalogue::clone(&self.catalogue);
        for (banned, _) in &self.banned {
            banned.suspect.remove_from(&mut rest);
        }
        Arc::new(rest)
    }

    pub(super) fn release_where_zero_is_meant(&mut self) {
        let meant: Vec<String> = self
            .guard
            .held()
            .map(|(backend, _)| backend.to_owned())
            .filter(|backend| self.zero.contains(backend))
            .collect();
        for backend in meant {
            self.guard.release(&backend);
            let why = "Nomad wants no instance of it".into();
            self.record(Record::Released { haproxy: self.name.clone(), backend, why });
        }
    }

    fn refuse_emptying_edits(&mut self, now: Instant, wanted: &Wanted) {
        let backends = names(&wanted.untraceable);
        self.would_empty.clone_from(&wanted.untraceable);
        let problem = format!(
            "backend {backends} would become empty. If that is meant: {}",
            confirming(&wanted.untraceable)
        );
        self.refuse_edits(now, &problem);
    }

    /// No text may be put in force.
    pub(super) fn hold_back(&mut self, now: Instant, wanted: &Wanted) {
        let backends: Vec<String> = wanted.untraceable.iter().cloned().collect();
        let problem = format!("backend {} would become empty", names(&wanted.untraceable));
        self.would_empty.clone_from(&wanted.untraceable);
        if self.held_back.as_ref() != Some(&problem) {
            self.record(Record::HeldBack { haproxy: self.name.clone(), backends });
            self.held_back = Some(problem);
        }
        self.reload_if_due(now);
    }

    pub(super) fn refuse_edits(&mut self, now: Instant, problem: &str) {
        for index in 0..self.outputs.len() {
            if self.outputs[index].uses_edit() {
                self.refuse_edit(now, index, problem);
            }
        }
    }

    fn refuse_edit(&mut self, now: Instant, index: usize, problem: &str) {
        self.outputs[index].refuse(now, problem);
        let record = self.outputs[index].failed(problem.to_owned());
        self.record(record);
    }

    /// The outputs whose text is not the one in force, maps and lists first.
    pub(super) fn news(&self, wanted: &Wanted) -> Vec<(usize, Arc<str>)> {
        // HAProxy cannot be validated while one of its files was never there: all come together at first.
        let absent = |index: &usize| {
            let missing = self.outputs[*index].in_force.is_none();
            missing && !matches!(wanted.outcomes[*index], Outcome::Text { .. })
        };
        if self.haproxy.is_some() && (0..self.outputs.len()).any(|index| absent(&index)) {
            return Vec::new();
        }
        let mut files: Vec<(usize, Arc<str>)> = Vec::new();
        for (index, outcome) in wanted.outcomes.iter().enumerate() {
            if let Outcome::Text { text, .. } = outcome
                && !self.outputs[index].is_in_force(text)
            {
                files.push((index, text.clone()));
            }
        }
        files.sort_by_key(|(index, _)| self.outputs[*index].kind == OutputKind::Haproxy);
        files
    }

    pub(super) fn may_write(&mut self, now: Instant, files: &[(usize, Arc<str>)]) -> bool {
        if self.write_after.is_some_and(|after| after > now) {
            return false;
        }
        self.write_after = None;
        if self.refused.as_ref().is_some_and(|refused| refused.files == files && refused.again > now) {
            return false;
        }
        self.refused = None;
        self.reload_may_run(now)
    }

    /// A reload waits while too many old workers live, or stick tables are being taught; not for ever.
    pub(super) fn reload_may_run(&mut self, now: Instant) -> bool {
        let Some(haproxy) = &self.haproxy else { return true };
        let crowded = self.seen.old_workers.is_some_and(|old| old > haproxy.max_old_workers);
        let teaching = self.seen.forgets_young
            && self.seen.uptime < TEACHING
            && self
                .outputs
                .iter()
                .filter_map(|output| output.in_force.as_ref())
                .any(|text| servers::has_peers(text));
        if !crowded && !teaching {
            self.held_since = None;
            return true;
        }
        let since = *self.held_since.get_or_insert(now);
        now >= since + haproxy.reload_wait
    }

    pub(super) fn apply(
        &mut self,
        now: Instant,
        files: Vec<(usize, Arc<str>)>,
        wanted: Wanted,
        why_reload: Option<String>,
    ) {
        if self.stopping {
            return;
        }
        let reason = why_reload.unwrap_or_else(|| self.reason(&files, &wanted));
        let since = self.changed_at.take().unwrap_or(now);
        let flight = self.flight(since, files, wanted, reason);
        if let Some(change) = &flight.change {
            self.effects.push(Effect::Apply(change.clone()));
        }
        self.in_flight = Some(flight);
    }

    /// Why the files change: servers that come and go, an edited template, or the files themselves.
    pub(super) fn reason(&self, files: &[(usize, Arc<str>)], wanted: &Wanted) -> String {
        let mut reasons = Vec::new();
        for (index, _) in files {
            let output = &self.outputs[*index];
            if output.uses_edit() && output.good.is_some() {
                reasons.push(format!("{} edited", output.config.name()));
            }
            if let Outcome::Text { pools, .. } = &wanted.outcomes[*index] {
                reasons.push(servers::difference(&output.pools, pools));
            }
        }
        reasons.retain(|reason| !reason.is_empty());
        let first = files.iter().all(|(index, _)| self.outputs[*index].in_force.is_none());
        if first && reasons.is_empty() {
            return "first render".into();
        }
        if reasons.is_empty() { "other text".into() } else { reasons.join(", ") }
    }

    pub(super) fn reload_if_due(&mut self, now: Instant) {
        // Sources that render to the text in force have proven themselves.
        self.accept_quietly();
        let running =
            self.seen.state == Some(HaproxyState::Running) || self.seen.state == Some(HaproxyState::Unknown);
        let waiting = self.reload.after.is_some_and(|after| after > now);
        let Some(reason) = self.reload.reason.clone() else { return };
        if !running || waiting || self.stopping || self.following.is_some() || !self.reload_may_run(now) {
            return;
        }
        let restore = self.live.is_on.then(|| self.live.restore());
        self.effects.push(Effect::Reload { reason, restore });
        self.in_flight = Some(InFlight::since(now));
    }

    pub(super) fn accept_quietly(&mut self) {
        let mut accepted = false;
        for output in &mut self.outputs {
            if output.uses_edit() && output.note == Note::InForce {
                accepted |= output.accept();
            }
        }
        if accepted {
            self.last_good = self.catalogue_in_force();
            self.remember();
            self.effects.push(Effect::RememberCatalogue(self.last_good.clone()));
        }
    }

    /// The catalogue that renders what is in force when nothing had to be written.
    pub(super) fn catalogue_in_force(&self) -> Arc<Catalogue> {
        if self.guard.is_idle() { self.catalogue.clone() } else { self.last_good.clone() }
    }
}

pub(super) fn choice(output: &Output) -> Choice<'_> {
    Choice {
        destination: &output.config.destination,
        kind: output.kind,
        template: output.source().map(|source| &source.template),
        edited: output.uses_edit() || output.good.is_none(),
        in_force: &output.pools,
    }
}

fn names(backends: &BTreeSet<String>) -> String {
    backends.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

pub(super) fn pools(outcome: Outcome) -> Option<(Arc<Pools>, Sections)> {
    match outcome {
        Outcome::Text { pools, sections, .. } => Some((pools, sections)),
        Outcome::Waiting(_) | Outcome::Failed(_) | Outcome::NoSource => None,
    }
}
