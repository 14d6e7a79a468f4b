//! One turn over all pools: who is there, who is missing, who is one too many.
//!
//! In: layouts, what is observed, the memory. Out: a plan that grows pool by pool; an `Err` is the reason for a reload.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::address::Move;
use super::layout::{Layout, Member, Part, Place, Pool};
use super::memory::{Begun, Running};
use super::observed::{CheckState, ObservedServer};
use super::options::{Changeable, ServerOptions};
use super::wake::WAKE;
use super::{Admin, ByHand, Plan, Reason, Reply, Setting, Situation, Step, Wait, Waiting, command};

/// A part of a turn; or the reason for a reload.
pub(super) type Needed<T> = Result<T, Reason>;

/// How soon to look whether a step did what it should.
const SOON: Duration = Duration::from_millis(20);
/// How soon at most to look again at something that lasts.
const SLOW: Duration = Duration::from_secs(5);
/// A command that was given so often in a row without effect is not given again.
const MAX_GIVEN: u32 = 3;

/// A plan in the making.
pub(super) struct Turn<'a> {
    pub(super) situation: &'a Situation<'a>,
    pub(super) plan: Plan,
    /// A server that will serve joins the pool in this turn, unless HAProxy refuses it.
    pub(super) joins_ready: bool,
    /// The steps that are planned now are for the case that it does not.
    pub(super) is_conditional: bool,
    /// The servers of the pool that are drained for another address.
    pub(super) moving: BTreeSet<String>,
}

/// One pool in a turn.
pub(super) struct View<'a, 'd> {
    situation: &'a Situation<'a>,
    pub(super) loaded: Option<&'a Pool<'d>>,
    pub(super) wanted: &'a Pool<'d>,
    /// Where it is wanted.
    place: Place,
    pub(super) observed: &'a BTreeMap<String, ObservedServer>,
    /// What commands can change, of each wanted server; `None` where not all of its options are known.
    changeable: Vec<Option<Changeable>>,
    /// Some wanted server should get traffic, sooner or later, but none does now.
    lacks_wanted: bool,
    /// No server of the pool gets traffic now.
    pub(super) is_empty: bool,
    /// Whether servers that back others up count as serving: there are no others.
    backups_count: bool,
}

/// A server in a turn.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) backend: &'a str,
    pub(super) name: &'a str,
    pub(super) observed: &'a ObservedServer,
}

/// What a wanted server should run with, and does.
pub(super) struct Target<'a> {
    pub(super) options: &'a ServerOptions<'a>,
    /// For the memory.
    pub(super) running: Running,
    /// What became of its address in this turn.
    pub(super) moved: Move,
}

impl<'a> Turn<'a> {
    pub(super) fn new(situation: &'a Situation<'a>) -> Self {
        let (joins_ready, is_conditional) = (false, false);
        Self { situation, plan: Plan::default(), joins_ready, is_conditional, moving: BTreeSet::new() }
    }
}

