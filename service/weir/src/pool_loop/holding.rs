//! Requests that weir holds for pools without an instance, as the loop of one HAProxy sees it.
//!
//! In: where weir listens for which backend, what the last plan said of that, what HAProxy has. Out: how it stands with
//! each backend, and where what was held can go. Nothing here fails; it decides nothing but whether a pool may be empty.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use weir_pools::plan::{Observed, WAKE, Wake, WakeServers, WakeState, Wishes};

/// What is held, or shall be.
#[derive(Debug, Default)]
pub(super) struct Holding {
    wanted: WakeServers,
    /// Backends of which HAProxy may still have the server.
    left: BTreeSet<String>,
    /// How it stood in the last plan.
    planned: BTreeMap<String, Wake>,
}

/// How it stands with the requests of one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) state: WakeState,
    /// The servers that get new requests now.
    pub(crate) doors: Vec<Door>,
}

/// A server that gets new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Door {
    pub(crate) at: SocketAddr,
    /// How many it can do at once; 0: no limit.
    pub(crate) most: u32,
}

impl Holding {
    /// Requests of these backends shall be held, and of no others. Out: the backends for which that may be news.
    pub(super) fn want(&mut self, wanted: WakeServers) -> BTreeSet<String> {
        let before = std::mem::replace(&mut self.wanted, wanted);
        let before: BTreeSet<String> = before.backends().cloned().collect();
        self.left.extend(before.iter().cloned());
        before.into_iter().chain(self.wanted.backends().cloned()).collect()
    }

    pub(super) fn wanted(&self) -> &WakeServers {
        &self.wanted
    }

    /// Takes in what a plan says.
    pub(super) fn take(&mut self, planned: BTreeMap<String, Wake>) {
        self.planned = planned;
    }

    pub(super) fn planned(&self) -> &BTreeMap<String, Wake> {
        &self.planned
    }

    /// Every backend that HAProxy has whose requests shall be held, or that still has the server for it.
    pub(super) fn all(&self, observed: &Observed) -> BTreeMap<String, Hold> {
        let planned = self.planned.iter().filter(|(backend, _)| self.wanted.contains(backend));
        let planned = planned.map(|(backend, wake)| (backend, wake.state.clone()));
        let has_it =
            |backend: &&String| observed.pools.get(*backend).is_some_and(|all| all.contains_key(WAKE));
        let left = self.left.iter().filter(has_it).map(|backend| (backend, WakeState::Coming));
        // What is planned goes before what is only seen.
        let all: BTreeMap<&String, WakeState> = left.chain(planned).collect();
        let hold = |(backend, state): (&String, WakeState)| {
            (backend.clone(), Hold { state, doors: doors(observed, backend) })
        };
        all.into_iter().map(hold).collect()
    }

    /// The same of a HAProxy that is told nothing.
    pub(super) fn untold(&self, has_it: impl Fn(&str) -> bool) -> BTreeMap<String, Hold> {
        let why =
            "weir adds the server that holds requests at HAProxy's `stats_socket`, which is not configured";
        let state = |backend: &str| {
            if has_it(backend) { WakeState::Unfit(why.to_owned()) } else { WakeState::Absent }
        };
        let hold = |backend: &String| Hold { state: state(backend), doors: Vec::new() };
        self.wanted.backends().map(|backend| (backend.clone(), hold(backend))).collect()
    }

    /// Whether every server of a backend is out of traffic because somebody wishes it so, while what they would get is
    /// held: they keep nothing from being empty.
    pub(super) fn keeps_open(&self, backend: &str, observed: &Observed, wishes: &Wishes) -> bool {
        let is_in_force = |wake: &Wake| wake.state == WakeState::InForce;
        let mut servers = observed.pools.get(backend).into_iter().flatten();
        self.wanted.contains(backend)
            && self.planned.get(backend).is_some_and(is_in_force)
            && servers.all(|(name, _)| name == WAKE || wishes.get(backend, name).is_some())
    }
}

fn doors(observed: &Observed, backend: &str) -> Vec<Door> {
    let servers = observed.pools.get(backend).into_iter().flatten();
    let serving = servers.filter(|(name, server)| *name != WAKE && server.serves());
    serving.filter_map(|(_, server)| Some(Door { at: server.address?, most: server.maxconn })).collect()
}

#[cfg(test)]
mod tests {
    use weir_pools::plan::{Admin, CheckState, ObservedServer, Wish};

    use super::*;

    fn server(address: &str, admin: Admin) -> ObservedServer {
        ObservedServer {
            id: 1,
            address: address.parse().ok(),
            weight: 1,
            maxconn: 4,
            admin,
            is_down: false,
            check: CheckState::None,
            sessions: 0,
            is_backup: false,
        }
    }

    fn held(state: WakeState) -> Holding {
        Holding {
            wanted: WakeServers::new([("web".to_owned(), ([127, 0, 0, 1], 9).into())]),
            planned: BTreeMap::from([("web".to_owned(), Wake { state, again: Vec::new() })]),
            left: BTreeSet::from(["old".to_owned()]),
        }
    }

    #[test]
    fn a_pool_may_be_empty_once_its_servers_are_wished_out_and_their_requests_are_held() {
        let mut observed = Observed::default();
        observed.insert("web", "a", server("10.0.0.1:80", Admin::Drain));
        observed.insert("web", WAKE, server("127.0.0.1:9", Admin::Ready));
        let mut wishes = Wishes::default();
        let keeps = |holding: &Holding, wishes: &Wishes| holding.keeps_open("web", &observed, wishes);
        assert!(!keeps(&held(WakeState::InForce), &wishes), "its instance may be wanted");
        wishes.add("web", "a", Wish::Drain);
        assert!(keeps(&held(WakeState::InForce), &wishes));
        assert!(!keeps(&held(WakeState::Coming), &wishes) && !keeps(&Holding::default(), &wishes));
    }

    #[test]
    fn what_is_held_goes_to_those_that_serve_and_the_server_is_seen_to_its_end() {
        let mut observed = Observed::default();
        observed.insert("web", "a", server("10.0.0.1:80", Admin::Ready));
        observed.insert("web", "b", server("10.0.0.2:80", Admin::Drain));
        observed.insert("old", WAKE, server("127.0.0.1:8", Admin::Drain));
        let all = held(WakeState::Coming).all(&observed);
        let door = Door { at: "10.0.0.1:80".parse().unwrap(), most: 4 };
        let web = Hold { state: WakeState::Coming, doors: vec![door] };
        assert_eq!((all.get("web"), all.len()), (Some(&web), 2), "and the one that is on its way out");
    }
}
