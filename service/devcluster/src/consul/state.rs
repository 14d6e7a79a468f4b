//! One Consul's whole state: every write gets the next index.
//!
//! Pure. Inputs: writes, and the passing of time. Outputs: what the HTTP handlers show. What a write in one
//! part means for another (a session's end for its locks) is settled here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::catalog::{Catalog, CheckDef, MissingService, NodeDef, ServiceDef};
use super::kv::{Kv, Put};
use super::session::{Session, Sessions};

/// What the agent does itself about a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Critical when nobody reports for so long.
    Ttl(Duration),
    /// GET this URL.
    Http(Timing, String),
    /// Connect to this address.
    Tcp(Timing, String),
}

/// How often a probe runs, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

#[derive(Debug)]
struct AgentCheck {
    probe: Probe,
    /// Which registration it is from; a probe of an earlier one ends itself.
    run: u64,
    expires: Option<Instant>,
}

/// The catalogue, the keys, the sessions, and the agent's checks.
pub(crate) struct State {
    agent: NodeDef,
    pub(crate) catalog: Catalog,
    pub(crate) kv: Kv,
    pub(crate) sessions: Sessions,
    agent_checks: BTreeMap<String, AgentCheck>,
    index: u64,
    runs: u64,
}

impl State {
    /// A fresh Consul whose only node is `agent`, with Consul's own service on it.
    pub(crate) fn new(agent: &NodeDef) -> Self {
        let mut state = Self {
            agent: agent.clone(),
            catalog: Catalog::default(),
            kv: Kv::default(),
            sessions: Sessions::default(),
            agent_checks: BTreeMap::new(),
            // Raft's own first entries; a real dev agent comes up at about this index.
            index: 10,
            runs: 0,
        };
        let consul = ServiceDef { id: "consul".into(), name: "consul".into(), port: 8300, ..own_service() };
        let serf = CheckDef {
            id: "serfHealth".into(),
            name: "Serf Health Status".into(),
            status: "passing".into(),
            output: "Agent alive and reachable".into(),
            ..CheckDef::default()
        };
        let _ = state.register(agent, Some(consul), vec![serf]);
        state
    }

    /// Empty again, as after a restart without its data directory.
    pub(crate) fn wipe(&mut self) {
        let runs = self.runs;
        *self = Self::new(&self.agent.clone());
        self.runs = runs;
    }

    /// The agent's own node.
    pub(crate) fn node(&self) -> &str {
        &self.agent.name
    }

    fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    /// `/v1/catalog/register`.
    pub(crate) fn register(
        &mut self,
        node: &NodeDef,
        service: Option<ServiceDef>,
        checks: Vec<CheckDef>,
    ) -> Result<(), MissingService> {
        let (index, name) = (self.next_index(), node.name.clone());
        self.catalog.ensure_node(node, index);
        if let Some(service) = service {
            self.catalog.ensure_service(&name, service, index);
        }
        for check in checks {
            self.catalog.ensure_check(&name, check, index)?;
        }
        Ok(())
    }

    /// `/v1/catalog/deregister`: the service, else the check, else the whole node.
    pub(crate) fn deregister(&mut self, node: &str, service: &str, check: &str, now: Instant) {
        let index = self.next_index();
        if !service.is_empty() {
            self.catalog.remove_service(node, service, index);
        } else if !check.is_empty() {
            self.catalog.remove_check(node, check, index);
        } else {
            self.catalog.remove_node(node, index);
        }
        self.end_orphaned_sessions(now);
    }

