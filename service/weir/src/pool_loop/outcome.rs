//! How a change or a reload ended, and what follows from it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haproxy_cfg::Sections;
use weir_pools::Catalogue;
use weir_pools::guard::Pools;
use weir_pools::places::OutputKind;
use weir_pools::plan::differ_in_structure;

use super::search::Refusal;
use super::{
    BANNED, Change, Done, DoneResult, Effect, InFlight, PoolLoop, REFUSED_AGAIN, RefusedTexts, ReloadResult,
    report,
};
use crate::journal::{ChangeResult, Record};
use crate::status::HaproxyState;

impl PoolLoop {
    pub(super) fn done(&mut self, now: Instant, done: Done) {
        let Some(flight) = self.in_flight.take() else { return };
        let took = flight.since.elapsed().max(done.took);
        match done.result {
            DoneResult::Told(result) => self.told(now, flight, result, took),
            DoneResult::Refused { problem, lines } => self.refused(now, flight, problem, &lines, took),
            DoneResult::Failed(problem) => self.failed(now, &flight, problem, took),
            DoneResult::Swapped(reload) => self.swapped(now, flight, reload, took),
            DoneResult::Reloaded(reload) => {
                let reason = self.reload.reason.clone().unwrap_or_default();
                self.after_reload(now, reload, &reason);
            }
            // Files follow in a flight of their own.
            DoneResult::Followed => {}
        }
    }

    /// The files that followed commands were written, or not.
    pub(super) fn followed(&mut self, now: Instant, done: Done) {
        let Some(flight) = self.following.take() else { return };
        match done.result {
            DoneResult::Refused { problem, lines } => self.refused(now, flight, problem, &lines, done.took),
            DoneResult::Failed(problem) => self.failed(now, &flight, problem, done.took),
            DoneResult::Followed => self.wrote(flight, done.took),
            DoneResult::Swapped(_) | DoneResult::Reloaded(_) | DoneResult::Told(_) => {}
        }
    }

    /// The files say what HAProxy runs, or will when it starts.
    fn wrote(&mut self, flight: InFlight, took: Duration) {
        let Some(change) = flight.change else { return };
        self.write.reset();
        let files = change.files.iter().map(|(index, _)| self.destination(*index)).collect();
        for (index, text) in change.files {
            self.outputs[index].in_force = Some(text);
        }
        self.search.accept(flight.offered.clone());
        for (index, (_, sections)) in &flight.pools {
            self.live.wrote(*index, sections.clone());
        }
        if !change.reason.is_empty() {
            self.will_be_read(flight.pools, flight.offered.clone());
            self.note_written(change.reason, files, took);
        }
        if !flight.edits.is_empty() || self.outputs.iter().any(|output| output.good.is_none()) {
            self.accept_edits(&flight.edits);
        }
        self.effects.push(Effect::RememberCatalogue(flight.offered));
    }

    fn refused(
        &mut self,
        now: Instant,
        flight: InFlight,
        problem: String,
        lines: &[(PathBuf, usize)],
        took: Duration,
    ) {
        let Some(change) = flight.change else { return };
        self.last_change = Some(report::last_change(&change.reason, took, "refused", Some(problem.clone())));
        if flight.edits.is_empty() || flight.edits.iter().all(|index| self.outputs[*index].good.is_none()) {
            if self.ban(now, &change, lines, &problem) {
                return;
            }
            self.record(Record::Refused { haproxy: self.name.clone(), error: problem.clone() });
            let (files, again) = (change.files, now + REFUSED_AGAIN);
            self.refused = Some(RefusedTexts { files: files.clone(), problem: problem.clone(), again });
            self.seek(now, Refusal { files, offered: flight.offered, problem });
        } else {
            self.refuse_edits(now, &problem);
        }
        self.answer(&Err("HAProxy refuses the configuration; see the log and `weir status`".into()));
    }

