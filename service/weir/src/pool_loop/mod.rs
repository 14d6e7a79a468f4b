//! The pool loop: keeps one HAProxy (or a group of files) equal to what the templates say.
//!
//! [`PoolLoop::handle`] is synchronous: events in, effects out. It may be woken at any time and does the right thing
//! from what it knows. The [`runner`] waits and carries effects out, at most one change in flight, and brings each
//! outcome back as an event. Bad input changes nothing that works: it is recorded, shown, and tried again.

mod apply;
mod backoff;
mod culprits;
mod memory;
mod output;
mod report;
mod runner;
mod servers;
mod wanted;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use weir_pools::guard::{Guard, Pools};
use weir_pools::{Catalogue, Query};

pub(crate) use apply::{File, Hands};
pub(crate) use memory::{Memory, StateDir};
pub(crate) use output::Output;
pub(crate) use report::Report;
pub(crate) use runner::{Handle, Inbox, spawn};
pub(crate) use servers::pools_of;
use wanted::{Choice, Inputs, Outcome, Renderer, Wanted};

use crate::config::{Environment, Haproxy};
use crate::journal::{ChangeResult, Record};
use crate::status::{HaproxyState, LastChange, LastReload, LeftOut};
use backoff::Backoff;
use output::Note;

/// Stick tables are taught to a new worker by the old one; before 3.0 a reload within the first seconds of a process
/// loses them (measured on 2.6.12: lost at 1 s, kept at 12 s; fixed in 3.0-dev9).
const TEACHING: Duration = Duration::from_secs(10);
/// A text that HAProxy refused is offered again after this long even if nothing changed: a certificate or a map may
/// be there by now.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);

/// The answer to a person's command.
pub(crate) type Reply = oneshot::Sender<Result<String, String>>;

/// What can happen to a pool loop.
#[derive(Debug)]
pub(crate) enum Event {
    /// Consul said something.
    Catalogue(Arc<Catalogue>),
    /// A template's source was read.
    Source { index: usize, text: Result<Arc<str>, String> },
    /// HAProxy was looked at.
    Seen(Seen),
    /// The effect in flight ended.
    Done(Done),
    /// Nomad wants none of the instances that these pools keep.
    Zero(BTreeSet<String>),
    /// A person asks for a reload.
    Reload(Reply),
    /// A person confirms that a pool may be empty.
    ConfirmEmpty(String, Reply),
    /// A time came that [`PoolLoop::next_look`] named.
    Timer,
    /// The daemon ends: nothing new is begun.
    Stop,
}

/// What the outside shall do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Write, validate, swap, and reload where HAProxy runs.
    Apply(Change),
    /// Reload HAProxy with the files as they are.
    Reload {
        reason: String,
    },
    /// Keep over restarts.
    Remember(Memory),
    /// Keep the catalogue in force over restarts.
    RememberCatalogue(Arc<Catalogue>),
    /// HAProxy runs the files as they are: no reload is pending.
    ReloadDone,
    Record(Record),
}

/// New texts for some outputs.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Maps and lists first, configuration last: index of the output and its text.
    pub(crate) files: Vec<(usize, Arc<str>)>,
    pub(crate) reason: String,
}

/// How the effect in flight ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) result: DoneResult,
    pub(crate) took: Duration,
}

/// The outcomes of [`Effect::Apply`] and [`Effect::Reload`].
#[derive(Debug)]
pub(crate) enum DoneResult {
    /// HAProxy refuses the new texts; nothing was touched. Its own words.
    Refused(String),
    /// The texts could not be written or checked; nothing was touched.
    Failed(String),
    /// The files are swapped; and then.
    Swapped(ReloadResult),
    /// No file was to be swapped.
    Reloaded(ReloadResult),
}

/// How a reload went.
#[derive(Debug)]
pub(crate) enum ReloadResult {
    Ok {
        pid: Option<u32>,
        took: Duration,
    },
    Failed(String),
    /// HAProxy does not run: it reads the files when it starts.
    NotRunning,
    /// No HAProxy loads these files.
    NotNeeded,
}

