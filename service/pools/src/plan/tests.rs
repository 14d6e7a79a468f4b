//! Turns of the plan against a model of HAProxy, and single turns by example.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use haproxy_cfg::Sections;
use proptest::prelude::*;

use super::model::{Server, World};
use super::*;

const OPTIONS: Options =
    Options { drain_timeout: Duration::from_secs(20), first_check_timeout: Duration::from_secs(5) };
const CAN: Can = Can { version: (2, 6, 12) };

/// What a template renders, by pool: servers by number.
type Wish = BTreeMap<usize, Spec>;

#[derive(Debug, Clone, PartialEq)]
struct Spec {
    address: usize,
    weight: u32,
    maxconn: u32,
    disabled: bool,
}

/// What happens between two turns.
#[derive(Debug, Clone)]
enum Event {
    Want(Wish, Wish),
    SomebodyDeletes(usize),
    SomebodySets(usize, &'static str),
    SomebodyReloads,
    DeletionIsRefused(u32),
    SessionsStay(bool),
    /// Why the instances at an address are not wanted, where they are not.
    Cause(usize, Cause),
    SomebodyWishes(usize, Option<super::Wish>),
    /// Whether the requests of a pool are held.
    Hold(bool, Option<u16>),
    /// Weir ends when so many steps were carried out.
    Crash(usize),
    Nothing,
}

fn address(number: usize) -> SocketAddr {
    format!("10.0.0.{number}:80").parse().unwrap()
}

fn render(pools: [&Wish; 2]) -> String {
    let mut text = String::from("defaults\n mode http\n balance leastconn\n");
    for (number, wish) in pools.into_iter().enumerate() {
        let _ = writeln!(text, "backend p{number}");
        text += if number == 0 { " default-server check inter 1s\n" } else { " # no check\n" };
        for (name, spec) in wish {
            let Spec { address, weight, maxconn, disabled } = spec;
            let disabled = if *disabled { " disabled" } else { "" };
            let server = format!("s{name} 10.0.0.{address}:80");
            let _ = writeln!(text, " server {server} weight {weight} maxconn {maxconn}{disabled}");
        }
    }
    text
}

/// Weir beside a model of HAProxy.
struct Rig {
    world: World,
    loaded: String,
    wanted: String,
    wishes: [Wish; 2],
    memory: Memory,
    now: SystemTime,
    /// The loaded text follows at once; else when the plan is settled.
    follows_at_once: bool,
    /// Commands that worked, since something else last changed.
    done: BTreeSet<String>,
    reloads: Vec<Reason>,
    /// A person set something.
    is_touched: bool,
    /// Servers that a person set ready, and that weir did not set otherwise since.
    let_in: BTreeSet<String>,
    causes: BTreeMap<SocketAddr, Cause>,
    wished: BTreeMap<(String, String), super::Wish>,
    /// The pools whose requests are held.
    wakes: BTreeMap<String, SocketAddr>,
    /// The pools that a plan for what changed has to look at.
    touched: BTreeSet<String>,
    last: Observed,
}

impl Rig {
    fn new(wishes: [Wish; 2], dead: &[usize], follows_at_once: bool) -> Self {
        let text = render([&wishes[0], &wishes[1]]);
        let dead = dead.iter().copied().map(address).collect();
        let mut world = World { dead, ..World::default() };
        world.load(&text);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let (memory, done) = (Memory::default(), BTreeSet::new());
        Self {
            world,
            loaded: text.clone(),
            wanted: text,
            wishes,
            memory,
            now,
            follows_at_once,
            done,
            reloads: Vec::new(),
            is_touched: false,
            let_in: BTreeSet::new(),
            causes: BTreeMap::new(),
            wished: BTreeMap::new(),
            wakes: BTreeMap::new(),
            touched: all_pools(),
            last: Observed::default(),
        }
    }

