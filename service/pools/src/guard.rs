//! The guard: a pool that has servers is not emptied by an answer that turned empty.
//!
//! A wiped or leaderless Consul and a lost permission answer `[]`, just as a deregistration of the last instance
//! does. The guard cannot tell them apart, so it keeps what served last, until instances come back or somebody
//! who knows says that zero is meant.
//!
//! In: the pools in force with the catalogue they were rendered from, and the pools that the new catalogue would
//! give. Out: the instances to keep, as a catalogue that has them in it. It works on pools, not on services:
//! whatever the template does with its answers, what counts is which servers stood in a backend. Nothing here
//! fails; a pool whose servers cannot be traced to instances is named as *untraceable*, and the caller keeps
//! the whole file that is in force.
//!
//! [`panic`] keeps pools from losing most of their servers at once because these turned critical.

mod panic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Answer, Catalogue, Instance, Query, ServiceEntry, SharedMap};

pub use panic::{Share, Shift, Step, Turn};

/// Which servers stand in which backend, as `ADDRESS:PORT`. What did not change from one text to the next is the same in
/// memory.
pub type Pools = SharedMap<Arc<str>, Arc<BTreeSet<String>>>;

/// A pool that keeps instances which Consul no longer lists, or lists as critical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The servers that stay.
    kept: Vec<Kept>,
    /// The servers that came back since, each of which took the place of one that was kept.
    back: BTreeSet<String>,
    /// How few are healthy, where that is why; otherwise the pool would be empty.
    #[serde(default)]
    panic: Option<Share>,
}

/// One server that stays, as each answer had it that lost it: two services may share an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    server: String,
    copies: Vec<(Query, Instance)>,
}

impl Held {
    /// The instances that stay.
    pub fn kept(&self) -> impl Iterator<Item = &Instance> {
        self.kept.iter().filter_map(|kept| Some(&kept.copies.first()?.1))
    }

    /// How few are healthy, where that is why they stay; otherwise the pool would be empty.
    pub fn panic(&self) -> Option<Share> {
        self.panic
    }

    /// Lets one kept instance go for each server that is newly present: itself, else the last in order. So the pool's
    /// size changes by steps, and one early comer does not take the whole load.
    fn replace<'a>(&mut self, present: impl Iterator<Item = &'a String>) {
        for server in present {
            if !self.back.insert(server.clone()) {
                continue;
            }
            let same = self.kept.iter().position(|kept| kept.server == *server);
            match same {
                Some(index) => drop(self.kept.remove(index)),
                None => drop(self.kept.pop()),
            }
        }
    }
}

/// The pools that keep instances, by backend. Persisted, so that a restart forgets nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    held: BTreeMap<String, Held>,
    /// Pools in panic whose critical instances may go, as a person said.
    #[serde(default)]
    let_go: BTreeSet<String>,
}

/// What [`Guard::hold`] made of the pools that would have become empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Pools that are held from now on.
    pub held: BTreeSet<String>,
    /// Pools whose servers come from no instance of the last good catalogue: nothing can be kept for them but the
    /// file that is in force.
    pub untraceable: BTreeSet<String>,
    /// Pools whose servers all belong to other services now: to keep them would send requests to somebody else.
    pub taken: BTreeSet<String>,
}

impl Guard {
    /// The pools that are held, with what they keep.
    pub fn held(&self) -> impl Iterator<Item = (&str, &Held)> {
        self.held.iter().map(|(backend, held)| (backend.as_str(), held))
    }

    /// Whether nothing is held.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Lets a pool go: from now on it holds what Consul says.
    pub fn release(&mut self, backend: &str) -> bool {
        self.held.remove(backend).is_some()
    }

    /// Starts to hold `emptied` pools: keeps those instances of `last_good` that stood in them and that `catalogue` no
    /// longer has.
    pub fn hold(
        &mut self,
        emptied: &BTreeSet<String>,
        in_force: &[&Pools],
        last_good: &Catalogue,
        catalogue: &Catalogue,
    ) -> Verdict {
        let pools: Vec<(&String, BTreeSet<String>)> = emptied
            .iter()
            .map(|backend| (backend, servers_in(backend, in_force).cloned().collect()))
            .collect();
        let owners = owners(catalogue, pools.iter().flat_map(|(_, servers)| servers));
        let mut verdict = Verdict::default();
        for (backend, servers) in pools {
            let mut kept = instances_of(&servers, last_good, catalogue);
            if kept.is_empty() {
                verdict.untraceable.insert(backend.clone());
                continue;
            }
            kept.retain(|kept| !kept.owned_by_another(&owners));
            if kept.is_empty() {
                verdict.taken.insert(backend.clone());
                continue;
            }
            self.held.insert(backend.clone(), Held { kept, back: BTreeSet::new(), panic: None });
            verdict.held.insert(backend.clone());
        }
        verdict
    }