/// HAProxy at one look.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) state: Option<HaproxyState>,
    pub(crate) pid: Option<u32>,
    /// When the process started, seconds since the epoch.
    pub(crate) started: Option<u64>,
    pub(crate) uptime: Duration,
    pub(crate) version: Option<String>,
    /// Whether it is older than 3.0 and loses stick tables when reloaded young.
    pub(crate) forgets_young: bool,
    pub(crate) old_workers: Option<usize>,
    pub(crate) servers: report::SeenServers,
}

/// One HAProxy with its templates.
#[derive(Debug)]
pub(crate) struct PoolLoop {
    /// The HAProxy's label; empty for the one without.
    name: String,
    haproxy: Option<Haproxy>,
    environment: Arc<Environment>,
    outputs: Vec<Output>,
    renderer: Renderer,
    guard: Guard,
    catalogue: Arc<Catalogue>,
    last_good: Arc<Catalogue>,
    /// The catalogue that the change in flight was rendered from.
    offered: Arc<Catalogue>,
    reads: BTreeSet<Query>,
    left_out: BTreeSet<LeftOut>,
    /// Pools that a person said may be empty.
    confirmed: BTreeSet<String>,
    /// Pools of which Nomad wants no instance.
    zero: BTreeSet<String>,
    seen: Seen,
    in_flight: Option<InFlight>,
    reload: PendingReload,
    refused: Option<RefusedTexts>,
    write: Backoff,
    /// Nothing is written before this.
    write_after: Option<Instant>,
    /// Since when a change waits because of old workers or stick tables.
    held_since: Option<Instant>,
    held_back: Option<String>,
    /// When the oldest input came that is not in force.
    changed_at: Option<Instant>,
    /// When the last turn was.
    looked: Instant,
    stopping: bool,
    replies: Vec<Reply>,
    last_change: Option<LastChange>,
    last_reload: Option<LastReload>,
    reloads: u64,
    effects: Vec<Effect>,
}

#[derive(Debug)]
struct InFlight {
    change: Option<Change>,
    pools: Vec<(usize, Pools)>,
    /// Outputs whose source in this change is an edit.
    edits: BTreeSet<usize>,
    since: Instant,
}

/// A reload that is due.
#[derive(Debug)]
struct PendingReload {
    reason: Option<String>,
    /// The files were swapped at this time (seconds since the epoch): a process that started later has read them.
    swapped: Option<u64>,
    backoff: Backoff,
    after: Option<Instant>,
}

/// Texts that HAProxy refused, so that they are not offered again and again.
#[derive(Debug)]
struct RefusedTexts {
    files: Vec<(usize, Arc<str>)>,
    problem: String,
    again: Instant,
}

impl PoolLoop {
    pub(crate) fn new(
        name: String,
        haproxy: Option<Haproxy>,
        outputs: Vec<Output>,
        environment: Arc<Environment>,
        memory: Memory,
        last_good: Catalogue,
    ) -> Self {
        let last_good = Arc::new(last_good);
        let reason = memory.reload_pending.map(|_| "a reload was pending when weir ended".to_owned());
        let reload =
            PendingReload { reason, swapped: memory.reload_pending, backoff: Backoff::reload(), after: None };
        let mut outputs = outputs;
        for output in &mut outputs {
            let source = memory.sources.get(&output.config.destination);
            output.good = source.and_then(|text| output::parse(&output.config.name(), text.clone()).ok());
        }
        Self {
            name,
            haproxy,
            environment,
            outputs,
            reload,
            last_good,
            renderer: Renderer::default(),
            guard: memory.guard,
            catalogue: Arc::default(),
            offered: Arc::default(),
            reads: BTreeSet::new(),
            left_out: BTreeSet::new(),
            confirmed: BTreeSet::new(),
            zero: BTreeSet::new(),
            seen: Seen::default(),
            in_flight: None,
            refused: None,
            write: Backoff::write(),
            write_after: None,
            held_since: None,
            held_back: None,
            changed_at: None,
            looked: Instant::now(),
            stopping: false,
            replies: Vec::new(),
            last_change: None,
            last_reload: None,
            reloads: 0,
            effects: Vec::new(),
        }
    }

