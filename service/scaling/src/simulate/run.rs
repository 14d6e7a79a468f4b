//! The model: requests, HAProxy, instances and Nomad, with a scaler that looks once or twice a second.
//!
//! In: a setting and a scaler. Out: what came of it. Event-driven, and the same for the same seed: requests
//! arrive as a Poisson process at the rate of each second, and take times that do not depend on the scaler.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::group::{Changed, Group};
use super::moment::{Micros, SECOND, micros, seconds};
use super::outcome::{Outcome, Second, Step};
use super::pool::{Begun, Pool, Request};
use super::random::Random;
use super::setting::{Service, Setting, Spread};
use super::view::{Scaler, View};
use super::waits::{LATE, Waits};

/// Runs a setting from its first to its last second.
pub fn run(setting: &Setting, scaler: &mut dyn Scaler) -> Outcome {
    let mut model = Model::new(setting);
    for (second, &rate) in setting.rates.iter().enumerate() {
        let ends = (second as Micros + 1) * SECOND;
        let again = scaler.looks_twice().then_some(ends - SECOND / 2);
        let arrived = model.arrivals(rate, ends, again, scaler);
        model.advance(ends);
        model.look(ends, scaler);
        model.note(arrived);
    }
    model.finish(setting.rates.len() as Micros * SECOND)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A server has had its first good check.
    Up(usize),
    /// A server ends a request.
    End(usize),
}

struct Model {
    service: Service,
    shutdown_delay: Micros,
    random: Random,
    pool: Pool,
    group: Group,
    events: BinaryHeap<Reverse<(Micros, Event)>>,
    /// When each stopped instance ended.
    ended: Vec<Option<Micros>>,
    waits: Waits,
    /// Work times time since the last look, in request-microseconds, and until when it is summed.
    area: (u64, Micros),
    /// The mean of the work in the second before the last look.
    mean_work: f64,
    outcome: Outcome,
}

impl Model {
    fn new(setting: &Setting) -> Self {
        let cluster = setting.cluster;
        let mut model = Self {
            service: setting.service,
            shutdown_delay: micros(cluster.shutdown_delay),
            random: Random::new(setting.seed),
            pool: Pool::new(cluster.slots),
            group: Group::new(cluster, !setting.seed),
            events: BinaryHeap::new(),
            ended: Vec::new(),
            waits: Waits::default(),
            area: (0, 0),
            mean_work: 0.0,
            outcome: Outcome { peak: cluster.initial, ..Outcome::default() },
        };
        for _ in 0..cluster.initial {
            let server = model.pool.add();
            model.pool.up(server);
            model.ended.push(None);
        }
        model
    }

    /// All requests of the second that ends then, and the look in the middle of it where there is one. Without memory,
    /// a process of another rate may begin anew in each second.
    fn arrivals(
        &mut self,
        rate: f64,
        ends: Micros,
        mut again: Option<Micros>,
        scaler: &mut dyn Scaler,
    ) -> u64 {
        let before = self.pool.arrived();
        let mut at = ends - SECOND;
        loop {
            at += if rate > 0.0 { micros(self.random.exponential() / rate) } else { SECOND };
            if let Some(half) = again.take_if(|half| at >= *half) {
                self.advance(half);
                self.ask(half, self.mean_work, scaler);
            }
            if at >= ends {
                return self.pool.arrived() - before;
            }
            self.advance(at);
            self.arrive(at);
        }
    }

    fn arrive(&mut self, now: Micros) {
        let request = Request { arrived: now, service: self.draw() };
        self.sum(now);
        let begun = self.pool.arrive(request);
        self.begin(now, begun);
    }

    fn draw(&mut self) -> Micros {
        let spread = match self.service.spread {
            Spread::Fixed => 1.0,
            Spread::Exponential => self.random.exponential(),
        };
        let long = self.service.long.filter(|(every, _)| (self.pool.arrived() + 1).is_multiple_of(*every));
        micros(long.map_or(self.service.mean * spread, |(_, long)| long))
    }

    fn begin(&mut self, now: Micros, begun: impl IntoIterator<Item = Begun>) {
        for Begun { server, request } in begun {
            self.waits.count(now - request.arrived);
            self.events.push(Reverse((now + request.service, Event::End(server))));
        }
    }

    /// Everything that happens up to this moment.
    fn advance(&mut self, until: Micros) {
        while let Some(&Reverse((now, event))) = self.events.peek()
            && now <= until
        {
            self.events.pop();
            self.sum(now);
            self.happen(now, event);
        }
        self.sum(until);
    }

    fn happen(&mut self, now: Micros, event: Event) {
        match event {
            Event::End(server) => {
                let begun = self.pool.end(server);
                self.begin(now, begun);
                self.end_if_idle(now, server);
            }
            Event::Up(server) if self.group.instance(server).stopped.is_none() => {
                let begun = self.pool.up(server);
                self.begin(now, begun);
            }
            Event::Up(_) => {}
        }
    }

    /// A stopped instance ends with its last request, and not before its `shutdown_delay`.
    fn end_if_idle(&mut self, now: Micros, server: usize) {
        if let Some(stopped) = self.group.instance(server).stopped
            && self.pool.server(server).sessions == 0
        {
            self.ended[server] = Some(now.max(stopped + self.shutdown_delay));
        }
    }

    fn sum(&mut self, now: Micros) {
        let work = self.pool.busy() + self.pool.queue().len() as u64;
        self.area.0 += work * (now - self.area.1);
        self.area.1 = now;
    }

