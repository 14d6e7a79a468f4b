//! The parts of the daemon: tasks that run until it ends. One that ends before, or panics, ends the whole.
//!
//! A daemon that goes on without one of its parts looks healthy and is not; the service manager starts a whole one.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// All parts. They end when `cancel` is cancelled.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) cancel: CancellationToken,
    tracker: TaskTracker,
    failed: mpsc::Sender<String>,
}

/// Says which part failed first.
pub(crate) type Failed = mpsc::Receiver<String>;

impl Parts {
    pub(crate) fn new() -> (Self, Failed) {
        let (failed, failures) = mpsc::channel(1);
        (Self { cancel: CancellationToken::new(), tracker: TaskTracker::new(), failed }, failures)
    }

    /// Takes every panic of the process as a failure, in tasks of tasks too; it is still printed.
    pub(crate) fn hear_panics(&self) {
        let failed = self.failed.clone();
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            print(panic);
            let _ = failed.try_send(panic.to_string().replace('\n', " "));
        }));
    }

    /// Starts a part.
    pub(crate) fn spawn(&self, name: impl Into<String>, work: impl Future<Output = ()> + Send + 'static) {
        self.watch(name, tokio::spawn(work));
    }

    /// Starts a part that goes on for ever unless it is cancelled.
    pub(crate) fn spawn_cancelled(&self, name: &str, work: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.spawn(name, async move {
            // Cancelled or done: there is nothing to bring back.
            let _ = cancel.run_until_cancelled_owned(work).await;
        });
    }

    /// Takes a task that was started elsewhere as a part.
    pub(crate) fn watch(&self, name: impl Into<String>, task: JoinHandle<()>) {
        let (name, cancel, failed) = (name.into(), self.cancel.clone(), self.failed.clone());
        self.tracker.spawn(async move {
            let ended = task.await;
            let expected = cancel.is_cancelled() && ended.is_ok();
            if !expected {
                // One failure is enough to end everything.
                let _ = failed.try_send(failure(&name, &ended));
            }
        });
    }

    /// Ends all parts, and waits for them and for `rest` as long as `grace`.
    pub(crate) async fn end(&self, rest: impl Future<Output = ()>, grace: Duration) {
        self.cancel.cancel();
        self.tracker.close();
        let all = async {
            rest.await;
            self.tracker.wait().await;
        };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!("some parts did not end within {grace:?}");
        }
    }
}

fn failure(name: &str, ended: &Result<(), JoinError>) -> String {
    match ended {
        Ok(()) => format!("{name} ended by itself"),
        Err(error) => format!("{name} ended: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_too_early_or_panics_is_named() {
        let (parts, mut failed) = Parts::new();
        parts.spawn("the first", async {});
        assert_eq!(failed.recv().await.unwrap(), "the first ended by itself");
        parts.spawn("the second", async { panic!("on purpose") });
        let said = failed.recv().await.unwrap();
        assert!(said.starts_with("the second ended: ") && said.contains("panic"), "{said}");
    }

    #[tokio::test]
    async fn a_part_that_ends_when_it_is_told_to_has_not_failed() {
        let (parts, mut failed) = Parts::new();
        parts.spawn_cancelled("the first", std::future::pending());
        parts.end(async {}, Duration::from_secs(20)).await;
        assert_eq!(failed.try_recv().ok(), None);
    }
}