impl Turn<'_> {
    /// Plans for one pool: first what makes servers serve, then what takes them out.
    /// `changeable`: what commands can change of each wanted server.
    pub(super) fn pool<'d>(
        &mut self,
        loaded: Option<&Part<'d>>,
        part: &Part<'d>,
        changeable: Vec<Option<Changeable>>,
    ) -> Needed<()> {
        let nothing = BTreeMap::new();
        let (situation, wanted) = (self.situation, part.pool());
        // What is shared was not read to be compared.
        if let Some(twin) = wanted.twin() {
            return Err(Reason::of_twin(part, twin));
        }
        let observed = situation.observed.pools.get(wanted.name).unwrap_or(&nothing);
        if wanted.settings.disabled {
            return Ok(());
        }
        let view = View::new(situation, loaded, part, observed, changeable);
        self.moving.clear();
        let mut missing = Vec::new();
        for member in &wanted.servers {
            match view.observed.get(member.name) {
                Some(server) => self.present(&view, member, server)?,
                None => missing.push(member),
            }
        }
        self.joins_ready = false;
        self.join(&view, &missing)?;
        // Then all that are there are wanted, as no name stands there twice.
        if view.observed.len() + missing.len() == wanted.servers.len() {
            return Ok(());
        }
        for (name, server) in view.observed {
            if view.wanted.server(name).is_none() && self.may_leave(&view, name) {
                self.leave(&view, Subject { backend: wanted.name, name, observed: server })?;
            }
        }
        Ok(())
    }

    /// Whether it is certain that the configuration does not want the server.
    fn may_leave(&self, view: &View<'_, '_>, name: &str) -> bool {
        let is_known = || {
            view.loaded.is_some_and(|pool| pool.server(name).is_some())
                || self.situation.memory.server(view.wanted.name, name).is_some()
        };
        !view.wanted.is_fixed(name) && (!view.wanted.has_unknown_names || is_known())
    }

    /// A reload, where HAProxy does not do what it is told.
    pub(super) fn refused(&mut self, wanted: &Layout<'_>) -> Needed<()> {
        let given = &self.situation.memory.given;
        for step in &self.plan.steps {
            let is_removal = step.is_removal();
            let times = given.get(&step.command).copied().unwrap_or(0) + 1;
            let refusal = self.situation.memory.refusal(&step.command).filter(|_| !is_removal);
            if step.is_for_wake() {
                let answer = refusal.or((times > MAX_GIVEN && !is_removal).then_some("it has no effect"));
                self.plan.memory.refuse_wake(step, answer);
            } else if !is_removal && (refusal.is_some() || times > MAX_GIVEN) {
                let answer = refusal.map_or("it has no effect", str::trim);
                return Err(refusal_reason(wanted, &step.command, answer));
            }
            if !step.is_for_all() {
                self.plan.memory.given.insert(step.command.clone(), times);
            }
        }
        Ok(())
    }

    /// The plan, with what follows from all of it.
    pub(super) fn finish(mut self) -> Plan {
        if !self.plan.steps.is_empty() {
            self.look_again(SOON);
        }
        self.plan.memory.by_hand = self.plan.by_hand.clone();
        self.plan.memory.keep_refused_wakes(self.situation);
        self.plan.settled = self.plan.steps.is_empty() && self.plan.waits.is_empty();
        self.plan
    }

    pub(super) fn step(&mut self, words: &[&str], expects: Reply, why: &str) -> Needed<()> {
        let command = command::line(words).map_err(Reason::of_all)?;
        let (why, is_conditional) = (why.to_owned(), self.is_conditional);
        self.plan.steps.push(Step { command, why, expects, is_conditional });
        Ok(())
    }

    /// `set server … state`.
    pub(super) fn set_state(&mut self, backend: &str, server: &str, state: Admin, why: &str) -> Needed<()> {
        self.step(&["set", "server", &path(backend, server), "state", state.word()], Reply::Empty, why)
    }

    pub(super) fn remember(&mut self, backend: &str, server: &str, begun: Begun) {
        self.plan.memory.put(backend, server, begun);
    }

    /// Notes a wait that began at `since`: looked at often at first, then less and less.
    pub(super) fn wait(&mut self, backend: &str, server: &str, what: Waiting, since: SystemTime) {
        let lasted = self.situation.now.duration_since(since).unwrap_or_default();
        self.look_again((lasted / 8).clamp(SOON, SLOW));
        self.note_wait(backend, server, what);
    }

    /// Notes a wait for something that comes as news, and is not looked for.
    pub(super) fn note_wait(&mut self, backend: &str, server: &str, what: Waiting) {
        self.plan.waits.push(Wait { backend: backend.to_owned(), server: server.to_owned(), what });
    }

    /// Notes that the server stays in traffic until another serves.
    pub(super) fn wait_for_others(&mut self, subject: Subject<'_>) {
        self.stay(subject, Waiting::Others);
    }

    /// Notes that the server stays as it is until another serves, which that one's own wait notices sooner.
    pub(super) fn stay(&mut self, subject: Subject<'_>, what: Waiting) {
        let long_ago = self.situation.now - SLOW * 8;
        self.wait(subject.backend, subject.name, what, long_ago);
    }

    pub(super) fn look_again(&mut self, after: Duration) {
        let sooner = self.plan.look_again.map_or(after, |set| set.min(after));
        self.plan.look_again = Some(sooner);
    }

    pub(super) fn by_hand(&mut self, backend: &str, server: &str, what: Setting) {
        self.plan.by_hand.push(ByHand { backend: backend.to_owned(), server: server.to_owned(), what });
    }
}

impl<'a, 'd> View<'a, 'd> {
    fn new(
        situation: &'a Situation<'a>,
        loaded: Option<&'a Part<'d>>,
        part: &'a Part<'d>,
        observed: &'a BTreeMap<String, ObservedServer>,
        changeable: Vec<Option<Changeable>>,
    ) -> Self {
        let wanted = part.pool();
        let mut view = Self {
            situation,
            loaded: loaded.map(Part::pool),
            wanted,
            place: part.place,
            observed,
            changeable,
            lacks_wanted: false,
            is_empty: false,
            backups_count: false,
        };
        let mut hopeful = wanted.servers.iter().filter(|member| view.is_to_serve(member)).peekable();
        let is_hopeful = hopeful.peek().is_some();
        let backups_count = !hopeful.any(|member| !wanted.is_on(member, "backup"));
        view.backups_count = backups_count;
        view.lacks_wanted = is_hopeful && !wanted.servers.iter().any(|member| view.is_serving(member));
        view.is_empty = !observed.iter().any(|(name, server)| view.serves(name, server));
        view
    }