    /// Takes one event in and says what to do.
    pub(crate) fn handle(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        self.looked = now;
        match event {
            Event::Catalogue(catalogue) => self.catalogue = catalogue,
            Event::Source { index, text } => self.source(index, text),
            Event::Seen(seen) => self.see(seen),
            Event::Done(done) => self.done(now, done),
            Event::Zero(backends) => self.zero = backends,
            Event::Reload(reply) => self.ask_reload(reply),
            Event::ConfirmEmpty(backend, reply) => self.confirm_empty(backend, reply),
            Event::Timer => {}
            Event::Stop => self.stopping = true,
        }
        self.next_step(now);
        std::mem::take(&mut self.effects)
    }

    /// When to look again although nothing happens. Times that had their chance in the last turn are over.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let edits = self.outputs.iter().filter_map(Output::again);
        let held = match (&self.haproxy, self.held_since) {
            (Some(haproxy), Some(since)) => Some(since + haproxy.reload_wait),
            _ => None,
        };
        let refused = self.refused.as_ref().map(|refused| refused.again);
        let reload = self.reload.reason.as_ref().and(self.reload.after);
        let times = edits.chain(held).chain(refused).chain(reload).chain(self.write_after);
        times.filter(|time| *time > self.looked).min()
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// What Consul must be asked.
    pub(crate) fn reads(&self) -> BTreeSet<Query> {
        let named =
            self.outputs.iter().filter_map(Output::source).flat_map(|source| source.template.queries());
        named.chain(self.reads.iter().cloned()).collect()
    }

    fn source(&mut self, index: usize, text: Result<Arc<str>, String>) {
        let Some(output) = self.outputs.get_mut(index) else { return };
        let first = output.good.is_none() && output.edit.is_none();
        if !output.read(text) {
            return;
        }
        let template = output.config.name();
        let problem = output.problem().map(str::to_owned);
        if !first {
            self.record(Record::SourceChanged { template: template.clone() });
        }
        if let Some(error) = problem {
            self.record(Record::SourceFailed { template, error });
        }
    }

    fn see(&mut self, seen: Seen) {
        let (before, now) = (self.seen.pid, seen.pid);
        let known = self.seen.state.is_some();
        self.seen = seen;
        if known && before != now && self.in_flight.is_none() {
            self.record(Record::ProcessChanged { haproxy: self.name.clone(), pid: now });
        }
        self.read_at_start();
    }

    /// A process that started after the files were swapped has read them: no reload is due. (Both times are known to
    /// the second only; in doubt it is reloaded.)
    fn read_at_start(&mut self) {
        if let (Some(swapped), Some(started)) = (self.reload.swapped, self.seen.started)
            && started > swapped + 2
            && self.in_flight.is_none()
        {
            self.reloaded();
        }
    }

    fn ask_reload(&mut self, reply: Reply) {
        if self.haproxy.is_none() {
            let _ = reply.send(Err("no HAProxy loads these files".into()));
            return;
        }
        if self.seen.state == Some(HaproxyState::NotRunning) {
            let _ = reply.send(Err("HAProxy does not run; it will read the files when it starts".into()));
            return;
        }
        self.replies.push(reply);
        self.reload.reason = Some("asked for".into());
        self.reload.after = None;
        self.refused = None;
    }

    fn confirm_empty(&mut self, backend: String, reply: Reply) {
        let known = self.outputs.iter().any(|output| output.pools.contains_key(&backend));
        if !known && self.guard.held().all(|(held, _)| held != backend) {
            let _ = reply.send(Err(format!("weir keeps no servers in a backend {backend}")));
            return;
        }
        if self.guard.release(&backend) {
            let why = "a person confirmed that it may be empty".into();
            self.record(Record::Released { haproxy: self.name.clone(), backend: backend.clone(), why });
        }
        let _ = reply.send(Ok(format!("backend {backend} may become empty now")));
        self.confirmed.insert(backend);
    }