    /// Takes note of what came back to pools that would have been empty. `pools` is what the catalogue alone gives. Each
    /// server that is there replaces a kept one: itself first, then any. A kept one also goes when another service owns its address and port.
    /// Returns the pools that are no longer held.
    pub fn replace(&mut self, pools: &[&Pools], catalogue: &Catalogue) -> BTreeSet<String> {
        let emptied = self.held.values().filter(|held| held.panic.is_none());
        let kept = emptied.flat_map(|held| &held.kept);
        let owners = owners(catalogue, kept.map(|kept| &kept.server));
        for (backend, held) in self.held.iter_mut().filter(|(_, held)| held.panic.is_none()) {
            held.kept.retain(|kept| !kept.owned_by_another(&owners));
            held.replace(servers_in(backend, pools));
        }
        let ended = self.held.iter().filter(|(_, held)| held.kept.is_empty());
        let ended: BTreeSet<String> = ended.map(|(backend, _)| backend.clone()).collect();
        self.held.retain(|_, held| !held.kept.is_empty());
        ended
    }

    /// The catalogue with the kept instances in it, as if Consul still listed them.
    pub fn effective(&self, catalogue: &Catalogue) -> Catalogue {
        let mut effective = catalogue.clone();
        let kept = self.held.values().flat_map(|held| &held.kept);
        for (query, instance) in kept.flat_map(|kept| &kept.copies) {
            put_back(&mut effective, query, instance);
        }
        effective
    }
}

/// The pools that had servers in force and would have none, each output's pools in the same place of both lists. Pools named in
/// `released` may be empty.
pub fn emptied(in_force: &[&Pools], wanted: &[&Pools], released: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let nothing = Pools::new();
    let both =
        in_force.iter().enumerate().map(|(at, before)| (*before, *wanted.get(at).unwrap_or(&&nothing)));
    let candidates = both.flat_map(|(before, now)| emptied_in(before, now));
    candidates
        .filter(|backend| servers_in(backend, wanted).next().is_none() && !released(backend))
        .map(ToString::to_string)
        .collect()
}

/// Those that had servers in one output and have none there now.
fn emptied_in<'a>(before: &'a Pools, now: &'a Pools) -> impl Iterator<Item = &'a Arc<str>> {
    let has = |servers: Option<&Arc<BTreeSet<String>>>| servers.is_some_and(|servers| !servers.is_empty());
    let emptied = differing(before, now).filter(move |(_, before, now)| has(*before) && !has(*now));
    emptied.map(|(backend, ..)| backend)
}

/// The servers of a backend in one of two sets of pools, where it is there.
type Servers<'a> = Option<&'a Arc<BTreeSet<String>>>;

/// The backends whose servers are not the same in memory in both, in order.
pub fn differing<'a>(
    before: &'a Pools,
    now: &'a Pools,
) -> impl Iterator<Item = (&'a Arc<str>, Servers<'a>, Servers<'a>)> {
    let same = |(old, new): (&Arc<BTreeSet<String>>, &Arc<BTreeSet<String>>)| Arc::ptr_eq(old, new);
    before.unshared(now).filter(move |(_, old, new)| !old.zip(*new).is_some_and(same))
}

/// The servers of a backend, in all outputs.
fn servers_in<'a>(backend: &str, pools: &[&'a Pools]) -> impl Iterator<Item = &'a String> {
    pools.iter().filter_map(|pools| pools.get(backend)).flat_map(|servers| servers.iter())
}

/// What turned empty between two moments and is not a list of instances: keys and the list of services. Their last
/// good answers are put back where pools come from them.
pub fn keep_turned_empty(catalogue: &Catalogue, last_good: &Catalogue) -> Catalogue {
    let mut kept = catalogue.clone();
    for (query, answer) in last_good.iter() {
        if !matches!(answer, Answer::Instances(_))
            && !is_empty(answer)
            && catalogue.get(query).is_some_and(is_empty)
        {
            kept.insert(query.clone(), answer.clone());
        }
    }
    kept
}

