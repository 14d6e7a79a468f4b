//! The measured load of a step by five, played against the smallest policy: requests, slots, start-up times
//! and Nomad's deployment block as on the real cluster, arrivals by the Poisson distribution from a fixed
//! seed.

use std::collections::BTreeMap;

use super::*;
use crate::demand::{Counter, Measure};
use crate::history::History;
use crate::sample::Process;
use crate::seen::{Scale, Timing};

/// The maxconn of each server.
const SLOTS: usize = 5;
/// From asking until the server takes sessions: 3 s, and a check every second.
const START: f64 = 3.6;
/// From a scale until Nomad takes the next one: the start, and 2 s of `min_healthy_time`.
const BLOCK: f64 = 5.5;
/// How long every hundredth request takes.
const LONG: f64 = 8.0;
const STEP: f64 = 0.005;
const END: f64 = 180.0;

/// Numbers that look random and are always the same: the high bits of a linear congruential generator.
struct Chance(u64);

impl Chance {
    fn exponential(&mut self, mean: f64) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        -((self.0 >> 11) as f64 + 1.0).log2() * mean * std::f64::consts::LN_2
            + 53.0 * std::f64::consts::LN_2 * mean
    }
}

/// One server: when it began to start, and when its requests end.
struct Server {
    serves: f64,
    ends: Vec<f64>,
    draining: bool,
}

struct World {
    chance: Chance,
    servers: Vec<Server>,
    queue: std::collections::VecDeque<(f64, f64)>,
    arrived: u64,
    late: u64,
    next: f64,
    policy: Policy,
    history: History,
    memory: Memory,
    scales: Vec<(f64, u64, u64)>,
    /// The count that a drain is under way for.
    draining_to: Option<u64>,
    instance_seconds: f64,
    first_queue: Option<f64>,
}

fn rate(at: f64) -> f64 {
    if (30.0..90.0).contains(&at) { 300.0 } else { 60.0 }
}

fn moment(at: f64) -> SystemTime {
    now() + Duration::from_secs_f64(at)
}

impl World {
    fn new(seed: u64) -> Self {
        let server = || Server { serves: 0.0, ends: Vec::new(), draining: false };
        Self {
            chance: Chance(seed),
            servers: vec![server(), server()],
            queue: std::collections::VecDeque::new(),
            arrived: 0,
            late: 0,
            next: 0.0,
            policy: plain(2, 20),
            history: History::new(Duration::from_mins(1)),
            memory: Memory::default(),
            scales: Vec::new(),
            draining_to: None,
            instance_seconds: 0.0,
            first_queue: None,
        }
    }

    fn run(&mut self) {
        let (mut at, mut sample) = (0.0, 0.37);
        while at < END {
            self.requests(at);
            if at >= sample {
                self.second(at);
                sample += 1.0;
            }
            self.instance_seconds += STEP * self.servers.len() as f64;
            at += STEP;
        }
    }

    fn played(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.run();
        world
    }

    fn requests(&mut self, at: f64) {
        while self.next <= at {
            self.arrived += 1;
            let time = if self.arrived.is_multiple_of(100) { LONG } else { self.chance.exponential(0.05) };
            self.queue.push_back((self.next, time));
            self.next += self.chance.exponential(1.0 / rate(self.next));
        }
        for server in &mut self.servers {
            server.ends.retain(|end| *end > at);
        }
        while let Some(&(came, time)) = self.queue.front() {
            let free = self
                .servers
                .iter_mut()
                .filter(|one| one.serves <= at && !one.draining && one.ends.len() < SLOTS);
            let Some(server) = free.min_by_key(|one| one.ends.len()) else { break };
            server.ends.push(at + time);
            // A long one is late by its wait alone.
            let served = if time < LONG { time } else { 0.0 };
            self.late += u64::from(at - came + served > 0.5);
            self.queue.pop_front();
        }
        if self.queue.len() > 5 && at > 30.0 && self.first_queue.is_none() {
            self.first_queue = Some(at);
        }
    }

