//! What a turn found, noted for the status and the records.

use std::collections::BTreeSet;

use weir_pools::Instance;
use weir_pools::guard::{Held, Share};

use super::PoolLoop;
use super::output::{Note, Output};
use super::wanted::{Outcome, Wanted};
use crate::journal::Record;
use crate::status::LeftOut;

impl PoolLoop {
    /// Records what the turn found, and keeps it for the status.
    pub(super) fn note(&mut self, wanted: &Wanted) {
        self.reads.clone_from(&wanted.reads);
        for (index, outcome) in wanted.outcomes.iter().enumerate() {
            self.note_output(index, outcome);
        }
        self.note_pools(wanted);
        self.note_left_out(&wanted.left_out);
        self.note_mended();
    }

    /// What was not put in force is over where nobody offers it any more: no other change follows that would say so.
    fn note_mended(&mut self) {
        let is_refused = self.last_change.as_ref().is_some_and(|change| change.error.is_some());
        if is_refused
            && self.is_all_in_force()
            && let Some(change) = &mut self.last_change
        {
            change.error = None;
            "mended".clone_into(&mut change.result);
        }
    }

    /// Whether nothing is left out, kept back or still to come.
    fn is_all_in_force(&self) -> bool {
        let is_settled = |output: &Output| {
            output.note == Note::InForce && output.problem().is_none() && output.waits_for().is_none()
        };
        self.outputs.iter().all(is_settled)
            && self.banned.is_empty()
            && self.search.keeps_nothing()
            && self.reload.reason.is_none()
            && !self.is_behind()
    }

    pub(super) fn note_output(&mut self, index: usize, outcome: &Outcome) {
        let output = &mut self.outputs[index];
        let note = match outcome {
            Outcome::Text { text, .. } if output.is_in_force(text) => Note::InForce,
            Outcome::Text { .. } => Note::Held,
            Outcome::Waiting(queries) => Note::Waiting(queries.iter().map(ToString::to_string).collect()),
            Outcome::Failed(error) => Note::Failed(error.clone()),
            Outcome::NoSource => Note::Failed("no source can be used".into()),
        };
        let news = output.note != note;
        output.note = note.clone();
        if let Note::Failed(error) = note
            && news
            && !matches!(outcome, Outcome::NoSource)
        {
            let record = output.failed(error);
            self.record(record);
        }
    }

    pub(super) fn note_pools(&mut self, wanted: &Wanted) {
        let haproxy = self.name.clone();
        for (backend, why) in &wanted.released {
            let (haproxy, backend, why) = (haproxy.clone(), backend.clone(), why.clone());
            self.record(Record::Released { haproxy, backend, why });
        }
        let held = self.guard.held().filter(|(backend, _)| wanted.held.contains(*backend));
        let kept: Vec<Record> = held.map(|(backend, held)| kept(&haproxy, backend, held)).collect();
        for record in kept {
            self.record(record);
        }
    }

    pub(super) fn note_left_out(&mut self, now: &BTreeSet<LeftOut>) {
        let before = std::mem::replace(&mut self.left_out, now.clone());
        let same = |a: &LeftOut, b: &LeftOut| {
            (&a.service, &a.instance, &a.node) == (&b.service, &b.instance, &b.node)
        };
        for left in now.iter().filter(|left| !before.iter().any(|other| same(left, other))) {
            self.record(Record::LeftOut {
                haproxy: self.name.clone(),
                service: left.service.clone(),
                instance: left.instance.clone(),
                node: left.node.clone(),
                reason: format!("{}: {}", left.place, left.reason),
            });
        }
        for left in before.iter().filter(|left| !now.iter().any(|other| same(left, other))) {
            self.record(Record::LeftOutEnded {
                haproxy: self.name.clone(),
                service: left.service.clone(),
                instance: left.instance.clone(),
                node: left.node.clone(),
            });
        }
    }
}

fn kept(haproxy: &str, backend: &str, held: &Held) -> Record {
    let (haproxy, backend) = (haproxy.to_owned(), backend.to_owned());
    let servers = held.kept().map(Instance::server).collect();
    match held.panic() {
        None => Record::Kept { haproxy, backend, servers },
        Some(Share { healthy, known }) => Record::Panic { haproxy, backend, healthy, known, servers },
    }
}
