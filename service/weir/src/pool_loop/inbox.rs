//! What comes in: sources, looks at HAProxy, what people ask for.

use std::sync::Arc;

use weir_pools::intents::Intents;
use weir_pools::plan::Wishes;

use super::{PoolLoop, Reply, Seen};
use crate::journal::Record;
use crate::status::HaproxyState;

impl PoolLoop {
    pub(super) fn source(&mut self, index: usize, text: Result<Arc<str>, String>) {
        let Some(output) = self.outputs.get_mut(index) else { return };
        let first = output.good.is_none() && output.edit.is_none();
        let is_there = text.is_ok();
        if !output.read(text) {
            return;
        }
        self.search.abandon();
        let template = output.config.name();
        let failed = output.problem().map(|problem| output.failed(problem.to_owned()));
        if is_there && !first {
            self.record(Record::SourceChanged { template });
        }
        if let Some(failed) = failed {
            self.record(failed);
        }
    }

    pub(super) fn see(&mut self, seen: Seen) {
        let (before, now) = (self.seen.pid, seen.pid);
        let known = self.seen.state.is_some();
        let unseen_before = std::mem::replace(&mut self.seen, seen).unseen;
        self.see_unseen(unseen_before.as_ref());
        self.see_worker();
        if known && before != now && self.in_flight.is_none() {
            self.record(Record::ProcessChanged { haproxy: self.name.clone(), pid: now });
        }
        self.read_at_start();
    }

    /// What cannot be seen is said once, where it lasts: for a moment nobody listens during a reload.
    fn see_unseen(&mut self, before: Option<&String>) {
        let Some(why) = self.seen.unseen.clone() else {
            self.unseen_told = None;
            return;
        };
        if before == Some(&why) && self.unseen_told.as_ref() != Some(&why) {
            self.unseen_told = Some(why.clone());
            self.record(Record::Unseen { haproxy: self.name.clone(), why });
        }
    }

    /// Another process, or servers that are not as they were: somebody else did something.
    fn see_worker(&mut self) {
        if !self.live.is_on || self.in_flight.is_some() {
            return;
        }
        if self.seen.process() == self.live.process() {
            self.live.compare(self.seen.backends());
        } else {
            self.live.doubt();
        }
    }

    /// A process that started after the files were swapped has read them: no reload is due. (Both times are known to
    /// the second only, and before HAProxy 2.5 the start is computed and may be off by one; in doubt it is reloaded.)
    pub(super) fn read_at_start(&mut self) {
        let doubt = if self.seen.tells_start { 0 } else { 2 };
        if let (Some(swapped), Some(started)) = (self.reload.swapped, self.seen.started)
            && started > swapped + doubt
            && self.in_flight.is_none()
        {
            self.reloaded();
        }
    }

    pub(super) fn ask_reload(&mut self, reply: Reply) {
        if self.haproxy.is_none() {
            let _ = reply.send(Err("no HAProxy loads these files".into()));
            return;
        }
        if self.seen.state == Some(HaproxyState::NotRunning) {
            let why = self.seen.unseen.as_ref().map_or(String::new(), |why| format!(" ({why})"));
            let answer = format!("HAProxy does not answer{why}; it reads the files when it starts");
            let _ = reply.send(Err(answer));
            return;
        }
        self.replies.push(reply);
        self.reload.reason = Some("asked for".into());
        self.reload.after = None;
        self.refused = None;
    }

    /// These intents are in force, and no others.
    pub(super) fn intend(&mut self, intents: Arc<Intents>) {
        self.live.wish(Wishes::of(&intents));
        self.intents = intents;
    }

    /// Brings a server back that a person took out by hand on the runtime API.
    pub(super) fn ask_ready(&mut self, backend: &str, server: &str, reply: Reply) {
        let found = self.live.server(backend, server).map(|server| server.admin);
        let is_by_hand =
            self.live.by_hand().iter().any(|by_hand| by_hand.backend == backend && by_hand.server == server);
        // Who asked may be gone.
        let _ = reply.send(match found {
            _ if !self.live.is_on => Err(format!(
                "this weir does not change a running HAProxy: set `stats_socket`; or on its stats socket: set server \
                 {backend}/{server} state ready"
            )),
            None => Err(format!("HAProxy shows no server {backend}/{server}")),
            Some(_) if is_by_hand => {
                self.live.call_back(backend, server);
                Ok("being set ready".to_owned())
            }
            Some(_) => Ok("in use".to_owned()),
        });
    }

    pub(super) fn confirm_empty(&mut self, backend: String, reply: Reply) {
        let held = self.guard.held().find(|(held, _)| *held == backend).map(|(_, held)| held.panic());
        if let Some(Some(share)) = held
            && share.healthy > 0
        {
            self.let_critical_go(backend, reply);
            return;
        }
        if held.is_none() && !self.would_empty.contains(&backend) {
            let known = self.outputs.iter().any(|output| output.pools.contains_key(backend.as_str()));
            let what = if known { "follows Consul; nothing is kept in it" } else { "is not one of weir's" };
            let _ = reply.send(Err(format!("backend {backend} {what}, so there is nothing to confirm")));
            return;
        }
        if self.guard.release(&backend) {
            let why = "a person confirmed that it may be empty".into();
            self.record(Record::Released { haproxy: self.name.clone(), backend: backend.clone(), why });
        }
        let _ = reply.send(Ok(format!("backend {backend} may become empty now")));
        self.would_empty.remove(&backend);
        self.confirmed.insert(backend);
        for output in &mut self.outputs {
            output.hurry(self.looked);
        }
    }

    /// Some of the pool are healthy, so that it does not become empty.
    fn let_critical_go(&mut self, backend: String, reply: Reply) {
        self.guard.let_go(&backend);
        self.remember();
        let _ = reply.send(Ok(format!("the critical instances of backend {backend} leave it now")));
        let why = "a person confirmed that its critical instances may go".into();
        self.record(Record::Released { haproxy: self.name.clone(), backend, why });
    }
}
