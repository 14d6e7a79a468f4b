//! The worker in force as the loop knows it, and what to tell it: the way without a reload.
//!
//! In: what HAProxy answered, what is wanted. Out: a [`Course`]: commands on their way, a reload with its reason, or nothing but
//! the file to follow. Pure but for the state it keeps; [`super::tell`] does the talking. What is on the disk is taken for what the
//! worker runs, with the changes that commands made since: so a restart of weir finds what it left.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use haproxy_cfg::{Document, Sections};
use serde::{Deserialize, Serialize};
use weir_haproxy::{Level, Look};
use weir_pools::plan::files::{Reference, references};
use weir_pools::plan::{
    self, Admin, ByHand, Can, Cause, Observed, ObservedServer, Options, Plan, Situation, WAKE, Wait, Waiting,
    WakeServers, Wishes,
};
use weir_scaling::{BackendSample, Process, ServerSample, ServerState};

use super::backoff::Backoff;
use super::holding::{Hold, Holding};
use super::observation::{ConfigFile, Newcomer, Observation};
use super::tell::{Answer, Tell};
use super::verifying::{Due, Verifying};

/// A look that is older is taken again before a reload, so that what a person set just before outlives it.
const FRESH: Duration = Duration::from_millis(20);
/// A file that was written so much later than the process started was not loaded by it. Both times are known to the second.
const LATER: Duration = Duration::from_secs(2);

/// So often in a row the worker may be another than a moment before until weir waits: somebody reloads and reloads, or several processes
/// share a socket.
const MISSES: u32 = 3;

/// What to do about what is wanted.
#[derive(Debug)]
pub(super) enum Course {
    /// Say this to HAProxy.
    Tell(Tell),
    /// HAProxy runs what is wanted as far as it can now; the file may follow.
    Follow,
    /// Only a reload brings it about.
    Reload(String),
    /// HAProxy cannot be told: it does not run, or does not answer.
    Unavailable,
}

/// What outlives a restart of weir: the process that was told, and what was begun with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) process: Option<Process>,
    /// The process may have loaded the texts of a moment before: somebody reloaded while they were written, or just before.
    #[serde(default)]
    pub(crate) is_unsure: bool,
    pub(crate) memory: plan::Memory,
}

/// One of the files that the worker runs.
#[derive(Debug, Clone)]
struct Loaded {
    /// The output that is written there, if it is one of weir's.
    output: Option<usize>,
    path: PathBuf,
    sections: Sections,
    modified: SystemTime,
}

impl Loaded {
    fn read(file: ConfigFile) -> Self {
        let sections = Sections::parse(file.text.clone());
        Self { output: file.output, path: file.path, sections, modified: file.modified }
    }
}

/// The worker in force.
#[derive(Debug)]
pub(super) struct Live {
    /// Whether HAProxy is told anything at all.
    pub(super) is_on: bool,
    /// What it can do; `None` where it has to be looked at first.
    can: Option<Can>,
    /// What the stats socket allows.
    level: Level,
    /// The process, and what was begun with it.
    begun: Begun,
    /// The process was there before weir, which never saw it: what it loaded may not be what is on the disk now.
    is_stranger: bool,
    loaded: Vec<Loaded>,
    observed: Observed,
    looked_at: Option<Instant>,
    /// Pools to be looked at before the next plan.
    stale: BTreeSet<String>,
    /// Pools that the next plan has to cover beside those that differ.
    touched: BTreeSet<String>,
    /// The next plan covers everything.
    all: bool,
    look_again: Option<Instant>,
    verifying: Verifying,
    /// How often in a row another worker was reached than the one that was planned for.
    misses: u32,
    retry: Backoff,
    retry_at: Option<Instant>,
    pub(super) problem: Option<String>,
    pub(super) waits: Vec<Wait>,
    wishes: Wishes,
    holding: Holding,
}

/// What a plan needs beside what is known of HAProxy.
pub(super) struct Around<'a> {
    pub(super) options: &'a Options,
    pub(super) cause: &'a dyn Fn(SocketAddr) -> Cause,
    /// Files are being written that HAProxy was told to run a moment before.
    pub(super) is_file_behind: bool,
    pub(super) now: SystemTime,
}