    /// Leaves those out whose values stand on the lines that HAProxy refuses: one bad registration must not hold up
    /// everybody else's. Returns whether anybody was found.
    fn ban(&mut self, now: Instant, change: &Change, lines: &[(PathBuf, usize)], problem: &str) -> bool {
        let mut found = Vec::new();
        for (index, text) in &change.files {
            let destination = &self.outputs[*index].config.destination;
            let here: Vec<usize> =
                lines.iter().filter(|(path, _)| path == destination).map(|(_, line)| *line).collect();
            found.extend(self.renderer.refused(destination, text, &here, problem));
        }
        let any = !found.is_empty();
        self.banned.extend(found.into_iter().map(|banned| (banned, now + BANNED)));
        any
    }

    pub(super) fn failed(&mut self, now: Instant, flight: &InFlight, problem: String, took: Duration) {
        self.write_after = Some(now + self.write.next());
        let reason = flight.change.as_ref().map_or("", |change| change.reason.as_str());
        self.last_change = Some(report::last_change(reason, took, "failed", Some(problem.clone())));
        self.record(Record::WriteFailed { haproxy: self.name.clone(), error: problem });
    }

    pub(super) fn swapped(&mut self, now: Instant, flight: InFlight, reload: ReloadResult, took: Duration) {
        let Some(change) = flight.change else { return };
        self.write.reset();
        let files: Vec<String> = change
            .files
            .iter()
            .map(|(index, _)| self.outputs[*index].config.destination.display().to_string())
            .collect();
        let reload = self.unless_read_at_start(reload, &change.files);
        for (index, text) in change.files {
            self.outputs[index].running = Some(text.clone());
            self.outputs[index].in_force = Some(text);
        }
        for (index, (pools, _)) in flight.pools {
            self.outputs[index].pools = pools;
        }
        match &reload {
            // What passes the check may still not start: an address in use, a missing right.
            ReloadResult::Failed(error)
                if flight.edits.iter().any(|index| self.outputs[*index].good.is_some()) =>
            {
                self.refuse_edits(now, &format!("HAProxy does not start with it: {error}"));
            }
            _ => self.accept_edits(&flight.edits),
        }
        self.last_good = flight.offered;
        self.search.accept(self.last_good.clone());
        self.effects.push(Effect::RememberCatalogue(self.last_good.clone()));
        self.forget_confirmed();
        let result = self.after_reload(now, reload, &change.reason);
        self.last_change = Some(report::last_change(&change.reason, took, report::word(result), None));
        let took_ms = report::millis(took);
        self.record(Record::Changed {
            haproxy: self.name.clone(),
            reason: change.reason,
            files,
            result,
            commands: Vec::new(),
            took_ms,
        });
    }

    /// HAProxy does not run: what is written is what is in force.
    fn will_be_read(&mut self, pools: Vec<(usize, (Arc<Pools>, Sections))>, offered: Arc<Catalogue>) {
        for (index, (pools, _)) in pools {
            self.outputs[index].pools = pools;
        }
        self.last_good = offered;
        self.forget_confirmed();
    }

    fn destination(&self, index: usize) -> String {
        self.outputs[index].config.destination.display().to_string()
    }

    fn note_written(&mut self, reason: String, files: Vec<String>, took: Duration) {
        let (haproxy, result, took_ms) = (self.name.clone(), ChangeResult::Written, report::millis(took));
        self.last_change = Some(report::last_change(&reason, took, report::word(result), None));
        self.record(Record::Changed { haproxy, reason, files, result, commands: Vec::new(), took_ms });
    }

    /// A HAProxy that does not run needs no reload later, whichever of the two texts it reads when it starts: where they differ in
    /// servers only, it is told.
    fn unless_read_at_start(&mut self, reload: ReloadResult, files: &[(usize, Arc<str>)]) -> ReloadResult {
        let is_down = matches!(reload, ReloadResult::NotRunning) && self.live.is_on;
        if !is_down
            || self.reload.reason.is_some()
            || files.iter().any(|(index, text)| self.matters_at_start(*index, text))
        {
            return reload;
        }
        self.live.doubt();
        self.seen.state = Some(HaproxyState::NotRunning);
        self.effects.push(Effect::ReloadDone);
        ReloadResult::NotNeeded
    }