fn is_empty(answer: &Answer) -> bool {
    match answer {
        Answer::Instances(list) => list.is_empty(),
        Answer::Services(list) => list.is_empty(),
        Answer::Value(value) => value.is_none(),
        Answer::Pairs(list) => list.is_empty(),
    }
}

/// The servers as `last_good` had them: from the answers that lost them since, or where none did (the template
/// selects by something else that changed) from all that have them.
fn instances_of(servers: &BTreeSet<String>, last_good: &Catalogue, now: &Catalogue) -> Vec<Kept> {
    let mut found: BTreeMap<String, Vec<(Query, Instance, bool)>> = BTreeMap::new();
    for (query, answer) in last_good.iter() {
        let Answer::Instances(instances) = answer else { continue };
        for instance in instances.iter().filter(|instance| servers.contains(&instance.server())) {
            let server = instance.server();
            let has = |list: &Arc<[Instance]>| list.iter().any(|other| other.server() == server);
            let lost = !now.instances(query).is_some_and(has);
            found.entry(server).or_default().push((query.clone(), instance.clone(), lost));
        }
    }
    found.into_iter().map(|(server, copies)| Kept { server, copies: lost_first(copies) }).collect()
}

fn lost_first(copies: Vec<(Query, Instance, bool)>) -> Vec<(Query, Instance)> {
    let any_lost = copies.iter().any(|(_, _, lost)| *lost);
    let chosen = copies.into_iter().filter(|(_, _, lost)| *lost || !any_lost);
    chosen.map(|(query, instance, _)| (query, instance)).collect()
}

impl Kept {
    /// Whether the address belongs to other services only.
    fn owned_by_another(&self, owners: &BTreeMap<String, BTreeSet<&str>>) -> bool {
        let Some(names) = owners.get(&self.server) else { return false };
        !self.copies.iter().any(|(_, instance)| names.contains(instance.name.as_str()))
    }
}

/// The names of the services that have a living instance at each of these `ADDRESS:PORT`.
fn owners<'a, 'c>(
    catalogue: &'c Catalogue,
    servers: impl Iterator<Item = &'a String>,
) -> BTreeMap<String, BTreeSet<&'c str>> {
    let mut owners: BTreeMap<String, BTreeSet<&'c str>> =
        servers.map(|server| (server.clone(), BTreeSet::new())).collect();
    // There are thousands of instances, and few that share a port with a kept one.
    let port = |server: &String| server.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let ports: BTreeSet<u16> = owners.keys().filter_map(port).collect();
    for (_, answer) in catalogue.iter() {
        let Answer::Instances(instances) = answer else { continue };
        for instance in instances.iter().filter(|instance| ports.contains(&instance.port)) {
            if let Some(names) = owners.get_mut(&instance.server()) {
                names.insert(&instance.name);
            }
        }
    }
    owners.retain(|_, names| !names.is_empty());
    owners
}

/// Puts a kept instance back into the answer it came from, in the place of what became of it, and its service into the
/// list of services.
fn put_back(catalogue: &mut Catalogue, query: &Query, instance: &Instance) {
    let mut instances: Vec<Instance> =
        catalogue.instances(query).map(|list| list.to_vec()).unwrap_or_default();
    let is_it = |other: &Instance| (&other.address, other.port) == (&instance.address, instance.port);
    instances.retain(|other| !is_it(other) || other.status <= instance.status);
    instances.push(instance.clone());
    instances.sort_by(|a, b| (&a.address, a.port, &a.node, &a.id).cmp(&(&b.address, b.port, &b.node, &b.id)));
    catalogue.insert(query.clone(), Answer::Instances(instances.into()));
    let Query::Service { datacenter, .. } = query else { return };
    list_service(catalogue, &Query::Services { datacenter: datacenter.clone() }, instance);
}