    /// `/v1/agent/service/register`: a check that was there before keeps its status.
    /// Returns the probes that are now to be run, with the number of their run.
    pub(crate) fn register_local(
        &mut self,
        service: ServiceDef,
        checks: Vec<(CheckDef, Probe)>,
        now: Instant,
    ) -> Vec<(String, Probe, u64)> {
        let (node, id) = (self.agent.name.clone(), service.id.clone());
        self.drop_local_checks(&id, &checks);
        let mut started = Vec::new();
        let mut defs = Vec::new();
        for (mut check, probe) in checks {
            if let Some(old) = self.catalog.check(&node, &check.id) {
                (check.status, check.output) = (old.status.clone(), old.output.clone());
            }
            self.runs += 1;
            let expires = if let Probe::Ttl(ttl) = &probe { Some(now + *ttl) } else { None };
            started.push((check.id.clone(), probe.clone(), self.runs));
            self.agent_checks.insert(check.id.clone(), AgentCheck { probe, run: self.runs, expires });
            defs.push(check);
        }
        // The service is registered in the same breath, so no check can miss it.
        let _ = self.register(&self.agent.clone(), Some(service), defs);
        started
    }

    /// Drops the checks that an earlier registration of this service had and the new one has not.
    fn drop_local_checks(&mut self, service: &str, kept: &[(CheckDef, Probe)]) {
        let node = self.agent.name.clone();
        let Some(entry) = self.catalog.nodes.get(&node) else { return };
        let of_service = entry.checks.values().filter(|check| check.value.service_id == service);
        let gone: Vec<String> = of_service
            .map(|check| check.value.id.clone())
            .filter(|id| !id.starts_with('_') && kept.iter().all(|(check, _)| check.id != *id))
            .collect();
        for id in gone {
            self.remove_local_check(&id);
        }
    }

    /// `/v1/agent/service/deregister/:id`; false when there is no such service.
    pub(crate) fn deregister_local(&mut self, id: &str) -> bool {
        let (index, node) = (self.next_index(), self.agent.name.clone());
        let removed = self.catalog.remove_service(&node, id, index);
        let checks = self.catalog.nodes.get(&node).map(|node| &node.checks);
        self.agent_checks.retain(|check, _| checks.is_some_and(|checks| checks.contains_key(check)));
        removed
    }

    /// Adds or changes a check on the agent's own node.
    pub(crate) fn set_local_check(&mut self, check: CheckDef) -> Result<(), MissingService> {
        let (index, node) = (self.next_index(), self.agent.name.clone());
        self.catalog.ensure_check(&node, check, index).map(|_| ())
    }

    pub(crate) fn remove_local_check(&mut self, id: &str) {
        let (index, node) = (self.next_index(), self.agent.name.clone());
        self.agent_checks.remove(id);
        self.catalog.remove_check(&node, id, index);
    }

    /// `/v1/agent/check/pass|warn|fail/:id`; false when there is no such TTL check.
    pub(crate) fn report_ttl(&mut self, id: &str, status: &str, note: &str, now: Instant) -> bool {
        let Some(check) = self.agent_checks.get_mut(id) else { return false };
        let Probe::Ttl(ttl) = check.probe else { return false };
        check.expires = Some(now + ttl);
        self.set_status(id, status, note);
        true
    }

    /// What a probe found; false when its registration is gone and it should end.
    pub(crate) fn report_probe(&mut self, id: &str, run: u64, status: &str, output: &str) -> (bool, bool) {
        if self.agent_checks.get(id).is_none_or(|check| check.run != run) {
            return (false, false);
        }
        (self.set_status(id, status, output), true)
    }

    /// Changes a status. A changed output alone is not written: agents defer that by minutes.
    fn set_status(&mut self, id: &str, status: &str, output: &str) -> bool {
        let node = self.agent.name.clone();
        let Some(check) = self.catalog.check(&node, id) else { return false };
        if check.status == status {
            return false;
        }
        let check = CheckDef { status: status.to_owned(), output: output.to_owned(), ..check.clone() };
        self.set_local_check(check).is_ok()
    }

