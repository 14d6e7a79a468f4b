//! The answers in force, kept on the disk.
//!
//! One line of JSON for each answer that changed, the newest at the end; the file is written anew when it has grown. With thousands
//! of instances all answers are some megabytes, and one that changed is some hundred bytes. A line that cannot be read (the
//! machine went down while it was written) is reported and passed over; without the file weir starts as on its first day.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;
use weir_pools::{Answer, Catalogue, Query};

/// Lines beyond two for each answer after which the file is written anew.
const SLACK: usize = 256;

/// The file, and what is in it.
#[derive(Debug)]
pub(crate) struct Answers {
    path: PathBuf,
    /// What reading the file gives.
    written: Arc<Catalogue>,
    lines: usize,
}

impl Answers {
    /// Reads the file, if there is one.
    pub(crate) fn open(path: PathBuf) -> Self {
        let (catalogue, lines) = read(&path);
        Self { path, written: Arc::new(catalogue), lines }
    }

    /// The answers that were kept.
    pub(crate) fn kept(&self) -> Arc<Catalogue> {
        self.written.clone()
    }

    /// Keeps these answers instead. Not synced to the disk: after a crash of the machine HAProxy starts from its files anyway.
    pub(crate) fn keep(&mut self, catalogue: &Arc<Catalogue>) -> std::io::Result<()> {
        let changes = changes(&self.written, catalogue);
        let most = 2 * catalogue.iter().count() + SLACK;
        if self.lines == 0 || self.lines + changes.len() > most || !self.path.exists() {
            self.write_all(catalogue)?;
        } else {
            self.append(&changes)?;
            self.lines += changes.len();
        }
        self.written = catalogue.clone();
        Ok(())
    }

    fn append(&self, changes: &[(&Query, Option<&Answer>)]) -> std::io::Result<()> {
        let mut text = Vec::new();
        for change in changes {
            serde_json::to_writer(&mut text, change)?;
            text.push(b'\n');
        }
        OpenOptions::new().append(true).open(&self.path)?.write_all(&text)
    }

    fn write_all(&mut self, catalogue: &Catalogue) -> std::io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        // Somebody may have tidied up meanwhile.
        std::fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        let mut out = BufWriter::new(file.as_file_mut());
        self.lines = 0;
        for (query, answer) in catalogue.iter() {
            serde_json::to_writer(&mut out, &(query, Some(answer)))?;
            out.write_all(b"\n")?;
            self.lines += 1;
        }
        out.flush()?;
        drop(out);
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// What differs between two moments; an answer that is gone is `None`.
fn changes<'a>(before: &'a Catalogue, now: &'a Catalogue) -> Vec<(&'a Query, Option<&'a Answer>)> {
    before.differing(now).map(|query| (query, now.get(query))).collect()
}

fn read(path: &Path) -> (Catalogue, usize) {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (Catalogue::default(), 0),
        Err(error) => {
            warn!("{}: cannot be read, going on without it: {error}", path.display());
            return (Catalogue::default(), 0);
        }
    };
    let (mut answers, mut lines) = (BTreeMap::new(), 0);
    for line in BufReader::new(file).lines().map_while(Result::ok) {
        lines += 1;
        match serde_json::from_str::<(Query, Option<Answer>)>(&line) {
            Ok((query, Some(answer))) => drop(answers.insert(query, answer)),
            Ok((query, None)) => drop(answers.remove(&query)),
            Err(error) => warn!("{}:{lines}: cannot be used, going on without it: {error}", path.display()),
        }
    }
    (answers.into_iter().collect(), lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(path: &str) -> Query {
        Query::Key { path: path.into(), datacenter: None }
    }

    fn moment() -> impl Strategy<Value = Arc<Catalogue>> {
        prop::collection::btree_map("[a-d]", prop::option::of("[xy]"), 0..4).prop_map(|values| {
            let answer =
                |(path, value): (String, Option<String>)| (key(&path), Answer::Value(value.map(Arc::from)));
            Arc::new(values.into_iter().map(answer).collect())
        })
    }

    proptest! {
        #[test]
        fn what_is_kept_is_read_back(moments in prop::collection::vec(moment(), 1..200)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("state/answers");
            let mut answers = Answers::open(path.clone());
            for moment in &moments {
                answers.keep(moment).unwrap();
            }
            let last = moments.last().unwrap();
            let again = Answers::open(path);
            prop_assert_eq!(&*again.kept(), &**last);
            prop_assert!(again.lines <= 2 * last.iter().count() + SLACK);
        }
    }

    #[test]
    fn a_line_that_was_cut_off_costs_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers");
        let mut answers = Answers::open(path.clone());
        let first = Arc::new(Catalogue::from_iter([(key("a"), Answer::Value(Some("1".into())))]));
        answers.keep(&first).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"[{\"key\":{\"pa").unwrap();
        assert_eq!(*Answers::open(path).kept(), *first);
    }
}