    fn look(&mut self, now: Micros, scaler: &mut dyn Scaler) {
        self.mean_work = std::mem::take(&mut self.area.0) as f64 / SECOND as f64;
        self.ask(now, self.mean_work, scaler);
    }

    fn ask(&mut self, now: Micros, mean_work: f64, scaler: &mut dyn Scaler) {
        let view =
            View { now, pool: &self.pool, group: &self.group, mean_work, steps: &self.outcome.actions };
        let (second, from) = (view.second(), view.count());
        let Some(ask) = scaler.look(&view).filter(|ask| ask.count != from) else { return };
        let Some(changed) = self.group.scale(now, ask) else {
            self.outcome.refused += 1;
            return;
        };
        self.change(now, changed);
        self.outcome.actions.push(Step { second, from, to: ask.count });
        self.outcome.peak = self.outcome.peak.max(ask.count);
        scaler.scaled(second, from, ask.count);
    }

    fn change(&mut self, now: Micros, changed: Changed) {
        match changed {
            Changed::Placed(instances) => {
                for number in instances {
                    let server = self.pool.add();
                    self.ended.push(None);
                    self.events.push(Reverse((self.group.instance(number).healthy, Event::Up(server))));
                }
            }
            Changed::Stopped(instances) => {
                for number in instances {
                    self.pool.drain(number);
                    self.end_if_idle(now, number);
                }
            }
        }
    }

    fn note(&mut self, arrived: u64) {
        let up = self.group.live().iter().filter(|&&number| self.pool.server(number).up).count();
        let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        self.outcome.course.push(Second {
            arrived: short(arrived),
            busy: short(self.pool.busy()),
            queued: short(self.pool.queue().len() as u64),
            count: short(self.group.count()),
            up: short(up as u64),
        });
    }

    fn finish(mut self, end: Micros) -> Outcome {
        let waiting = self.pool.queue().iter().filter(|request| end - request.arrived > LATE).count() as u64;
        let lifetimes = self.group.instances().iter().zip(&self.ended);
        let lived = lifetimes.map(|(instance, ended)| ended.unwrap_or(end).min(end) - instance.placed);
        self.outcome.instance_seconds = seconds(lived.sum());
        self.outcome.requests = self.pool.arrived();
        self.outcome.late = self.waits.late + waiting;
        self.outcome.p99 = self.waits.percentile(0.99);
        self.outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::setting::Cluster;
    use super::super::view::Ask;
    use super::*;

    /// Asks for the counts at the seconds beside them.
    struct Script(Vec<(u64, u64)>);

    impl Scaler for Script {
        fn look(&mut self, view: &View<'_>) -> Option<Ask> {
            self.0.iter().find(|(second, _)| *second == view.second()).map(|(_, count)| Ask::scale(*count))
        }
    }

    fn setting(rates: Vec<f64>, initial: u64) -> Setting {
        let service = Service { mean: 0.1, spread: Spread::Exponential, long: None };
        Setting { rates, service, cluster: Cluster { initial, ..Cluster::default() }, seed: 1 }
    }

    /// Erlang C: at 16 busy of 20 slots 25.6 % wait (M/M/20), and those who wait do so for S / (20 - 16) in
    /// the mean.
    #[test]
    fn a_pool_of_steady_load_waits_as_queueing_theory_says() {
        let setting = setting(vec![160.0; 20_000], 2);
        let outcome = run(&setting, &mut Script(Vec::new()));
        let mean = outcome.course.iter().map(|second| f64::from(second.busy)).sum::<f64>() / 20_000.0;
        assert!((mean - 16.0).abs() < 0.2, "{mean} busy");
        // P(wait > t) = 0.256 e^(-40 t), so 1 % wait longer than 81 ms.
        assert!((outcome.p99 - 0.081).abs() < 0.008, "{}", outcome.p99);
        assert!((outcome.instance_seconds - 40_000.0).abs() < 1e-6);
    }

    #[test]
    fn a_new_instance_serves_after_start_and_check_and_costs_from_placement() {
        let setting = setting(vec![10.0; 100], 2);
        let outcome = run(&setting, &mut Script(vec![(10, 3), (20, 5)]));
        assert_eq!(outcome.actions, [Step { second: 10, from: 2, to: 3 }]);
        assert_eq!(outcome.refused, 1);
        let up: Vec<u32> = outcome.course.iter().map(|second| second.up).collect();
        assert_eq!((up[29], up[31]), (2, 3));
        assert!((outcome.instance_seconds - 290.0).abs() < 1e-6);
    }

    #[test]
    fn a_stopped_instance_costs_until_its_last_request_ended() {
        let mut setting = setting(vec![100.0; 40], 2);
        setting.service = Service { mean: 0.05, spread: Spread::Fixed, long: Some((50, 8.0)) };
        let outcome = run(&setting, &mut Script(vec![(10, 1)]));
        let over = outcome.instance_seconds - 50.0;
        assert!(over > 5.0 && over < 8.0, "{over}");
    }

    #[test]
    fn the_same_seed_gives_the_same_and_the_scaler_does_not_change_the_load() {
        let setting = setting((0..300).map(f64::from).collect(), 2);
        let one = run(&setting, &mut Script(Vec::new()));
        assert_eq!(one, run(&setting, &mut Script(Vec::new())));
        let other = run(&setting, &mut Script(vec![(5, 9)]));
        assert_eq!(one.requests, other.requests);
        assert!(other.late < one.late);
    }
}