    fn measure(&self, at: f64) -> Measure {
        let busy: usize = self.servers.iter().map(|server| server.ends.len()).sum();
        let counter = Counter::of(Process { node: 0, pid: 1, started: 1 }, "web", "");
        Measure {
            at: moment(at),
            work: (busy + self.queue.len()) as f64,
            queued: self.queue.len() as f64,
            tunnels: 0.0,
            left: 0.0,
            begun: BTreeMap::new(),
            serving: self.servers.iter().filter(|one| one.serves <= at && !one.draining).count() as u64,
            slots: Some(SLOTS as f64),
            totals: BTreeMap::from([(counter, self.arrived)]),
            undealt: BTreeMap::new(),
            errors: BTreeMap::new(),
            missing: Vec::new(),
        }
    }

    fn second(&mut self, at: f64) {
        self.history.push(Ok(self.measure(at)));
        let count = self.count();
        let scales: Vec<Scale> =
            self.scales.iter().map(|&(at, from, to)| Scale { at: moment(at), from, to }).collect();
        let last = scales.last();
        let seen = Seen {
            count,
            running: count,
            demand: self.history.demand(moment(at)),
            memory: self.memory.clone(),
            last_scale: last.map(|one| LastScale {
                at: one.at,
                direction: Direction::between(one.from, one.to).unwrap(),
            }),
            gain: last.and_then(|one| self.history.gain(one.at, Duration::from_secs_f64(START), moment(at))),
            timing: Timing { start: Duration::from_secs_f64(START), block: Duration::from_secs_f64(BLOCK) },
            scales,
            ..Seen::default()
        };
        let decision = decide(&self.policy, &seen, moment(at));
        self.memory.note(&decision, &self.policy);
        self.act(at, count, decision.to);
    }

    fn count(&self) -> u64 {
        self.servers.len() as u64
    }

    /// Scales up at once, and down after the sessions of the victims are over; not while a deployment blocks.
    fn act(&mut self, at: f64, count: u64, to: u64) {
        let blocked = self.scales.last().is_some_and(|(last, _, _)| at - last < BLOCK);
        if self.draining_to.is_some_and(|goal| to > goal) {
            self.servers.iter_mut().for_each(|server| server.draining = false);
            self.draining_to = None;
        }
        if blocked || to == count {
            return;
        }
        if to > count {
            self.scales.push((at, count, to));
            let starts = |_| Server { serves: at + START, ends: Vec::new(), draining: false };
            self.servers.extend((count..to).map(starts));
            return;
        }
        let victims = &mut self.servers[usize::try_from(to).unwrap()..];
        for server in victims.iter_mut() {
            server.draining = true;
        }
        self.draining_to = Some(to);
        if victims.iter().all(|server| server.ends.is_empty()) {
            self.scales.push((at, count, to));
            self.servers.truncate(usize::try_from(to).unwrap());
            self.draining_to = None;
        }
    }

    /// The first action after the queue appeared: how much later, and to how many.
    fn answer(&self) -> (f64, u64) {
        let queue = self.first_queue.unwrap();
        let &(at, _, to) = self.scales.iter().find(|(at, _, _)| *at > queue).unwrap();
        (at - queue, to)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The aims that the whole is measured by, which leave room for what a model does not know.
#[test]
fn a_step_by_five_is_answered_in_one_action_and_paid_for_briefly() {
    let worlds: Vec<World> = (1..=21).map(World::played).collect();
    let of = |value: fn(&World) -> f64| median(worlds.iter().map(value).collect());
    let late = of(|world| world.late as f64 * 100.0 / world.arrived as f64);
    let paid = of(|world| world.instance_seconds);
    let actions = of(|world| world.scales.len() as f64);
    assert!(late <= 8.0 && paid <= 1050.0 && actions <= 6.0, "{late} % late, {paid} s, {actions} actions");
    for world in &worlds {
        let (after, to) = world.answer();
        assert!(world.count() <= 3 && (after > 3.0 || to >= 9), "{:?}", world.scales);
    }
    let prompt = worlds.iter().filter(|world| world.answer().0 <= 3.0).count();
    // A deployment that began a moment before the step blocks the answer to it.
    assert!(prompt >= 20, "{prompt} of 21");
}
