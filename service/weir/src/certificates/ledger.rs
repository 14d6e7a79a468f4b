//! What is known of each file: which state of it HAProxy has, and what came of the last attempt.
//!
//! Synchronous, and told the time. In: the worker, the stamps of the files, outcomes. Out: the files to bring in force now, and what to
//! say. A file that cannot be used is tried again for a moment before it is reported: it may be half written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weir_pools::plan::files::FileKind;
use weir_scaling::Process;

use super::disk::Stamp;
use super::{ANYWAY, File};

/// How long a file may stay unusable before it is reported: certificate and key come one after the other, as do a list and what it
/// names.
const GRACE: Duration = Duration::from_secs(3);
/// How often it is tried until then.
const AGAIN: Duration = Duration::from_millis(500);

/// Why a file is not in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not whole, or HAProxy cannot be told just now: tried again and again.
    Unready(String),
    /// HAProxy does not take it: tried again when it changes.
    Refused(String),
    /// Only a reload does it.
    Reload(String),
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Brought {
    /// What changed, in words; `None` where HAProxy had it already.
    pub(super) outcome: Result<Option<String>, Trouble>,
    /// Tells the content from others; `None` where it could not be read.
    pub(super) digest: Option<u64>,
}

/// What to do about an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Say that it is in force.
    InForce(String),
    /// Say that it cannot be.
    Failed(String),
    /// Reload HAProxy.
    Reload(String),
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    process: Option<Process>,
    files: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// Of the content that HAProxy has, as far as it is known.
    digest: Option<u64>,
    open: Option<Open>,
}

/// A state of a file that is not in force.
#[derive(Debug)]
struct Open {
    since: Instant,
    /// `None` before the first attempt.
    trouble: Option<Trouble>,
    /// It was reported.
    told: bool,
}

impl Ledger {
    /// Meets the worker in force; true where it is another one than before.
    pub(super) fn meet(&mut self, process: Process) -> bool {
        let is_new = self.process != Some(process);
        if is_new {
            *self = Self { process: Some(process), files: BTreeMap::new() };
        }
        is_new
    }

    /// The files to bring in force now. Of a file that was not known before, HAProxy has what was on the disk when it started.
    pub(super) fn due(
        &mut self,
        now: Instant,
        files: Vec<File>,
        mut stamps: BTreeMap<String, Stamp>,
    ) -> Vec<File> {
        let started = self.process.map_or(0, |process| process.started);
        self.files.retain(|name, _| stamps.contains_key(name));
        let mut due = files;
        due.retain(|file| {
            stamps.remove(&file.name).is_some_and(|stamp| self.is_due(now, started, &file.name, stamp))
        });
        due.sort_by_key(|file| rank(file.kind));
        due
    }

    /// Whether the file has been as it is for so long that nobody writes it any more.
    pub(super) fn is_at_rest(&self, now: Instant, name: &str) -> bool {
        let open = self.files.get(name).and_then(|known| known.open.as_ref());
        open.is_none_or(|open| now.duration_since(open.since) >= GRACE)
    }

    fn is_due(&mut self, now: Instant, started: u64, name: &str, stamp: Stamp) -> bool {
        let fresh = || Some(Open { since: now, trouble: None, told: false });
        match self.files.get_mut(name) {
            None => {
                // One that was never there is a name that HAProxy was given on its socket.
                let open = if stamp.is_present() && stamp.changed_since(started) { fresh() } else { None };
                self.files.insert(name.to_owned(), Known { stamp, digest: None, open });
            }
            Some(known) if known.stamp != stamp => {
                known.open = fresh();
                known.stamp = stamp;
            }
            Some(_) => {}
        }
        let open = self.files.get(name).and_then(|known| known.open.as_ref());
        open.is_some_and(|open| !open.told || matches!(open.trouble, Some(Trouble::Unready(_))))
    }

    /// The content of the file that HAProxy has.
    pub(super) fn digest(&self, name: &str) -> Option<u64> {
        self.files.get(name)?.digest
    }

    /// Takes an outcome.
    pub(super) fn settle(&mut self, now: Instant, name: &str, brought: Brought) -> Option<Effect> {
        let known = self.files.get_mut(name)?;
        match brought.outcome {
            Ok(what) => {
                let was_told = known.open.take().is_some_and(|open| open.told);
                known.digest = brought.digest;
                let again = was_told.then(|| "it is again what HAProxy has".to_owned());
                what.or(again).map(Effect::InForce)
            }
            Err(trouble) => known.trouble(now, trouble),
        }
    }

    /// When to look again without any event.
    pub(super) fn pause(&self) -> Duration {
        let is_urgent = |known: &Known| known.open.as_ref().is_some_and(|open| !open.told);
        if self.files.values().any(is_urgent) { AGAIN } else { ANYWAY }
    }
}

/// What others name comes before them.
fn rank(kind: FileKind) -> u8 {
    match kind {
        FileKind::Authorities | FileKind::Revocations => 0,
        FileKind::Certificate => 1,
        FileKind::CrtList => 2,
        FileKind::Acl | FileKind::Map { .. } => 3,
    }
}

