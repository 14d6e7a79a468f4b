//! The order in which steps are sent: first those that depend on nothing, then those whose conditions held.
//!
//! In: the steps of a plan, and the process that it is for. Out: the reply to each. All go over one connection, to that process or to
//! none.

use weir_haproxy::{Line, Look, Reached, SocketError};
use weir_pools::plan::Step;
use weir_scaling::Process;

/// Steps on their way.
pub(super) struct Script<'a> {
    steps: &'a [Step],
    first: Vec<usize>,
    conditional: Vec<usize>,
}

impl<'a> Script<'a> {
    pub(super) fn of(steps: &'a [Step]) -> Self {
        let (conditional, first) = (0..steps.len()).partition(|index| steps[*index].is_conditional);
        Self { steps, first, conditional }
    }

    pub(super) async fn run(
        &self,
        line: &mut Line,
        worker: Process,
        look: &Look,
    ) -> Result<Reached, SocketError> {
        let first = self.commands(&self.first);
        if self.conditional.is_empty() {
            return line.tell(worker, &first, look).await;
        }
        let then = |replies: &[String]| self.commands(&self.possible(replies));
        line.tell_on(worker, &first, &then, look).await
    }

    /// The replies in the order of the steps.
    pub(super) fn replies(&self, replies: Vec<String>) -> Vec<Option<String>> {
        let sent: Vec<usize> = self.first.iter().copied().chain(self.possible(&replies)).collect();
        let mut all = vec![None; self.steps.len()];
        for (index, reply) in sent.into_iter().zip(replies) {
            all[index] = Some(reply);
        }
        all
    }

    fn commands(&self, steps: &[usize]) -> Vec<String> {
        steps.iter().map(|index| self.steps[*index].command.clone()).collect()
    }

    /// The conditional steps that may follow on these replies to the first ones.
    fn possible(&self, replies: &[String]) -> Vec<usize> {
        let answered = self.first.iter().map(|index| &self.steps[*index]).zip(replies);
        let failed: Vec<&Step> =
            answered.filter(|(step, reply)| !step.expects.accepts(reply)).map(|(step, _)| step).collect();
        let may = |index: &usize| !failed.iter().any(|failed| self.steps[*index].depends_on(failed));
        self.conditional.iter().copied().filter(may).collect()
    }
}

#[cfg(test)]
mod tests {
    use weir_pools::plan::Reply;

    use super::*;

    fn step(command: &str, expects: Reply, is_conditional: bool) -> Step {
        Step { command: command.to_owned(), why: String::new(), expects, is_conditional }
    }

    #[test]
    fn a_step_whose_condition_did_not_hold_is_not_sent_and_has_no_reply() {
        let steps = [
            step("add server a/1 x", Reply::Registered, false),
            step("set server a/0 state drain", Reply::Empty, true),
            step("add server b/1 x", Reply::Registered, false),
            step("set server b/0 state drain", Reply::Empty, true),
            step("del server b/9", Reply::Deleted, false),
        ];
        let script = Script::of(&steps);
        let said = |replies: &[&str]| replies.iter().map(|reply| (*reply).to_owned()).collect::<Vec<_>>();
        let first = said(&["no", "New server registered.", "not now"]);
        assert_eq!(script.possible(&first), [3]);
        let replies = script.replies([first, said(&[""])].concat());
        let expected = [Some("no"), None, Some("New server registered."), Some(""), Some("not now")];
        assert_eq!(replies, expected.map(|reply| reply.map(str::to_owned)));
    }
}
