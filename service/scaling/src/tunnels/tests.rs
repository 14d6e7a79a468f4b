use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::sample::ServerState;

/// A server as it really is.
#[derive(Debug, Clone, Default)]
struct Real {
    begun: u64,
    tunnels: u64,
    requests: u64,
    total: u64,
}

#[derive(Debug, Clone)]
enum Event {
    Begins(usize),
    Ends(usize),
    Requests(usize, u64),
    /// Where it has no sessions: `del server` wants that.
    Deleted(usize),
}

/// Servers `a` to `d` of one backend.
#[derive(Debug, Clone, Default)]
struct Model {
    ended: u64,
    servers: [Real; 4],
}

impl Model {
    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Begins(at) => {
                let server = &mut self.servers[at];
                (server.begun, server.tunnels, server.total) =
                    (server.begun + 1, server.tunnels + 1, server.total + 1);
            }
            Event::Ends(at) if self.servers[at].tunnels > 0 => {
                self.servers[at].tunnels -= 1;
                self.ended += 1;
            }
            Event::Requests(at, open) => {
                self.servers[at].total += open;
                self.servers[at].requests = open;
            }
            Event::Deleted(at) if self.servers[at].tunnels + self.servers[at].requests == 0 => {
                self.servers[at] = Real::default();
            }
            Event::Ends(_) | Event::Deleted(_) => {}
        }
    }

    fn open(&self) -> u64 {
        self.servers.iter().map(|server| server.tunnels).sum()
    }

    fn sample(&self) -> Sample {
        let servers = ["a", "b", "c", "d"].iter().zip(&self.servers).map(|(name, real)| ServerSample {
            name: (*name).to_owned(),
            state: ServerState::Up,
            sessions: real.tunnels + real.requests,
            total: real.total,
            tunnels_begun: real.begun,
            ..ServerSample::default()
        });
        let backend = BackendSample {
            name: "web".to_owned(),
            tunnels_ended: self.ended,
            servers: servers.collect(),
            ..BackendSample::default()
        };
        let process = Process { node: 0, pid: 1, started: 5 };
        Sample { at: UNIX_EPOCH, process, leaving: false, backends: vec![backend] }
    }
}

/// The open tunnels of each server, as far as can be told.
fn told(tunnels: &mut Tunnels, model: &Model) -> Vec<u64> {
    let mut sample = model.sample();
    tunnels.fill([&mut sample]);
    sample.backends[0].servers.iter().map(|server| server.tunnels).collect()
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..4_usize, 0..5_u64, 0..6).prop_map(|(at, open, kind)| match kind {
        0..=2 => Event::Begins(at),
        3 => Event::Ends(at),
        4 => Event::Requests(at, open),
        _ => Event::Deleted(at),
    });
    prop::collection::vec(event, 0..6)
}

proptest! {
    /// As long as one looks after every few events, and sees a server's sessions gone before it is deleted.
    #[test]
    fn the_sum_is_right_and_no_server_has_more_than_its_sessions(looks in prop::collection::vec(events(), 1..20)) {
        let (mut tunnels, mut model) = (Tunnels::default(), Model::default());
        for events in looks {
            let deletes = |event: &&Event| matches!(event, Event::Deleted(_));
            events.iter().filter(deletes).for_each(|event| model.happens(event));
            told(&mut tunnels, &model);
            events.iter().filter(|event| !deletes(event)).for_each(|event| model.happens(event));
            let told = told(&mut tunnels, &model);
            prop_assert_eq!(told.iter().sum::<u64>(), model.open(), "{:?} {:?}", model, told);
            for (told, real) in told.iter().zip(&model.servers) {
                prop_assert!(*told <= real.tunnels + real.requests);
            }
        }
    }

    /// What servers had begun that are gone is not known to one who looks for the first time.
    #[test]
    fn a_first_look_never_tells_too_many(events in events(), more in events()) {
        let mut model = Model::default();
        events.iter().chain(&more).for_each(|event| model.happens(event));
        let told = told(&mut Tunnels::default(), &model);
        prop_assert!(told.iter().sum::<u64>() <= model.open());
    }
}

#[test]
fn one_that_lost_its_sessions_is_where_they_ended() {
    let (mut tunnels, mut model) = (Tunnels::default(), Model::default());
    model.servers[0] = Real { begun: 8, tunnels: 8, requests: 0, total: 8 };
    model.servers[1] = Real { begun: 8, tunnels: 8, requests: 5, total: 40 };
    assert_eq!(told(&mut tunnels, &model), [8, 8, 0, 0]);
    (0..8).for_each(|_| model.happens(&Event::Ends(0)));
    assert_eq!(told(&mut tunnels, &model), [0, 8, 0, 0]);
}

#[test]
fn one_that_did_not_answer_is_remembered() {
    let (mut tunnels, mut model) = (Tunnels::default(), Model::default());
    model.servers[0] = Real { begun: 8, tunnels: 8, requests: 0, total: 8 };
    model.servers[1] = Real { begun: 5, tunnels: 0, requests: 0, total: 8 };
    model.ended = 5;
    assert_eq!(told(&mut tunnels, &model).iter().sum::<u64>(), 8);
    model.happens(&Event::Deleted(1));
    assert_eq!(told(&mut tunnels, &model), [8, 0, 0, 0]);
    (0..50).for_each(|_| tunnels.fill([]));
    assert_eq!(told(&mut tunnels, &model), [8, 0, 0, 0]);
    (0..100).for_each(|_| tunnels.fill([]));
    assert_eq!(
        told(&mut tunnels, &model),
        [3, 0, 0, 0],
        "as at a first look: five ended, of eight that are known"
    );
}

#[test]
fn cleared_counters_take_no_tunnel_away() {
    let (mut tunnels, mut model) = (Tunnels::default(), Model::default());
    model.servers[0] = Real { begun: 8, tunnels: 6, requests: 3, total: 90 };
    model.ended = 2;
    assert_eq!(told(&mut tunnels, &model), [6, 0, 0, 0]);
    (model.servers[0].begun, model.servers[0].total, model.ended) = (0, 0, 0);
    assert_eq!(told(&mut tunnels, &model), [6, 0, 0, 0]);
    model.happens(&Event::Begins(0));
    model.happens(&Event::Ends(0));
    model.happens(&Event::Ends(0));
    assert_eq!(told(&mut tunnels, &model), [5, 0, 0, 0]);
}