fn list_service(catalogue: &mut Catalogue, services: &Query, instance: &Instance) {
    let Some(Answer::Services(entries)) = catalogue.get(services) else { return };
    if entries.iter().any(|entry| entry.name == instance.name) {
        return;
    }
    let mut entries = entries.to_vec();
    entries.push(ServiceEntry { name: instance.name.clone(), tags: instance.tags.clone() });
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    catalogue.insert(services.clone(), Answer::Services(Arc::from(entries)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instance::tests::instance;

    fn web() -> Query {
        Query::Service { name: "web".into(), datacenter: None }
    }

    fn services() -> Query {
        Query::Services { datacenter: None }
    }

    fn catalogue(servers: &[&str]) -> Catalogue {
        let instances: Vec<Instance> = servers.iter().map(|server| instance("web", server)).collect();
        let names = if servers.is_empty() { vec![] } else { vec![entry("web")] };
        Catalogue::from_iter([
            (web(), Answer::Instances(instances.into())),
            (services(), Answer::Services(names.into())),
        ])
    }

    fn entry(name: &str) -> ServiceEntry {
        ServiceEntry { name: name.into(), tags: vec![] }
    }

    fn pool(servers: &[&str]) -> Pools {
        let servers: BTreeSet<String> = servers.iter().map(ToString::to_string).collect();
        Pools::from([("web".into(), servers.into())])
    }

    /// The servers of the effective catalogue, as a template that lists the service would print them.
    fn servers(catalogue: &Catalogue) -> Vec<String> {
        catalogue.instances(&web()).unwrap().iter().map(Instance::server).collect()
    }

    fn guard_over(in_force: &[&str]) -> Guard {
        let mut guard = Guard::default();
        let emptied = emptied(&[&pool(in_force)], &[&pool(&[])], |_| false);
        guard.hold(&emptied, &[&pool(in_force)], &catalogue(in_force), &catalogue(&[]));
        guard
    }

    #[test]
    fn a_pool_that_turned_empty_keeps_its_instances_and_its_service() {
        let guard = guard_over(&["10.0.0.1:80", "10.0.0.2:80"]);
        let effective = guard.effective(&catalogue(&[]));
        assert_eq!(servers(&effective), ["10.0.0.1:80", "10.0.0.2:80"]);
        assert_eq!(effective.get(&services()), Some(&Answer::Services([entry("web")].into())));
    }

    #[test]
    fn a_pool_that_vanished_is_an_emptied_pool_and_a_released_one_is_not() {
        let (in_force, none) = (pool(&["10.0.0.1:80"]), Pools::new());
        assert_eq!(emptied(&[&in_force], &[&none], |_| false), BTreeSet::from(["web".to_owned()]));
        assert_eq!(emptied(&[&in_force], &[&none], |backend| backend == "web"), BTreeSet::new());
        assert_eq!(emptied(&[&pool(&[])], &[&pool(&[])], |_| false), BTreeSet::new());
    }

    #[test]
    fn each_one_that_comes_back_replaces_one_that_was_kept() {
        let mut guard = guard_over(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
        // Back at its own address: the other two stay.
        let now = catalogue(&["10.0.0.2:80"]);
        assert_eq!(guard.replace(&[&pool(&["10.0.0.2:80"])], &now), BTreeSet::new());
        assert_eq!(servers(&guard.effective(&now)), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
        // The same news twice changes nothing.
        guard.replace(&[&pool(&["10.0.0.2:80"])], &now);
        assert_eq!(servers(&guard.effective(&now)).len(), 3);
        // At a new address: one more goes.
        let now = catalogue(&["10.0.0.2:80", "10.0.0.9:80"]);
        guard.replace(&[&pool(&["10.0.0.2:80", "10.0.0.9:80"])], &now);
        assert_eq!(servers(&guard.effective(&now)), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.9:80"]);
        // The last one: nothing is held any more.
        let now = catalogue(&["10.0.0.2:80", "10.0.0.8:80", "10.0.0.9:80"]);
        let ended = guard.replace(&[&pool(&["10.0.0.2:80", "10.0.0.8:80", "10.0.0.9:80"])], &now);
        assert_eq!(ended, BTreeSet::from(["web".to_owned()]));
        assert!(guard.is_idle());
        assert_eq!(guard.effective(&now), now);
    }

    #[test]
    fn one_that_left_again_is_not_kept_a_second_time() {
        let mut guard = guard_over(&["10.0.0.1:80", "10.0.0.2:80"]);
        guard.replace(&[&pool(&["10.0.0.1:80"])], &catalogue(&["10.0.0.1:80"]));
        guard.replace(&[&pool(&[])], &catalogue(&[]));
        assert_eq!(servers(&guard.effective(&catalogue(&[]))), ["10.0.0.2:80"]);
    }

    #[test]
    fn a_kept_one_goes_when_another_service_owns_its_address() {
        let mut guard = guard_over(&["10.0.0.1:80", "10.0.0.2:80"]);
        let other = Query::Service { name: "mail".into(), datacenter: None };
        let mut now = catalogue(&[]);
        now.insert(other, Answer::Instances([instance("mail", "10.0.0.1:80")].into()));
        guard.replace(&[&pool(&[])], &now);
        assert_eq!(servers(&guard.effective(&now)), ["10.0.0.2:80"]);
    }

    #[test]
    fn of_two_services_at_one_address_the_one_that_lost_it_gets_it_back() {
        let api = Query::Service { name: "api".into(), datacenter: None };
        let shared = Answer::Instances([instance("api", "10.0.0.1:80")].into());
        let (mut before, mut now) = (catalogue(&["10.0.0.1:80", "10.0.0.2:80"]), catalogue(&[]));
        before.insert(api.clone(), shared.clone());
        now.insert(api, shared);
        let mut guard = Guard::default();
        let in_force = pool(&["10.0.0.1:80", "10.0.0.2:80"]);
        let emptied = BTreeSet::from(["web".to_owned()]);
        assert_eq!(guard.hold(&emptied, &[&in_force], &before, &now).held, emptied);
        // The shared one is the other's alone now: only the rest is kept.
        assert_eq!(servers(&guard.effective(&now)), ["10.0.0.2:80"]);
        let verdict = Guard::default().hold(&emptied, &[&pool(&["10.0.0.1:80"])], &before, &now);
        assert_eq!(verdict, Verdict { taken: emptied, ..Verdict::default() });
    }

    #[test]
    fn servers_that_no_instance_explains_are_untraceable() {
        let mut guard = Guard::default();
        let emptied = BTreeSet::from(["web".to_owned()]);
        let last_good = catalogue(&["10.0.0.1:80"]);
        let verdict = guard.hold(&emptied, &[&pool(&["10.9.9.9:80"])], &last_good, &catalogue(&[]));
        assert_eq!(verdict, Verdict { untraceable: emptied, ..Verdict::default() });
    }

    #[test]
    fn keys_that_turned_empty_are_put_back_and_changed_ones_are_not() {
        let query = |path: &str| Query::Key { path: path.into(), datacenter: None };
        let value = |text: &str| Answer::Value(Some(text.into()));
        let before = Catalogue::from_iter([(query("a"), value("1")), (query("b"), value("1"))]);
        let now = Catalogue::from_iter([(query("a"), Answer::Value(None)), (query("b"), value("2"))]);
        let kept = keep_turned_empty(&now, &before);
        assert_eq!((kept.get(&query("a")), kept.get(&query("b"))), (Some(&value("1")), Some(&value("2"))));
    }

    /// Pools of some outputs: backends with so many servers.
    fn outputs() -> impl Strategy<Value = Vec<BTreeMap<String, usize>>> {
        prop::collection::vec(prop::collection::btree_map("[a-d]", 0usize..2, 0..4), 3)
    }

    proptest! {
        #[test]
        fn emptied_is_what_no_output_has_servers_for_any_more(before in outputs(), now in outputs()) {
            let pools = |outputs: &[BTreeMap<String, usize>]| -> Vec<Pools> {
                let set = |count: usize| Arc::new((0..count).map(|n| n.to_string()).collect::<BTreeSet<_>>());
                let pools = |output: &BTreeMap<String, usize>| {
                    output.iter().map(|(name, count)| (Arc::from(name.as_str()), set(*count))).collect()
                };
                outputs.iter().map(pools).collect()
            };
            let full = |outputs: &[BTreeMap<String, usize>]| -> BTreeSet<String> {
                let full = outputs.iter().flatten().filter(|(_, count)| **count > 0);
                full.map(|(name, _)| name.clone()).collect()
            };
            let (before_pools, now_pools) = (pools(&before), pools(&now));
            let (in_force, wanted): (Vec<&Pools>, Vec<&Pools>) =
                (before_pools.iter().collect(), now_pools.iter().collect());
            prop_assert_eq!(emptied(&in_force, &wanted, |_| false), &full(&before) - &full(&now));
        }
    }
}