    /// Begins the next step, if one is due and nothing is in flight.
    fn next_step(&mut self, now: Instant) {
        if self.in_flight.is_some() || self.stopping {
            return;
        }
        for output in &mut self.outputs {
            output.try_again(now);
        }
        let wanted = self.want();
        self.note(&wanted);
        if !wanted.untraceable.is_empty() {
            return self.hold_back(now, &wanted);
        }
        self.held_back = None;
        let files = self.news(&wanted);
        if files.is_empty() {
            self.refused = None;
            self.changed_at = None;
            self.held_since = None;
            return self.reload_if_due(now);
        }
        self.changed_at.get_or_insert(now);
        if self.may_write(now, &files) {
            self.apply(now, files, wanted);
        }
    }

    fn want(&mut self) -> Wanted {
        self.release_where_zero_is_meant();
        let choices: Vec<Choice<'_>> = self.outputs.iter().map(choice).collect();
        let (haproxy, confirmed, zero) = (&self.haproxy, &self.confirmed, &self.zero);
        let may_be_empty = |backend: &str| {
            confirmed.contains(backend)
                || zero.contains(backend)
                || haproxy.as_ref().is_some_and(|haproxy| haproxy.may_be_empty(backend))
        };
        let inputs = Inputs {
            choices: &choices,
            catalogue: &self.catalogue,
            last_good: &self.last_good,
            environment: &self.environment,
            may_be_empty: &may_be_empty,
        };
        self.renderer.want(&inputs, &mut self.guard)
    }

    fn release_where_zero_is_meant(&mut self) {
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

    /// Records what the turn found, and keeps it for the status.
    fn note(&mut self, wanted: &Wanted) {
        self.reads.clone_from(&wanted.reads);
        for (index, outcome) in wanted.outcomes.iter().enumerate() {
            self.note_output(index, outcome);
        }
        self.note_pools(wanted);
        self.note_left_out(&wanted.left_out);
    }

    fn note_output(&mut self, index: usize, outcome: &Outcome) {
        let output = &mut self.outputs[index];
        let note = match outcome {
            Outcome::Text { text, .. } if output.in_force.as_ref() == Some(text) => Note::InForce,
            Outcome::Text { .. } => Note::Held,
            Outcome::Waiting(queries) => Note::Waiting(queries.iter().map(ToString::to_string).collect()),
            Outcome::Failed(error) => Note::Failed(error.clone()),
            Outcome::NoSource => Note::Failed("no source can be used".into()),
        };
        let news = output.note != note;
        output.note = note.clone();
        if let Note::Failed(error) = note
            && news
            && !matches!(outcome, Outcome::NoSource)
        {
            let template = output.config.name();
            self.record(Record::SourceFailed { template, error });
        }
    }

    fn note_pools(&mut self, wanted: &Wanted) {
        let haproxy = self.name.clone();
        for backend in &wanted.released {
            let why = "instances came back".into();
            self.record(Record::Released { haproxy: haproxy.clone(), backend: backend.clone(), why });
        }
        let held = self.guard.held().filter(|(backend, _)| wanted.held.contains(*backend));
        let kept: Vec<Record> = held
            .map(|(backend, held)| {
                let servers = held.kept().map(weir_pools::Instance::server).collect();
                Record::Kept { haproxy: haproxy.clone(), backend: backend.to_owned(), servers }
            })
            .collect();
        if !kept.is_empty() || !wanted.released.is_empty() {
            self.remember();
        }
        for record in kept {
            self.record(record);
        }
    }

    fn note_left_out(&mut self, now: &BTreeSet<LeftOut>) {
        let before = std::mem::replace(&mut self.left_out, now.clone());
        let same = |a: &LeftOut, b: &LeftOut| {
            (&a.service, &a.instance, &a.node) == (&b.service, &b.instance, &b.node)
        };
        for left in now.iter().filter(|left| !before.iter().any(|other| same(left, other))) {
            self.record(Record::LeftOut {
                haproxy: self.name.clone(),
                service: left.service.clone(),
                instance: left.instance.clone(),
                node: left.node.clone(),
                reason: format!("{}: {}", left.place, left.reason),
            });
        }
        for left in before.iter().filter(|left| !now.iter().any(|other| same(left, other))) {
            self.record(Record::LeftOutEnded {
                haproxy: self.name.clone(),
                service: left.service.clone(),
                instance: left.instance.clone(),
                node: left.node.clone(),
            });
        }
    }

    /// No text may be put in force. Where an edit is the cause, the last good source goes on.
    fn hold_back(&mut self, now: Instant, wanted: &Wanted) {
        let backends: Vec<String> = wanted.untraceable.iter().cloned().collect();
        let problem = format!("backend {} would become empty", backends.join(", "));
        if self.outputs.iter().any(Output::uses_edit) {
            self.refuse_edits(now, &problem);
            return self.next_step(now);
        }
        if self.held_back.as_ref() != Some(&problem) {
            self.record(Record::HeldBack { haproxy: self.name.clone(), backends });
            self.held_back = Some(problem);
        }
        self.reload_if_due(now);
    }

    fn refuse_edits(&mut self, now: Instant, problem: &str) {
        for index in 0..self.outputs.len() {
            if self.outputs[index].uses_edit() {
                self.outputs[index].refuse(now, problem);
                let template = self.outputs[index].config.name();
                self.record(Record::SourceFailed { template, error: problem.to_owned() });
            }
        }
    }

    /// The outputs whose text is not the one in force, maps and lists first.
    fn news(&self, wanted: &Wanted) -> Vec<(usize, Arc<str>)> {
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
                && self.outputs[index].in_force.as_ref() != Some(text)
            {
                files.push((index, text.clone()));
            }
        }
        files.sort_by_key(|(index, _)| self.outputs[*index].kind == weir_pools::places::OutputKind::Haproxy);
        files
    }