    /// The plan for everything, which is that for what changed.
    fn plan(&self) -> Plan {
        let loaded = &[Sections::parse(&*self.loaded)];
        let wanted = &[loaded[0].parse_again(&*self.wanted)];
        let (observed, memory) = (&self.world.observe(), &self.memory);
        let cause = &|address| self.causes.get(&address).copied().unwrap_or_default();
        let (can, options, now, wishes) = (CAN, &OPTIONS, self.now, &self.wishes());
        let wake = &WakeServers::new(self.wakes.clone());
        let situation = Situation {
            loaded,
            wanted,
            observed,
            memory,
            can,
            options,
            cause,
            wishes,
            wake,
            is_unsure: false,
            is_file_behind: false,
            now,
        };
        let all = plan(&situation);
        let differs = |pool: &&String| self.last.pools.get(*pool) != observed.pools.get(*pool);
        let touched: BTreeSet<String> = all_pools()
            .iter()
            .filter(|pool| self.touched.contains(*pool) || differs(pool))
            .cloned()
            .collect();
        assert_eq!(all, plan_touched(&situation, &touched));
        all
    }

    fn wishes(&self) -> Wishes {
        let mut wishes = Wishes::default();
        for ((backend, name), wish) in &self.wished {
            wishes.add(backend, name, *wish);
        }
        wishes
    }

    /// One turn, of which only the first `steps` are carried out.
    fn turn(&mut self, steps: usize) -> Plan {
        let plan = self.plan();
        self.memory = plan.memory.clone();
        self.last = self.world.observe();
        self.touched.clear();
        if let Some(reason) = &plan.reload {
            self.reloads.push(reason.clone());
            self.reload();
        }
        let mut failed: Vec<&Step> = Vec::new();
        let (conditional, first): (Vec<&Step>, Vec<&Step>) =
            plan.steps.iter().partition(|step| step.is_conditional);
        for step in first.into_iter().chain(conditional).take(steps) {
            if !failed.iter().any(|failed| step.depends_on(failed)) && !self.step(step) {
                failed.push(step);
            }
        }
        let is_whole = steps >= plan.steps.len();
        if is_whole && (plan.settled || self.follows_at_once) {
            self.loaded = self.wanted.clone();
        }
        self.world.tick();
        self.now += plan.look_again.unwrap_or(Duration::from_secs(1)).max(Duration::from_millis(1));
        plan
    }

    fn reload(&mut self) {
        self.world.load(&self.wanted);
        self.loaded = self.wanted.clone();
        self.memory.reloaded();
        self.done.clear();
    }

    /// Carries a step out; whether it worked.
    fn step(&mut self, step: &Step) -> bool {
        let path = step.command.split(' ').find(|word| word.contains('/')).unwrap().to_owned();
        let backend = path.split('/').next().unwrap();
        let (before, server) = (self.world.serving(backend), self.world.get(&path).cloned());
        let was_unseen = server.as_ref().is_some_and(Server::serves_unseen);
        let removes = step.command.ends_with("state maint");
        if let Some(server) = server.as_ref().filter(|_| removes && !self.is_disabled(&path)) {
            let is_drained = server.state.admin != Admin::Ready;
            let address = server.state.address.unwrap();
            let cause = self.causes.get(&address).copied().unwrap_or_default();
            let may_go = !matches!(cause, Cause::Gone | Cause::Maintenance) || self.is_wished_out(&path);
            assert!(may_go || is_drained || !server.state.is_healthy(), "not drained: {}", step.command);
        }
        let reply = self.world.execute(&step.command);
        let may_be_empty = self.hopeful(backend) == 0 || before == 0;
        assert!(may_be_empty || self.world.serving(backend) > 0, "emptied by {}", step.command);
        let is_unseen = self.world.get(&path).is_some_and(Server::serves_unseen);
        let may_be = was_unseen
            || self.let_in.contains(&path)
            || self.is_wished_out(&path)
            || self.was_good_where_it_is(&path)
            || !self.others_served(&path);
        assert!(may_be || !is_unseen, "in traffic unseen: {}", step.command);
        if !step.command.contains(" weight ") && !step.command.contains(" maxconn ") {
            self.let_in.remove(&path);
        }
        let is_accepted = step.expects.accepts(&reply);
        if is_accepted {
            assert!(self.done.insert(step.command.clone()), "sent twice: {}", step.command);
        } else {
            self.memory.refuse(&step.command, &reply);
        }
        is_accepted
    }

