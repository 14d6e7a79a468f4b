//! Consul's sessions.
//!
//! Pure. Inputs: create, renew, destroy, and the passing of time. Outputs: the sessions that ended, whose
//! locks the caller takes away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Consul ends a session at twice its TTL after the last renewal (`SessionTTLMultiplier`), never earlier than the TTL.
const TTL_MULTIPLIER: u32 = 2;

/// One session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) checks: Vec<String>,
    pub(crate) lock_delay: Duration,
    /// Keys are deleted with the session, not only released.
    pub(crate) delete: bool,
    pub(crate) ttl: String,
    pub(crate) create_index: u64,
    expires: Option<Instant>,
}

impl Session {
    pub(crate) fn new(id: String, node: String, ttl: String, now: Instant) -> Self {
        let mut session = Self {
            id,
            name: String::new(),
            node,
            checks: vec!["serfHealth".to_owned()],
            lock_delay: Duration::from_secs(15),
            delete: false,
            ttl,
            create_index: 0,
            expires: None,
        };
        session.renew(now);
        session
    }

    fn renew(&mut self, now: Instant) {
        self.expires = crate::duration::parse(&self.ttl).map(|ttl| now + ttl * TTL_MULTIPLIER);
    }
}

/// All sessions by ID.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    pub(crate) by_id: BTreeMap<String, Session>,
    pub(crate) index: u64,
}

impl Sessions {
    pub(crate) fn create(&mut self, mut session: Session, index: u64) {
        session.create_index = index;
        self.index = index;
        self.by_id.insert(session.id.clone(), session);
    }

    pub(crate) fn renew(&mut self, id: &str, now: Instant) -> Option<&Session> {
        let session = self.by_id.get_mut(id)?;
        session.renew(now);
        Some(session)
    }

    pub(crate) fn remove(&mut self, id: &str, index: u64) -> Option<Session> {
        let session = self.by_id.remove(id)?;
        self.index = index;
        Some(session)
    }

    /// Those whose time is over.
    pub(crate) fn expired(&self, now: Instant) -> Vec<String> {
        let over = |session: &&Session| session.expires.is_some_and(|at| at <= now);
        self.by_id.values().filter(over).map(|session| session.id.clone()).collect()
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.by_id.values().filter_map(|session| session.expires).min()
    }
}