impl Known {
    fn trouble(&mut self, now: Instant, trouble: Trouble) -> Option<Effect> {
        let open = self.open.get_or_insert(Open { since: now, trouble: None, told: false });
        open.trouble = Some(trouble.clone());
        if open.told || now.duration_since(open.since) < GRACE {
            return None;
        }
        open.told = true;
        Some(match trouble {
            Trouble::Unready(why) | Trouble::Refused(why) => Effect::Failed(why),
            Trouble::Reload(why) => Effect::Reload(why),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use weir_pools::plan::files::Settings;

    /// A ledger beside a directory with files, and a clock.
    struct Rig {
        dir: tempfile::TempDir,
        ledger: Ledger,
        now: Instant,
    }

    impl Rig {
        /// The worker started so many seconds ago.
        fn new(ago: u64) -> Self {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            let mut ledger = Ledger::default();
            assert!(ledger.meet(Process { node: 0, pid: 1, started: now - ago }));
            Self { dir: tempfile::tempdir().unwrap(), ledger, now: Instant::now() }
        }

        fn file(&self, name: &str, kind: FileKind) -> File {
            let path = self.dir.path().join(name);
            File { name: name.to_owned(), kind, path, is_changed_by_requests: false }
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.dir.path().join(name), text).unwrap();
        }

        fn due(&mut self) -> Vec<String> {
            let files = [
                self.file("a.map", FileKind::Map { ordered: true }),
                self.file("b.pem", FileKind::Certificate),
            ];
            let stamp =
                |file: &File| (file.name.clone(), Stamp::of(file, &Settings::default(), Path::new("/")));
            let stamps = files.iter().map(stamp).collect();
            self.ledger.due(self.now, files.to_vec(), stamps).into_iter().map(|file| file.name).collect()
        }

        fn settle(&mut self, outcome: Result<Option<String>, Trouble>) -> Option<Effect> {
            self.ledger.settle(self.now, "a.map", Brought { outcome, digest: Some(7) })
        }
    }

    #[test]
    fn what_the_worker_read_when_it_started_is_not_due_and_what_changes_is() {
        let mut rig = Rig::new(0);
        rig.write("a.map", "old");
        rig.ledger.meet(Process { node: 0, pid: 1, started: u64::MAX });
        assert!(rig.due().is_empty(), "b.pem was never there");
        rig.write("a.map", "newer");
        rig.write("b.pem", "new");
        assert_eq!(rig.due(), ["b.pem", "a.map"]);
        assert_eq!(rig.settle(Ok(Some("x".into()))), Some(Effect::InForce("x".into())));
        assert_eq!((rig.due(), rig.ledger.digest("a.map")), (vec!["b.pem".to_owned()], Some(7)));
    }

    #[test]
    fn what_changed_since_the_worker_started_is_due_at_once() {
        let mut rig = Rig::new(3600);
        rig.write("a.map", "new");
        assert_eq!((rig.due(), rig.ledger.digest("a.map")), (vec!["a.map".to_owned()], None));
        assert_eq!(rig.settle(Ok(None)), None);
        assert!(rig.due().is_empty());
    }

    #[test]
    fn trouble_is_waited_out_told_once_and_taken_back() {
        let mut rig = Rig::new(3600);
        rig.write("a.map", "bad");
        let unready = || Err(Trouble::Unready("no".into()));
        assert_eq!(rig.due(), ["a.map"]);
        assert_eq!((rig.settle(unready()), rig.ledger.pause()), (None, AGAIN));
        assert!(!rig.ledger.is_at_rest(rig.now, "a.map"));
        rig.now += GRACE;
        assert_eq!(rig.due(), ["a.map"]);
        assert!(rig.ledger.is_at_rest(rig.now, "a.map"));
        assert_eq!(rig.settle(unready()), Some(Effect::Failed("no".into())));
        assert_eq!(
            (rig.due(), rig.settle(unready()), rig.ledger.pause()),
            (vec!["a.map".to_owned()], None, ANYWAY)
        );
        assert!(matches!(rig.settle(Ok(None)), Some(Effect::InForce(_))));
    }

    #[test]
    fn what_is_refused_or_wants_a_reload_is_tried_again_only_when_it_changes() {
        let cases = [
            (Trouble::Refused("no".into()), Effect::Failed("no".into())),
            (Trouble::Reload("why".into()), Effect::Reload("why".into())),
        ];
        for (trouble, effect) in cases {
            let mut rig = Rig::new(3600);
            rig.write("a.map", "bad");
            assert_eq!(rig.due(), ["a.map"]);
            rig.now += GRACE;
            assert_eq!(rig.settle(Err(trouble.clone())), Some(effect.clone()));
            assert!(rig.due().is_empty());
            rig.write("a.map", "as bad as before");
            assert_eq!(rig.due(), ["a.map"]);
            assert_eq!(rig.settle(Err(trouble)), None, "it is waited for again");
        }
    }
}