    /// Whether a server at the same address was good when the turn began.
    fn was_good_where_it_is(&self, path: &str) -> bool {
        let address = self.world.get(path).and_then(|server| server.state.address);
        let (backend, _) = path.split_once('/').unwrap();
        let mut observed = self.last.pools.get(backend).into_iter().flatten();
        observed.any(|(_, server)| {
            server.address == address && server.serves() && server.check == CheckState::Passed
        })
    }

    /// Whether another wanted server served when the turn began.
    fn others_served(&self, path: &str) -> bool {
        let (backend, name) = path.split_once('/').unwrap();
        let observed = self.last.pools.get(backend).into_iter().flatten();
        let mut others = observed.filter(|(other, server)| *other != name && server.serves());
        others.any(|(other, _)| {
            let path = format!("{backend}/{other}");
            let is_to_serve = |spec: &Spec| !spec.disabled && spec.weight > 0;
            self.wish(&path).is_some_and(is_to_serve) && !self.is_wished_out(&path)
        })
    }

    fn wish(&self, path: &str) -> Option<&Spec> {
        let (backend, name) = path.split_once('/').unwrap();
        self.wishes[usize::from(backend == "p1")].get(&name[1..].parse().ok()?)
    }

    fn is_disabled(&self, path: &str) -> bool {
        self.wish(path).is_some_and(|spec| spec.disabled)
    }

    fn is_wished_out(&self, path: &str) -> bool {
        let (backend, name) = path.split_once('/').unwrap();
        self.wished.contains_key(&(backend.to_owned(), name.to_owned()))
    }

    fn hopeful(&self, backend: &str) -> usize {
        let wish = &self.wishes[usize::from(backend == "p1")];
        let is_hopeful = |(name, spec): &(&usize, &Spec)| {
            !spec.disabled && spec.weight > 0 && !self.is_wished_out(&format!("{backend}/s{name}"))
        };
        let holds = self.wakes.contains_key(backend) && !self.is_wished_out(&format!("{backend}/{WAKE}"));
        wish.iter().filter(is_hopeful).count() + usize::from(holds)
    }

    fn happens(&mut self, event: &Event) {
        let nth = |world: &World, n: usize| world.servers.keys().nth(n % world.servers.len().max(1)).cloned();
        self.done.clear();
        self.touched = all_pools();
        match event {
            Event::Want(checked, plain) => {
                self.wishes = [checked.clone(), plain.clone()];
                self.wanted = render([checked, plain]);
            }
            Event::SomebodyDeletes(n) => {
                let Some(key) = nth(&self.world, *n) else { return };
                self.world.servers.remove(&key);
                self.let_in.remove(&format!("{}/{}", key.0, key.1));
            }
            Event::SomebodySets(n, state) => {
                let Some((backend, name)) = nth(&self.world, *n) else { return };
                self.is_touched = true;
                let path = format!("{backend}/{name}");
                self.world.execute(&format!("set server {path} state {state}"));
                if *state == "ready" {
                    self.let_in.insert(path)
                } else {
                    self.let_in.remove(&path)
                };
            }
            Event::SomebodyReloads => {
                self.world.load(&self.loaded);
                self.memory.reloaded();
            }
            Event::DeletionIsRefused(times) => self.world.refusals = *times,
            Event::SessionsStay(stay) => self.world.sessions_stay = *stay,
            Event::Cause(number, cause) => {
                self.causes.insert(address(*number), *cause);
            }
            Event::SomebodyWishes(n, wish) => {
                let Some(server) = nth(&self.world, *n) else { return };
                match wish {
                    Some(wish) => drop(self.wished.insert(server, *wish)),
                    None => drop(self.wished.remove(&server)),
                }
            }
            Event::Hold(second, port) => self.hold(if *second { "p1" } else { "p0" }, *port),
            Event::Crash(steps) => {
                self.turn(*steps);
                // It is not kept on the disk; and who starts plans for everything.
                self.memory.given.clear();
                self.touched = all_pools();
            }
            Event::Nothing => {}
        }
    }