impl Live {
    pub(super) fn new(begun: Begun, verify_interval: Duration) -> Self {
        Self {
            is_on: false,
            can: None,
            level: Level::User,
            begun,
            is_stranger: true,
            loaded: Vec::new(),
            observed: Observed::default(),
            looked_at: None,
            stale: BTreeSet::new(),
            touched: BTreeSet::new(),
            all: true,
            look_again: None,
            verifying: Verifying::new(verify_interval),
            misses: 0,
            retry: Backoff::reload(),
            retry_at: None,
            problem: None,
            waits: Vec::new(),
            wishes: Wishes::default(),
            holding: Holding::default(),
        }
    }

    /// The process that is told.
    pub(super) fn process(&self) -> Option<Process> {
        self.begun.process
    }

    /// What is to be kept on the disk.
    pub(super) fn begun(&self) -> &Begun {
        &self.begun
    }

    /// These wishes stand, and no others.
    pub(super) fn wish(&mut self, wishes: Wishes) {
        let before = std::mem::replace(&mut self.wishes, wishes);
        self.touched.extend(before.backends().chain(self.wishes.backends()).cloned());
    }

    /// Requests of these backends are held at these addresses, and of no others.
    pub(super) fn hold(&mut self, at: impl IntoIterator<Item = (String, SocketAddr)>) {
        self.touched.extend(self.holding.want(WakeServers::new(at)));
    }

    /// How it stands with each backend whose requests are held, or shall be.
    pub(super) fn holds(&self) -> BTreeMap<String, Hold> {
        self.holding.all(&self.observed)
    }

    /// The same where HAProxy is told nothing. `has_it`: whether there is such a pool.
    pub(super) fn untold(&self, has_it: impl Fn(&str) -> bool) -> BTreeMap<String, Hold> {
        self.holding.untold(has_it)
    }

    /// The backends that have no server that anybody wants in traffic, and whose requests are held.
    pub(super) fn held_open(&self) -> impl Iterator<Item = &String> {
        let backends = self.holding.wanted().backends();
        backends.filter(|backend| self.holding.keeps_open(backend, &self.observed, &self.wishes))
    }

    /// The servers of a backend as they were looked at.
    pub(super) fn server(&self, backend: &str, server: &str) -> Option<&ObservedServer> {
        self.observed.pools.get(backend)?.get(server)
    }

    /// Brings a server back that a person took out by hand.
    pub(super) fn call_back(&mut self, backend: &str, server: &str) {
        if let Some(observed) = self.observed.pools.get(backend).and_then(|servers| servers.get(server)) {
            self.begun.memory.call_back(backend, server, observed, SystemTime::now());
            self.touched.insert(backend.to_owned());
        }
    }

    /// The addresses of servers that are drained: whether anybody still answers there decides how they leave.
    pub(super) fn draining(&self) -> impl Iterator<Item = SocketAddr> {
        let is_asked = |wait: &&Wait| matches!(wait.what, Waiting::Sessions(_)) && wait.server != WAKE;
        let drained = self.waits.iter().filter(is_asked);
        drained.filter_map(|wait| self.server(&wait.backend, &wait.server)?.address)
    }

    /// New servers whose first good check is overdue.
    pub(super) fn overdue(&self) -> impl Iterator<Item = &Wait> {
        self.waits.iter().filter(|wait| wait.what == Waiting::FirstCheckOverdue)
    }

    /// Plans anew for every pool in which something is waited for.
    pub(super) fn wake(&mut self) {
        self.touched.extend(self.waits.iter().map(|wait| wait.backend.clone()));
    }

    /// What people set by hand.
    pub(super) fn by_hand(&self) -> &[ByHand] {
        self.begun.memory.by_hand()
    }

    /// Looks at HAProxy before anything else: it may be another process, or have been touched.
    pub(super) fn doubt(&mut self) {
        self.can = None;
    }