    /// Whether it matters to HAProxy if it started with the text that was there before.
    pub(super) fn matters_at_start(&mut self, index: usize, text: &Arc<str>) -> bool {
        let output = &mut self.outputs[index];
        let is_named =
            self.haproxy.as_ref().is_some_and(|haproxy| haproxy.config.contains(&output.config.destination));
        match output.in_force.clone() {
            // Without it, it could not have started.
            None => output.kind == OutputKind::Haproxy && !is_named,
            Some(before) if output.kind == OutputKind::Haproxy => {
                differ_in_structure(&output.sections(&before), &output.sections(text))
            }
            Some(_) => true,
        }
    }

    pub(super) fn accept_edits(&mut self, edits: &BTreeSet<usize>) {
        for index in edits {
            if self.outputs[*index].accept() {
                let template = self.outputs[*index].config.name();
                self.record(Record::SourceAccepted { template });
            }
        }
        for output in self.outputs.iter_mut().filter(|output| output.good.is_none()) {
            output.accept();
        }
        self.remember();
    }

    /// A confirmation is for once: it ends when the pool has servers again, or has become empty.
    pub(super) fn forget_confirmed(&mut self) {
        let outputs = &self.outputs;
        let servers = |backend: &String| {
            outputs.iter().any(|o| o.pools.get(backend.as_str()).is_some_and(|p| !p.is_empty()))
        };
        self.confirmed.retain(|backend| servers(backend));
    }

    pub(super) fn after_reload(&mut self, now: Instant, reload: ReloadResult, reason: &str) -> ChangeResult {
        match reload {
            ReloadResult::Ok { pid, took, left, observation } => {
                self.see_new_worker(now, pid, left, observation);
                self.reloads += 1;
                self.last_reload = Some(report::last_reload(took, None));
                let took_ms = report::millis(took);
                let (haproxy, reason) = (self.name.clone(), reason.to_owned());
                self.record(Record::Reloaded { haproxy, reason, pid, took_ms });
                self.seen.pid = pid.or(self.seen.pid);
                self.seen.uptime = Duration::ZERO;
                self.reloaded();
                ChangeResult::Reloaded
            }
            ReloadResult::Failed(error) | ReloadResult::NotBegun(error) => {
                let wait = self.reload.backoff.next();
                self.reload.after = Some(now + wait);
                self.reload.reason = Some(reason.to_owned());
                self.last_reload = Some(report::last_reload(Duration::ZERO, Some(error.clone())));
                self.answer(&Err(error.clone()));
                let again_in_ms = report::millis(wait);
                self.record(Record::ReloadFailed { haproxy: self.name.clone(), error, again_in_ms });
                ChangeResult::ReloadPending
            }
            ReloadResult::NotRunning => {
                self.reload.reason = Some(reason.to_owned());
                self.reload.swapped = Some(report::seconds_now());
                self.live.doubt();
                // Until it is seen again.
                self.seen.state = Some(HaproxyState::NotRunning);
                self.answer(&Err("HAProxy does not run; it will read the files when it starts".into()));
                ChangeResult::Written
            }
            ReloadResult::NotNeeded => ChangeResult::Written,
        }
    }

    /// HAProxy runs the files as they are.
    pub(super) fn reloaded(&mut self) {
        self.reload.reason = None;
        self.reload.swapped = None;
        self.reload.after = None;
        self.reload.backoff.reset();
        self.held_since = None;
        self.effects.push(Effect::ReloadDone);
        self.answer(&Ok("reloaded".into()));
    }

    pub(super) fn answer(&mut self, result: &Result<String, String>) {
        for reply in self.replies.drain(..) {
            let _ = reply.send(result.clone());
        }
    }
}