    /// Creates a session unless its node is unknown or one of its checks is critical or missing.
    pub(crate) fn create_session(&mut self, session: Session) -> Result<(), String> {
        if !self.catalog.nodes.contains_key(&session.node) {
            return Err("Missing node registration".to_owned());
        }
        for check in &session.checks {
            match self.catalog.check(&session.node, check) {
                None => return Err(format!("Missing check '{check}' registration")),
                Some(check) if check.status == "critical" => {
                    return Err(format!("Check '{}' is in critical state", check.id));
                }
                Some(_) => {}
            }
        }
        let index = self.next_index();
        self.sessions.create(session, index);
        Ok(())
    }

    pub(crate) fn destroy_session(&mut self, id: &str, now: Instant) {
        let index = self.next_index();
        if let Some(session) = self.sessions.remove(id, index) {
            self.kv.invalidate(id, session.delete, session.lock_delay, (index, now));
        }
    }

    fn end_orphaned_sessions(&mut self, now: Instant) {
        let catalog = &self.catalog;
        let orphaned = |session: &&Session| {
            let lost = |check: &String| {
                catalog.check(&session.node, check).is_none_or(|check| check.status == "critical")
            };
            session.checks.iter().any(lost) || !catalog.nodes.contains_key(&session.node)
        };
        let ended: Vec<String> =
            self.sessions.by_id.values().filter(orphaned).map(|session| session.id.clone()).collect();
        for id in ended {
            self.destroy_session(&id, now);
        }
    }

    /// A PUT on a key; the error is Consul's text for a session that does not exist.
    pub(crate) fn put_key(
        &mut self,
        key: &str,
        value: Vec<u8>,
        flags: u64,
        how: &Put,
        now: Instant,
    ) -> Result<bool, String> {
        if matches!(how, Put::Acquire(_)) && self.kv.is_delayed(key, now) {
            return Ok(false);
        }
        if let Put::Acquire(session) = how
            && !self.sessions.by_id.contains_key(session)
        {
            return Err(format!("invalid session {session:?}"));
        }
        let index = self.next_index();
        Ok(self.kv.put(key, value, flags, how, (index, now)))
    }

    pub(crate) fn delete_key(&mut self, key: &str, cas: Option<u64>) -> bool {
        let index = self.next_index();
        self.kv.delete(key, cas, index)
    }

    pub(crate) fn delete_tree(&mut self, prefix: &str) {
        let index = self.next_index();
        self.kv.delete_tree(prefix, index);
    }

    /// The next moment at which [`State::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let checks = self.agent_checks.values().filter_map(|check| check.expires);
        checks.chain(self.sessions.next_expiry()).min()
    }

    /// Ends the sessions and fails the TTL checks whose time is over; true when there were any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let sessions = self.sessions.expired(now);
        for id in &sessions {
            self.destroy_session(id, now);
        }
        let overdue = |check: &AgentCheck| check.expires.is_some_and(|at| at <= now);
        let checks: Vec<String> =
            self.agent_checks.iter().filter(|(_, check)| overdue(check)).map(|(id, _)| id.clone()).collect();
        for id in &checks {
            self.set_status(id, "critical", "TTL expired");
            if let Some(check) = self.agent_checks.get_mut(id) {
                check.expires = None;
            }
        }
        !sessions.is_empty() || !checks.is_empty()
    }

    /// The service is there, and every check that counts for it passes.
    pub(crate) fn is_passing(&self, service: &str) -> bool {
        let Some(node) = self.catalog.nodes.get(&self.agent.name) else { return false };
        node.services.contains_key(service)
            && node.checks_of(service).all(|check| check.value.status == "passing")
    }

    pub(crate) fn has_local_service(&self, id: &str) -> bool {
        self.catalog.nodes.get(&self.agent.name).is_some_and(|node| node.services.contains_key(id))
    }
}