    fn hold(&mut self, backend: &str, port: Option<u16>) {
        match port {
            Some(port) => drop(self.wakes.insert(backend.to_owned(), ([127, 0, 0, 1], port).into())),
            None => drop(self.wakes.remove(backend)),
        }
    }

    /// Turns until only that is waited for which may never come, and no check or session is under way; nothing is planned then,
    /// now or later.
    fn settle(&mut self) -> Plan {
        self.done.clear();
        let lasts = |wait: &Wait| {
            matches!(
                wait.what,
                Waiting::Others | Waiting::Move | Waiting::Passing | Waiting::FirstCheckOverdue
            )
        };
        let is_quiet = |plan: &Plan| plan.steps.is_empty() && plan.waits.iter().all(lasts);
        let quiet = (0..300).any(|_| {
            let before = self.world.observe();
            is_quiet(&self.turn(usize::MAX)) && self.world.observe() == before
        });
        assert!(quiet, "never quiet: {:?}", self.plan());
        for _ in 0..3 {
            self.now += Duration::from_secs(100);
            let last = self.turn(usize::MAX);
            assert_eq!((&last.steps[..], &last.reload), (&[][..], &None));
        }
        self.turn(usize::MAX)
    }

    /// HAProxy has what is wanted; what differs has a reason.
    fn check(&self, last: &Plan) {
        assert!(self.is_touched || last.by_hand.is_empty(), "nobody did {:?}", last.by_hand);
        for (number, wish) in self.wishes.iter().enumerate() {
            for (name, spec) in wish {
                self.check_server(last, &format!("p{number}"), &format!("s{name}"), spec);
            }
        }
        for (backend, address) in &self.wakes {
            let state =
                &self.world.get(&format!("{backend}/{WAKE}")).unwrap_or_else(|| panic!("{backend}")).state;
            let is_in_force = last.wakes[backend].state == WakeState::InForce;
            let is_out = self.is_touched || self.is_wished_out(&format!("{backend}/{WAKE}"));
            assert!(is_in_force || is_out, "{backend}: {state:?}");
            assert_eq!((state.address, state.is_backup), (Some(*address), true));
        }
        for (backend, name) in self.world.servers.keys() {
            let is_held = name == WAKE && self.wakes.contains_key(backend);
            let may_stay = |wait: &Wait| matches!(wait.what, Waiting::Others | Waiting::Passing);
            let waits = last.waits.iter().any(|wait| &wait.server == name && may_stay(wait));
            let is_wanted = || name != WAKE && self.wish(&format!("{backend}/{name}")).is_some();
            assert!(waits || is_held || is_wanted(), "{backend}/{name} is left");
        }
    }