    /// The look at HAProxy that is due, if any. `Err` where it failed lately and is tried again later.
    pub(super) fn due_look(&mut self, now: Instant, is_reload_near: bool) -> Result<Option<Look>, ()> {
        if self.can.is_none() {
            let waits = self.retry_at.is_some_and(|at| at > now);
            return if waits { Err(()) } else { Ok(Some(Look::All)) };
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let is_old = is_reload_near && self.looked_at.is_some_and(|at| now.duration_since(at) > FRESH);
        if is_old || self.verify(now) {
            self.all = true;
            return Ok(Some(Look::All));
        }
        if is_due(self.look_again) {
            self.look_again = None;
            self.stale.extend(self.waits.iter().map(|wait| wait.backend.clone()));
        }
        let stale = std::mem::take(&mut self.stale);
        Ok((!stale.is_empty()).then_some(Look::Backends(stale)))
    }

    /// Takes up what is to be read back now. Whether that is everything.
    fn verify(&mut self, now: Instant) -> bool {
        let Some(due) = self.verifying.due(now, &self.observed) else { return false };
        let Due::Pools { names, is_last } = due else { return true };
        self.stale.extend(names);
        self.all |= is_last;
        false
    }

    /// What to tell a HAProxy that has to be looked at.
    pub(super) fn look(&self, look: Look) -> Tell {
        Tell { worker: None, steps: Vec::new(), look, is_new: self.can.is_none(), begun: None }
    }

    /// Plans from what is known to `wanted`, the texts of weir's outputs.
    pub(super) fn plan(&mut self, now: Instant, wanted: &[(usize, Sections)], around: &Around<'_>) -> Course {
        let Some(can) = self.can.filter(|_| self.level == Level::Admin) else { return Course::Unavailable };
        if let Some(reason) = self.uncertain() {
            return Course::Reload(reason);
        }
        let plan = self.ask(can, wanted, around);
        self.take(now, plan)
    }

    fn ask(&self, can: Can, wanted: &[(usize, Sections)], around: &Around<'_>) -> Plan {
        let loaded: Vec<Sections> = self.loaded.iter().map(|file| file.sections.clone()).collect();
        let text = |output: usize| wanted.iter().find(|(index, _)| *index == output);
        let mut files: Vec<Sections> = self
            .loaded
            .iter()
            .map(|file| file.output.and_then(text).map_or(&file.sections, |(_, sections)| sections).clone())
            .collect();
        let is_loaded = |output: usize| self.loaded.iter().any(|file| file.output == Some(output));
        let new = wanted.iter().filter(|(output, _)| !is_loaded(*output));
        files.extend(new.map(|(_, sections)| sections.clone()));
        let situation = self.situation(can, &loaded, &files, around);
        if self.all { plan::plan(&situation) } else { plan::plan_touched(&situation, &self.touched) }
    }

    fn situation<'a>(
        &'a self,
        can: Can,
        loaded: &'a [Sections],
        wanted: &'a [Sections],
        around: &Around<'a>,
    ) -> Situation<'a> {
        let Around { options, cause, is_file_behind, now } = *around;
        Situation {
            loaded,
            wanted,
            observed: &self.observed,
            memory: &self.begun.memory,
            can,
            options,
            cause,
            wishes: &self.wishes,
            wake: self.holding.wanted(),
            is_unsure: self.begun.is_unsure,
            is_file_behind,
            now,
        }
    }

    fn take(&mut self, now: Instant, plan: Plan) -> Course {
        self.begun.memory = plan.memory;
        if let Some(reason) = plan.reload {
            let file = self.loaded.get(reason.file).filter(|_| !reason.section.is_empty());
            let place = file.map_or(String::new(), |file| format!("{}: ", file.path.display()));
            return Course::Reload(format!("{place}{reason}"));
        }
        self.waits = plan.waits;
        self.holding.take(plan.wakes);
        self.look_again = plan.look_again.map(|after| now + after);
        self.all = false;
        if plan.steps.is_empty() {
            self.touched.clear();
            self.begun.is_unsure = false;
            return Course::Follow;
        }
        let backends = plan.steps.iter().filter_map(|step| step.backend()).map(str::to_owned).collect();
        let begun = Some(Box::new(self.begun.clone()));
        let (worker, look) = (self.process(), Look::Backends(backends));
        Course::Tell(Tell { worker, steps: plan.steps, look, is_new: false, begun })
    }

    /// Takes up what HAProxy answered. Returns what to tell it at once, where it is another process than the one before.
    /// `is_reload_pending`: the files were written, and no reload followed.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        tell: &Tell,
        answer: Answer,
        is_reload_pending: bool,
    ) -> Option<Tell> {
        let Answer { replies, observation } = answer;
        (self.problem, self.retry_at) = (None, None);
        self.retry.reset();
        if tell.worker.is_some() {
            self.misses = 0;
        }
        if self.can.is_some() && self.begun.process != Some(observation.process) {
            self.can = None;
            return None;
        }
        if self.begun.process == Some(observation.process) {
            self.begun.is_unsure |= std::mem::take(&mut self.is_stranger) && is_reload_pending;
            for (step, reply) in tell.steps.iter().zip(&replies) {
                if let Some(reply) = reply.as_ref().filter(|reply| !step.expects.accepts(reply)) {
                    self.begun.memory.refuse(&step.command, reply);
                }
            }
            self.observe(now, observation);
            return None;
        }
        self.another_worker(now, observation)
    }

    fn another_worker(&mut self, now: Instant, observation: Observation) -> Option<Tell> {
        let (steps, was_stranger) = (self.restore(), self.is_stranger);
        self.started(now, observation);
        self.is_stranger = was_stranger && self.written_later().is_some();
        self.begun.is_unsure = !self.is_stranger && self.is_written_since();
        let tell = Tell { worker: self.process(), steps, look: Look::All, is_new: false, begun: None };
        (!tell.steps.is_empty()).then_some(tell)
    }

    /// Takes up how the worker was left that a reload of ours takes the place of: what a person set at it since the look before
    /// the reload counts too.
    pub(super) fn left(&mut self, observation: Observation, around: &Around<'_>) {
        let Some(can) = self.can.filter(|_| self.begun.process == Some(observation.process)) else { return };
        self.observed = observation.observed;
        let loaded: Vec<Sections> = self.loaded.iter().map(|file| file.sections.clone()).collect();
        self.begun.memory = plan::remember_by_hand(&self.situation(can, &loaded, &loaded, around));
    }

    /// What the new worker lacks of what people set by hand, as it was told what they had set `before`.
    pub(super) fn set_since(&mut self, before: &[ByHand]) -> Option<Tell> {
        let now = self.by_hand().to_vec();
        for undone in before.iter().filter(|known| !now.iter().any(|set| set.is_about_same(known))) {
            let ByHand { backend, server, what } = undone;
            self.begun.memory.undo(backend, server, *what, SystemTime::now());
        }
        let steps = plan::set_again(now.iter().filter(|set| !before.contains(set)));
        let tell = Tell { worker: self.process(), steps, look: Look::All, is_new: false, begun: None };
        (!tell.steps.is_empty()).then_some(tell)
    }

    /// A worker that just started answered.
    pub(super) fn started(&mut self, now: Instant, observation: Observation) {
        (self.problem, self.retry_at) = (None, None);
        self.begun.memory.reloaded();
        self.begun.process = Some(observation.process);
        (self.is_stranger, self.begun.is_unsure) = (false, false);
        self.loaded.clear();
        self.observe(now, observation);
    }

    /// What to tell a worker that is about to start.
    pub(super) fn restore(&self) -> Vec<plan::Step> {
        plan::restore(&self.begun.memory, &self.observed, &self.wishes, self.holding.planned())
    }

    fn observe(&mut self, now: Instant, observation: Observation) {
        let Observation { can, look, observed, newcomer, .. } = observation;
        self.can = Some(can);
        if let Some(newcomer) = newcomer {
            self.meet(newcomer);
        }
        match look {
            Look::All => {
                self.observed = observed;
                self.looked_at = Some(now);
                self.verifying.begin(now, &self.observed);
                self.all = true;
            }
            Look::Backends(names) => self.observe_some(names, observed),
        }
    }

    fn meet(&mut self, newcomer: Newcomer) {
        self.level = newcomer.level;
        if self.loaded.is_empty() {
            self.loaded = newcomer.files.into_iter().map(Loaded::read).collect();
            self.all = true;
        }
    }

    fn observe_some(&mut self, names: BTreeSet<String>, mut observed: Observed) {
        for name in names {
            match observed.pools.remove(&name) {
                Some(servers) => drop(self.observed.pools.insert(name.clone(), servers)),
                None => drop(self.observed.pools.remove(&name)),
            }
            self.touched.insert(name);
        }
    }

    /// No answer came.
    pub(super) fn unanswered(&mut self, now: Instant, problem: String) {
        self.can = None;
        self.retry_at = Some(now + self.retry.next());
        self.problem = Some(problem);
    }

    /// Another worker was reached than the one that was planned for, and it was told nothing. What was to begin counts as begun until
    /// the look that follows shows whose turn it is: with another worker all of it is forgotten. Returns why that look has
    /// to wait, if so.
    pub(super) fn missed(&mut self) -> Option<String> {
        self.can = None;
        self.misses += 1;
        (self.misses > MISSES).then(|| {
            format!("{} times in a row another HAProxy process answered than a moment before", self.misses)
        })
    }

    /// An output was written.
    pub(super) fn wrote(&mut self, output: usize, sections: Sections) {
        if let Some(file) = self.loaded.iter_mut().find(|file| file.output == Some(output)) {
            file.sections = sections;
        }
    }

    /// Whether one of weir's files was written when the worker started, or later: so it may have loaded the text before. Those differ
    /// in what commands change.
    fn is_written_since(&self) -> bool {
        let Some(started) = self.started_at() else { return false };
        self.loaded.iter().any(|file| file.output.is_some() && file.modified + LATER > started)
    }

    /// Why it is not known what the worker runs, if so.
    fn uncertain(&self) -> Option<String> {
        let file = self.written_later().filter(|_| self.is_stranger)?;
        let path = file.path.display();
        Some(format!(
            "{path} was written after this HAProxy process had started, so what it runs is not known"
        ))
    }

    /// A file that was certainly written after the worker had started.
    fn written_later(&self) -> Option<&Loaded> {
        let started = self.started_at()?;
        self.loaded.iter().find(|file| file.modified > started + LATER)
    }

    /// When the worker started, to the second.
    fn started_at(&self) -> Option<SystemTime> {
        Some(UNIX_EPOCH + Duration::from_secs(self.begun.process?.started))
    }

    /// The maps, lists and certificates that the worker's configuration names.
    pub(super) fn references(&self) -> Vec<Reference> {
        let text =
            |file: &Loaded| file.sections.parts().iter().map(|part| part.document.text()).collect::<String>();
        let documents: Vec<Document> = self.loaded.iter().map(|file| Document::parse(text(file))).collect();
        references(&documents)
    }

    /// The pools in which HAProxy was sampled otherwise than it was last looked at.
    pub(super) fn compare(&mut self, backends: &[BackendSample]) {
        if self.can.is_none() {
            return;
        }
        let differing =
            backends.iter().filter(|backend| !agrees(self.observed.pools.get(&backend.name), backend));
        self.stale.extend(differing.map(|backend| backend.name.clone()));
    }

    /// When to look again although nothing happens.
    pub(super) fn next_look(&self) -> Option<Instant> {
        if !self.is_on {
            return None;
        }
        [self.look_again, self.verifying.at(), self.retry_at].into_iter().flatten().min()
    }
}