    fn may_write(&mut self, now: Instant, files: &[(usize, Arc<str>)]) -> bool {
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
    fn reload_may_run(&mut self, now: Instant) -> bool {
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

    fn apply(&mut self, now: Instant, files: Vec<(usize, Arc<str>)>, wanted: Wanted) {
        let reason = self.reason(&files, &wanted);
        let edits =
            files.iter().map(|(index, _)| *index).filter(|index| self.outputs[*index].uses_edit()).collect();
        let mut outcomes: Vec<Option<Pools>> = wanted.outcomes.into_iter().map(pools).collect();
        let pools = files.iter().filter_map(|(index, _)| Some((*index, outcomes[*index].take()?))).collect();
        self.offered = wanted.effective;
        let change = Change { files, reason };
        self.effects.push(Effect::Apply(change.clone()));
        let since = self.changed_at.take().unwrap_or(now);
        self.in_flight = Some(InFlight { change: Some(change), pools, edits, since });
    }

    /// Why the files change: servers that come and go, an edited template, or the files themselves.
    fn reason(&self, files: &[(usize, Arc<str>)], wanted: &Wanted) -> String {
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
        if reasons.is_empty() { "other text".into() } else { reasons.join(", ") }
    }

    fn reload_if_due(&mut self, now: Instant) {
        // Sources that render to the text in force have proven themselves.
        self.accept_quietly();
        let running =
            self.seen.state == Some(HaproxyState::Running) || self.seen.state == Some(HaproxyState::Unknown);
        let waiting = self.reload.after.is_some_and(|after| after > now);
        let Some(reason) = self.reload.reason.clone() else { return };
        if !running || waiting || !self.reload_may_run(now) {
            return;
        }
        self.effects.push(Effect::Reload { reason });
        self.in_flight =
            Some(InFlight { change: None, pools: Vec::new(), edits: BTreeSet::new(), since: now });
    }

    fn accept_quietly(&mut self) {
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
    fn catalogue_in_force(&self) -> Arc<Catalogue> {
        if self.guard.is_idle() { self.catalogue.clone() } else { self.last_good.clone() }
    }

    fn done(&mut self, now: Instant, done: Done) {
        let Some(flight) = self.in_flight.take() else { return };
        let took = flight.since.elapsed().max(done.took);
        match done.result {
            DoneResult::Refused(problem) => self.refused(now, flight, problem, took),
            DoneResult::Failed(problem) => self.failed(now, &flight, problem, took),
            DoneResult::Swapped(reload) => self.swapped(now, flight, reload, took),
            DoneResult::Reloaded(reload) => {
                let reason = self.reload.reason.clone().unwrap_or_default();
                self.after_reload(now, reload, &reason);
            }
        }
    }

    fn refused(&mut self, now: Instant, flight: InFlight, problem: String, took: Duration) {
        let Some(change) = flight.change else { return };
        self.last_change = Some(report::last_change(&change.reason, took, "refused", Some(problem.clone())));
        if flight.edits.is_empty() || flight.edits.iter().all(|index| self.outputs[*index].good.is_none()) {
            self.record(Record::Refused { haproxy: self.name.clone(), error: problem.clone() });
            let again = now + REFUSED_AGAIN;
            self.refused = Some(RefusedTexts { files: change.files, problem, again });
        } else {
            self.refuse_edits(now, &problem);
        }
        self.answer(&Err("HAProxy refuses the configuration; see the log and `weir status`".into()));
    }

    fn failed(&mut self, now: Instant, flight: &InFlight, problem: String, took: Duration) {
        self.write_after = Some(now + self.write.next());
        let reason = flight.change.as_ref().map_or("", |change| change.reason.as_str());
        self.last_change = Some(report::last_change(reason, took, "failed", Some(problem.clone())));
        self.record(Record::Refused { haproxy: self.name.clone(), error: problem });
    }

    fn swapped(&mut self, now: Instant, flight: InFlight, reload: ReloadResult, took: Duration) {
        let Some(change) = flight.change else { return };
        self.write.reset();
        let files: Vec<String> = change
            .files
            .iter()
            .map(|(index, _)| self.outputs[*index].config.destination.display().to_string())
            .collect();
        for (index, text) in change.files {
            self.outputs[index].in_force = Some(text);
        }
        for (index, pools) in flight.pools {
            self.outputs[index].pools = pools;
        }
        self.accept_edits(&flight.edits);
        self.last_good = self.offered.clone();
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
            took_ms,
        });
    }

    fn accept_edits(&mut self, edits: &BTreeSet<usize>) {
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
    fn forget_confirmed(&mut self) {
        let outputs = &self.outputs;
        let servers =
            |backend: &String| outputs.iter().any(|o| o.pools.get(backend).is_some_and(|p| !p.is_empty()));
        self.confirmed.retain(|backend| servers(backend));
    }

    fn after_reload(&mut self, now: Instant, reload: ReloadResult, reason: &str) -> ChangeResult {
        match reload {
            ReloadResult::Ok { pid, took } => {
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
            ReloadResult::Failed(error) => {
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
                // Until it is seen again.
                self.seen.state = Some(HaproxyState::NotRunning);
                self.answer(&Err("HAProxy does not run; it will read the files when it starts".into()));
                ChangeResult::Written
            }
            ReloadResult::NotNeeded => ChangeResult::Written,
        }
    }

    /// HAProxy runs the files as they are.
    fn reloaded(&mut self) {
        self.reload.reason = None;
        self.reload.swapped = None;
        self.reload.after = None;
        self.reload.backoff.reset();
        self.held_since = None;
        self.effects.push(Effect::ReloadDone);
        self.answer(&Ok("reloaded".into()));
    }

    fn answer(&mut self, result: &Result<String, String>) {
        for reply in self.replies.drain(..) {
            let _ = reply.send(result.clone());
        }
    }

    fn remember(&mut self) {
        let sources = self
            .outputs
            .iter()
            .filter_map(|output| {
                Some((output.config.destination.clone(), output.good.as_ref()?.text.clone()))
            })
            .collect();
        let memory = Memory { sources, guard: self.guard.clone(), reload_pending: None };
        self.effects.push(Effect::Remember(memory));
    }

    fn record(&mut self, record: Record) {
        self.effects.push(Effect::Record(record));
    }
}

fn choice(output: &Output) -> Choice<'_> {
    Choice {
        destination: &output.config.destination,
        kind: output.kind,
        template: output.source().map(|source| &source.template),
        edited: output.uses_edit() || output.good.is_none(),
        in_force: &output.pools,
    }
}

fn pools(outcome: Outcome) -> Option<Pools> {
    match outcome {
        Outcome::Text { pools, .. } => Some(pools),
        Outcome::Waiting(_) | Outcome::Failed(_) | Outcome::NoSource => None,
    }
}

#[cfg(test)]
mod tests;