fn own_service() -> ServiceDef {
    ServiceDef { weights: (1, 1), ..ServiceDef::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> NodeDef {
        NodeDef { name: "n1".into(), address: "127.0.0.1".into(), ..NodeDef::default() }
    }

    fn web(id: &str, port: i64) -> ServiceDef {
        ServiceDef { id: id.into(), name: "web".into(), port, ..own_service() }
    }

    #[test]
    fn indexes_move_for_what_changed_and_for_nothing_else() {
        let mut state = State::new(&agent());
        let now = Instant::now();
        state.register_local(web("a", 1), vec![], now);
        let before = (state.catalog.service_index("web"), state.catalog.checks_index);
        state.register_local(
            ServiceDef { id: "o".into(), name: "other".into(), ..own_service() },
            vec![],
            now,
        );
        assert_eq!(state.catalog.service_index("web"), before.0, "another service");
        state.register_local(web("a", 1), vec![], now);
        assert_eq!(state.catalog.service_index("web"), before.0, "the same again");
        state.register_local(web("a", 2), vec![], now);
        assert!(state.catalog.service_index("web") > before.0);
        assert!(state.catalog.services_index > before.0);
        assert_eq!(state.catalog.checks_index, before.1, "a port is no check");
    }

    #[test]
    fn the_last_instance_takes_the_services_index_with_it() {
        let mut state = State::new(&agent());
        state.register_local(web("a", 1), vec![], Instant::now());
        let seen = state.catalog.service_index("web");
        assert!(state.deregister_local("a"));
        let gone = state.catalog.service_index("web");
        assert!(gone > seen);
        assert_eq!(state.catalog.service_index("never there"), gone);
        assert!(!state.deregister_local("a"));
    }

    #[test]
    fn a_ttl_check_expires_once_and_recovers() {
        let mut state = State::new(&agent());
        let (now, ttl) = (Instant::now(), Duration::from_secs(10));
        let check = CheckDef {
            id: "c".into(),
            service_id: "a".into(),
            status: "critical".into(),
            ..CheckDef::default()
        };
        state.register_local(web("a", 1), vec![(check, Probe::Ttl(ttl))], now);
        assert!(state.report_ttl("c", "passing", "", now));
        assert!(state.is_passing("a"));
        assert!(!state.expire(now + ttl / 2));
        assert!(state.expire(now + ttl));
        assert!(!state.is_passing("a"));
        assert!(!state.expire(now + ttl * 2), "only once");
        assert!(state.report_ttl("c", "passing", "", now + ttl * 2));
        assert!(state.is_passing("a"));
    }

    #[test]
    fn a_session_ends_at_twice_its_ttl_with_lock_delay() {
        let mut state = State::new(&agent());
        let now = Instant::now();
        let mut session = Session::new("s".into(), "n1".into(), "10s".into(), now);
        session.lock_delay = Duration::from_secs(1);
        state.create_session(session).unwrap();
        assert_eq!(state.put_key("k", vec![], 0, &Put::Acquire("s".into()), now), Ok(true));
        assert!(!state.expire(now + Duration::from_secs(19)));
        assert!(state.expire(now + Duration::from_secs(20)));
        assert_eq!(state.kv.pairs["k"].session, None);
        let later = now + Duration::from_secs(20);
        assert_eq!(state.put_key("k", vec![], 0, &Put::Acquire("s".into()), later), Ok(false), "lock-delay");
        let later = later + Duration::from_secs(1);
        let gone = state.put_key("k", vec![], 0, &Put::Acquire("s".into()), later);
        assert_eq!(gone, Err("invalid session \"s\"".to_owned()));
    }

    #[test]
    fn a_wiped_state_starts_low_and_keeps_no_probe_alive() {
        let mut state = State::new(&agent());
        let now = Instant::now();
        let fresh = state.index;
        let check = CheckDef { id: "c".into(), service_id: "a".into(), ..CheckDef::default() };
        let probe = Probe::Ttl(Duration::from_secs(1));
        let run = state.register_local(web("a", 1), vec![(check, probe)], now)[0].2;
        state.wipe();
        assert_eq!(state.index, fresh);
        assert_eq!(state.report_probe("c", run, "passing", ""), (false, false));
    }
}