    fn check_server(&self, last: &Plan, backend: &str, name: &str, spec: &Spec) {
        let state = &self.world.get(&format!("{backend}/{name}")).unwrap_or_else(|| panic!("{name}")).state;
        let waits_for = |wait: &Wait| wait.backend == backend && wait.server == name;
        if last
            .waits
            .iter()
            .any(|wait| waits_for(wait) && matches!(wait.what, Waiting::Others | Waiting::Move))
        {
            return;
        }
        let numbers = (state.weight, state.maxconn, state.address);
        let address = Some(address(spec.address));
        assert_eq!(numbers, (spec.weight, spec.maxconn, address), "{backend}/{name}");
        let wish = self.wished.get(&(backend.to_owned(), name.to_owned()));
        let expected = match wish {
            _ if spec.disabled => Admin::Maint,
            Some(wish) => wish.state(),
            None => Admin::Ready,
        };
        let is_known = last.by_hand.iter().any(|by| by.backend == backend && by.server == name)
            || last.waits.iter().any(waits_for);
        assert!(state.admin == expected || is_known, "{backend}/{name} is {:?}", state.admin);
    }
}

fn spec() -> impl Strategy<Value = Spec> {
    let disabled = prop::bool::weighted(0.25);
    (1..5usize, 0..3u32, 0..3u32, disabled).prop_map(|(address, weight, maxconn, disabled)| Spec {
        address,
        weight,
        maxconn,
        disabled,
    })
}

fn wish() -> impl Strategy<Value = Wish> {
    prop::collection::btree_map(0..3usize, spec(), 0..4)
}

fn all_pools() -> BTreeSet<String> {
    BTreeSet::from(["p0".to_owned(), "p1".to_owned()])
}

fn cause() -> impl Strategy<Value = Cause> {
    prop::sample::select(vec![Cause::Gone, Cause::Maintenance, Cause::Critical, Cause::Unreachable])
}

fn wished() -> impl Strategy<Value = super::Wish> {
    prop::sample::select(vec![super::Wish::Drain, super::Wish::Maint])
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (wish(), wish()).prop_map(|(a, b)| Event::Want(a, b)),
        1 => (0..9usize).prop_map(Event::SomebodyDeletes),
        1 => (0..9usize, prop::sample::select(vec!["ready", "drain", "maint"])).prop_map(|(n, s)| Event::SomebodySets(n, s)),
        1 => Just(Event::SomebodyReloads),
        1 => (0..4u32).prop_map(Event::DeletionIsRefused),
        1 => any::<bool>().prop_map(Event::SessionsStay),
        1 => (1..5usize, cause()).prop_map(|(address, cause)| Event::Cause(address, cause)),
        1 => (0..9usize, prop::option::of(wished())).prop_map(|(n, wish)| Event::SomebodyWishes(n, wish)),
        2 => (any::<bool>(), prop::option::of(1..4u16)).prop_map(|(second, port)| Event::Hold(second, port)),
        1 => (0..3usize).prop_map(Event::Crash),
        3 => Just(Event::Nothing),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn turns_converge_without_harm(
        first in (wish(), wish()),
        dead in prop::collection::vec(1..5usize, 0..3),
        events in prop::collection::vec((event(), 0..4usize), 0..16),
        follows_at_once in any::<bool>(),
    ) {
        let mut rig = Rig::new([first.0, first.1], &dead, follows_at_once);
        for (event, turns) in &events {
            rig.happens(event);
            for _ in 0..*turns {
                rig.turn(usize::MAX);
            }
        }
        let last = rig.settle();
        rig.check(&last);
        // Who undoes each time what weir does is answered by a reload.
        let undoes = |event: &Event| matches!(event, Event::SomebodyDeletes(_) | Event::SomebodySets(..));
        let is_undone = events.iter().filter(|(event, _)| undoes(event)).count() >= 3;
        let is_answer = |reason: &Reason| is_undone && reason.why.ends_with("it has no effect");
        prop_assert!(rig.reloads.iter().all(is_answer), "{:?}", rig.reloads);
    }
}

/// A person lets a server in that was not checked yet and has no weight, in the moment in which the configuration gives it one.
#[test]
fn who_lets_a_server_in_that_was_not_seen_is_taken_at_their_word() {
    let spec = |address, weight, disabled| Spec { address, weight, maxconn: 0, disabled };
    let wish = |second| Event::Want(Wish::from([(1, spec(1, 1, false)), (2, second)]), Wish::new());
    let mut rig = Rig::new([Wish::new(), Wish::new()], &[], false);
    rig.happens(&wish(spec(4, 0, true)));
    rig.turn(usize::MAX);
    rig.happens(&wish(spec(4, 1, false)));
    rig.happens(&Event::SomebodySets(1, "ready"));
    let last = rig.settle();
    rig.check(&last);
    let server = &rig.world.get("p0/s2").unwrap().state;
    assert_eq!((server.admin, server.weight), (Admin::Ready, 1));
}
