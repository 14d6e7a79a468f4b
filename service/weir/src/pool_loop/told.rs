//! What HAProxy said, and what follows from it.

use std::time::{Duration, Instant};

use weir_haproxy::Level;
use weir_pools::plan::Step;

use super::observation::Observation;
use super::tell::{Answer, Heard, Tell};
use super::{Effect, InFlight, PoolLoop, report};
use crate::journal::{ChangeResult, Record};

impl PoolLoop {
    pub(super) fn told(
        &mut self,
        now: Instant,
        flight: InFlight,
        result: Result<Heard, String>,
        took: Duration,
    ) {
        let Some(tell) = flight.tell else { return };
        match result {
            Ok(Heard::Answer(answer)) => self.answered(now, &tell, *answer, flight.reason, took),
            Ok(Heard::AnotherWorker(pid)) => self.missed(now, pid),
            Err(problem) => self.unanswered(now, problem),
        }
    }

    /// Somebody reloaded since the look that the plan was made from. The next step is another look, at once.
    fn missed(&mut self, now: Instant, pid: u32) {
        tracing::debug!("process {pid} answers, another than the one that was to be told: nothing was sent");
        if let Some(problem) = self.live.missed() {
            self.unanswered(now, problem);
        }
    }

    fn answered(&mut self, now: Instant, tell: &Tell, answer: Answer, reason: String, took: Duration) {
        self.note_replies(tell, &answer, reason, took);
        self.note_newcomer(&answer.observation);
        let before = self.live.begun().clone();
        let restore = self.live.answered(now, tell, answer, self.reload.swapped.is_some());
        if *self.live.begun() != before {
            self.effects.push(Effect::RememberBegun(self.live.begun().clone()));
        }
        if let Some(restore) = restore {
            self.send(restore, "HAProxy was reloaded or started".to_owned(), now);
        }
    }

    fn note_replies(&mut self, tell: &Tell, answer: &Answer, reason: String, took: Duration) {
        let is_accepted = |(step, reply): &(&Step, &String)| step.expects.accepts(reply);
        let answered = tell.steps.iter().zip(&answer.replies);
        let answered = answered.filter_map(|(step, reply)| Some((step, reply.as_ref()?)));
        let (done, refused): (Vec<_>, Vec<_>) = answered.partition(is_accepted);
        for (step, reply) in refused.into_iter().filter(|_| tell.begun.is_some()) {
            let (haproxy, command, reply) =
                (self.name.clone(), step.command.clone(), reply.trim().to_owned());
            self.record(Record::CommandRefused { haproxy, command, reply });
        }
        if done.is_empty() {
            return;
        }
        let (result, took_ms) = (ChangeResult::Commands, report::millis(took));
        self.last_change = Some(report::last_change(&reason, took, report::word(result), None));
        let commands = done.into_iter().map(|(step, _)| step.command.clone()).collect();
        let (haproxy, files) = (self.name.clone(), Vec::new());
        self.record(Record::Changed { haproxy, reason, files, result, commands, took_ms });
    }

    /// What a person should know of a worker that is new to us.
    fn note_newcomer(&mut self, observation: &Observation) {
        let Some(newcomer) = &observation.newcomer else { return };
        if newcomer.level < Level::Admin {
            let error =
                "its `stats_socket` does not allow changes; write `level admin` on its `stats socket` line";
            self.record(Record::NotTold { haproxy: self.name.clone(), error: error.to_owned() });
        }
        if let Some((started_with, configured)) = newcomer.other_files() {
            self.record(Record::OtherFiles { haproxy: self.name.clone(), started_with, configured });
        }
    }

    fn unanswered(&mut self, now: Instant, problem: String) {
        if self.live.problem.as_ref() != Some(&problem) {
            self.record(Record::NotTold { haproxy: self.name.clone(), error: problem.clone() });
        }
        self.live.unanswered(now, problem);
    }

    /// A reload of ours brought a new worker, which was told what had been set by hand before it.
    pub(super) fn see_new_worker(
        &mut self,
        now: Instant,
        pid: Option<u32>,
        left: Option<Box<Observation>>,
        observation: Option<Box<Observation>>,
    ) {
        let told = self.live.by_hand().to_vec();
        if let Some(left) = left {
            self.see_left(now, *left);
        }
        // Somebody else's, from a moment after, was not told.
        let Some(observation) = observation.filter(|seen| pid.is_none_or(|pid| pid == seen.process.pid))
        else {
            return self.live.doubt();
        };
        self.note_newcomer(&observation);
        self.seen.started = Some(observation.process.started);
        self.live.started(now, *observation);
        let since = self.live.set_since(&told);
        self.effects.push(Effect::RememberBegun(self.live.begun().clone()));
        if let Some(tell) = since {
            self.send(tell, "a person set it while HAProxy was reloaded".to_owned(), now);
        }
    }
}
