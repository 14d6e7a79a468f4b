//! The line to HAProxy, from what was said until it is known whether more is to be said at once: most changes take two such turns.
//! No longer, as an open line keeps an old worker alive.
//!
//! In: a script and the worker that it is for. Out: who was reached, and what it said. A line that broke is replaced to find out
//! who is there now; nothing is said twice, as how much of it was carried out is not known.

use std::sync::{Mutex, PoisonError};

use weir_haproxy::{Line, Look, Reached, SocketError, StatsSocket};
use weir_scaling::Process;

use super::script::Script;

/// The line, where one is open.
#[derive(Debug, Default)]
pub(crate) struct OpenLine(Mutex<Option<Line>>);

impl OpenLine {
    /// Says it on the line that is open still, where that leads to this worker.
    pub(super) async fn converse(
        &self,
        stats: &StatsSocket,
        script: &Script<'_>,
        worker: Process,
        look: &Look,
    ) -> Result<Reached, SocketError> {
        let open = self.take().filter(|line| line.info().is(worker));
        let was_open = open.is_some();
        let mut line = match open {
            Some(line) => line,
            None => stats.line().await?,
        };
        match script.run(&mut line, worker, look).await {
            // Its worker may have ended meanwhile.
            Err(error) if was_open => another(&stats.line().await?, worker).ok_or(error),
            Err(error) => Err(error),
            Ok(reached) => {
                self.keep(line);
                Ok(reached)
            }
        }
    }

    pub(super) fn keep(&self, line: Line) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }

    pub(super) fn hang_up(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Who is there, where it is not this worker.
fn another(line: &Line, worker: Process) -> Option<Reached> {
    let info = line.info();
    (!info.is(worker)).then(|| Reached::Another(info.clone()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::UnixListener;
    use tokio::task::JoinHandle;
    use weir_pools::plan::{Reply, Step};

    use super::*;

    const MEANT: Process = Process { node: 0, pid: 7, started: 1000 };

    /// Takes one connection after the other, each as the worker of a process ID that closes after so many lines. Out: the commands
    /// that were carried out.
    fn workers(path: &Path, each: &'static [(u32, usize)]) -> JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(path).unwrap();
        tokio::spawn(async move {
            let mut commands = Vec::new();
            for (pid, count) in each {
                let mut stream = BufReader::new(listener.accept().await.unwrap().0);
                for _ in 0..*count {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap() == 0 {
                        break;
                    }
                    let answer = match line.trim_end() {
                        "prompt" => String::new(),
                        "show info" => format!("Version: 2.6.12\nPid: {pid}\nStart_time_sec: 1000\n"),
                        command => {
                            commands.push(format!("{pid}: {command}"));
                            String::new()
                        }
                    };
                    stream.write_all(format!("{answer}\n> ").as_bytes()).await.unwrap();
                }
            }
            commands
        })
    }

    /// Says two things to the worker that is meant, one after the other.
    async fn say_twice(path: &Path) -> [Result<Reached, SocketError>; 2] {
        let step = Step {
            command: "set server web/a weight 1".to_owned(),
            why: String::new(),
            expects: Reply::Empty,
            is_conditional: false,
        };
        let (line, stats) = (OpenLine::default(), StatsSocket::new(path));
        let (steps, look) = ([step], Look::Backends(BTreeSet::new()));
        let script = Script::of(&steps);
        let first = line.converse(&stats, &script, MEANT, &look).await;
        [first, line.converse(&stats, &script, MEANT, &look).await]
    }

    #[tokio::test]
    async fn two_things_are_said_on_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let haproxy = workers(&dir.path().join("s"), &[(7, 4)]);
        let said = say_twice(&dir.path().join("s")).await;
        assert!(said.iter().all(|one| matches!(one, Ok(Reached::Meant(_)))), "{said:?}");
        assert_eq!(haproxy.await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn where_the_line_broke_another_worker_is_told_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let haproxy = workers(&dir.path().join("s"), &[(7, 3), (8, 3)]);
        let [first, second] = say_twice(&dir.path().join("s")).await;
        assert!(matches!(first, Ok(Reached::Meant(_))), "{first:?}");
        assert!(matches!(&second, Ok(Reached::Another(info)) if info.pid == 8), "{second:?}");
        assert_eq!(haproxy.await.unwrap(), ["7: set server web/a weight 1"]);
    }

    #[tokio::test]
    async fn where_the_line_broke_the_same_worker_is_not_told_twice() {
        let dir = tempfile::tempdir().unwrap();
        let haproxy = workers(&dir.path().join("s"), &[(7, 3), (7, 3)]);
        let [_, second] = say_twice(&dir.path().join("s")).await;
        assert!(second.is_err(), "{second:?}");
        assert_eq!(haproxy.await.unwrap().len(), 1);
    }
}
