//! What comes in: sources, looks at HAProxy, what people ask for.

use std::sync::Arc;

use super::{PoolLoop, Reply, Seen};
use crate::journal::Record;
use crate::status::HaproxyState;

impl PoolLoop {
    pub(super) fn source(&mut self, index: usize, text: Result<Arc<str>, String>) {
        let Some(output) = self.outputs.get_mut(index) else { return };
        let first = output.good.is_none() && output.edit.is_none();
        if !output.read(text) {
            return;
        }
        let template = output.config.name();
        let problem = output.problem().map(str::to_owned);
        if !first {
            self.record(Record::SourceChanged { template: template.clone() });
        }
        if let Some(error) = problem {
            self.record(Record::SourceFailed { template, error });
        }
    }

    pub(super) fn see(&mut self, seen: Seen) {
        let (before, now) = (self.seen.pid, seen.pid);
        let known = self.seen.state.is_some();
        self.seen = seen;
        if known && before != now && self.in_flight.is_none() {
            self.record(Record::ProcessChanged { haproxy: self.name.clone(), pid: now });
        }
        self.read_at_start();
    }

    /// A process that started after the files were swapped has read them: no reload is due. (Both times are known to
    /// the second only; in doubt it is reloaded.)
    pub(super) fn read_at_start(&mut self) {
        if let (Some(swapped), Some(started)) = (self.reload.swapped, self.seen.started)
            && started > swapped + 2
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
            let _ = reply.send(Err("HAProxy does not run; it will read the files when it starts".into()));
            return;
        }
        self.replies.push(reply);
        self.reload.reason = Some("asked for".into());
        self.reload.after = None;
        self.refused = None;
    }

    pub(super) fn confirm_empty(&mut self, backend: String, reply: Reply) {
        let held = self.guard.held().any(|(held, _)| held == backend);
        if !held && !self.would_empty.contains(&backend) {
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
}