/// Whether a backend was sampled as it was looked at: the same servers in the same states, with the same limits. A weight is not
/// compared: the statistics have the one in effect, which is another one while a server starts slowly.
fn agrees(looked: Option<&BTreeMap<String, ObservedServer>>, sampled: &BackendSample) -> bool {
    let Some(looked) = looked else { return sampled.servers.is_empty() };
    let same = |server: &ServerSample| {
        let same = |known: &ObservedServer| {
            shown(known) == as_shown(server.state)
                && u64::from(known.maxconn) == server.maxconn.unwrap_or_default()
        };
        looked.get(&server.name).is_some_and(same)
    };
    looked.len() == sampled.servers.len() && sampled.servers.iter().all(same)
}

/// How HAProxy's statistics show a server: that it is down hides a drain, and a weight of 0 looks like one.
fn shown(server: &ObservedServer) -> ServerState {
    match server.admin {
        Admin::Maint => ServerState::Maint,
        _ if server.is_down => ServerState::Down,
        Admin::Ready if server.weight > 0 => ServerState::Up,
        Admin::Ready | Admin::Drain => ServerState::Drain,
    }
}

/// Whether a server is checked is not told from its being up.
fn as_shown(state: ServerState) -> ServerState {
    if state == ServerState::NoCheck { ServerState::Up } else { state }
}