    fn is_serving(&self, member: &Member<'d>) -> bool {
        let observed = || self.observed.get(member.name);
        self.is_to_serve(member) && observed().is_some_and(|server| self.serves(member.name, server))
    }

    /// Whether another wanted server serves, and is none of those that are moved in this turn.
    pub(super) fn others_serve(&self, member: &Member<'d>, moving: &BTreeSet<String>) -> bool {
        self.others(member).any(|other| !moving.contains(other.name) && self.is_serving(other))
    }

    /// Whether a server of the pool serves at this address, where its check was good.
    pub(super) fn is_good_at(&self, address: SocketAddr) -> bool {
        let is_there = |server: &ObservedServer| server.address == Some(address);
        let is_good = |server: &ObservedServer| server.serves() && server.check == CheckState::Passed;
        self.observed.values().any(|server| is_there(server) && is_good(server))
    }

    /// Whether there is another wanted server that is to serve, sooner or later.
    pub(super) fn others_are_to_serve(&self, member: &Member<'d>) -> bool {
        self.others(member).any(|other| self.is_to_serve(other))
    }

    fn others<'m>(&'m self, member: &'m Member<'d>) -> impl Iterator<Item = &'m Member<'d>> {
        self.wanted.servers.iter().filter(|other| other.name != member.name)
    }

    /// Whether it serves as soon as it is ready.
    pub(super) fn will_serve(&self, member: &Member<'d>) -> bool {
        self.is_to_serve(member) && (self.backups_count || !self.wanted.is_on(member, "backup"))
    }

    fn is_to_serve(&self, member: &Member<'d>) -> bool {
        let is_wished_out = self.situation.wishes.get(self.wanted.name, member.name).is_some();
        !is_wished_out && self.changeable(member).is_none_or(|wanted| !wanted.disabled && wanted.weight > 0)
    }

    /// What commands can change of a wanted server; `None` where not all of its options are known.
    pub(super) fn changeable(&self, member: &Member<'d>) -> Option<Changeable> {
        self.changeable.get(member.at).copied().flatten()
    }

    /// The server that holds requests is better than one that is not ready, though it is a backup.
    pub(super) fn serves(&self, name: &str, server: &ObservedServer) -> bool {
        server.serves() && (!server.is_backup || self.backups_count || name == WAKE)
    }

    /// Whether taking the server out of traffic has to wait until a wanted one serves.
    pub(super) fn must_stay(&self, subject: Subject<'_>) -> bool {
        self.lacks_wanted && self.serves(subject.name, subject.observed)
    }

    /// The options of a member of one of the two pools, or that they are not understood.
    pub(super) fn options(&self, pool: &Pool<'d>, member: &Member<'d>) -> Needed<ServerOptions<'d>> {
        pool.options(member).map_err(|unknown| {
            self.reason(
                member,
                format!(
                    "`{}` is not an option that weir knows, so it cannot be set without a reload",
                    unknown.0
                ),
            )
        })
    }

    /// The reason for a reload that lies in a server's line.
    pub(super) fn reason(&self, member: &Member<'_>, why: impl Into<String>) -> Reason {
        let mut reason = Reason::of_all(why.into());
        reason.file = self.place.file;
        reason.section = format!("pool {}", self.wanted.name);
        reason.line = self.place.lines_before + member.line;
        reason.directive = format!("server {} {}", member.name, member.written);
        reason
    }

    /// The reason for a reload that lies in the pool.
    pub(super) fn pool_reason(&self, why: impl Into<String>) -> Reason {
        let mut reason = Reason::of_all(why.into());
        reason.file = self.place.file;
        reason.section = format!("pool {}", self.wanted.name);
        reason
    }
}

/// `BACKEND/SERVER`.
pub(super) fn path(backend: &str, server: &str) -> String {
    format!("{backend}/{server}")
}

fn refusal_reason(wanted: &Layout<'_>, command: &str, answer: &str) -> Reason {
    let mut words = command.split(' ').filter_map(|word| word.split_once('/'));
    let pool = words.find_map(|(backend, _)| wanted.pool(backend));
    let mut reason = Reason::of_all(format!("HAProxy does not take `{command}`: {answer}"));
    if let Some(part) = pool {
        reason.file = part.place.file;
        reason.section = format!("pool {}", part.pool().name);
    }
    reason
}
