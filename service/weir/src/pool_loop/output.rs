//! One template and its output: which source is in use, which is in force.
//!
//! A source proves itself by coming into force. Until then a newer one is an *edit*: it is tried, and when it cannot
//! be used the last good source goes on, fed with fresh instances.

use std::sync::Arc;
use std::time::Instant;

use haproxy_cfg::Sections;
use weir_pools::guard::Pools;
use weir_pools::places::OutputKind;
use weir_template::Template;

use super::backoff::Backoff;
use crate::config;
use crate::journal::Record;

/// One template of the configuration with its sources and its text in force.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) config: config::Template,
    pub(crate) kind: OutputKind,
    /// The last source that came into force.
    pub(crate) good: Option<Source>,
    /// A newer source, not yet in force.
    pub(crate) edit: Option<Edit>,
    /// The text at the destination, as weir last saw or wrote it.
    pub(crate) in_force: Option<Arc<str>>,
    /// The text that HAProxy runs; the file follows it.
    pub(crate) running: Option<Arc<str>>,
    /// A text that was read, and how.
    sections: Option<(Arc<str>, Sections)>,
    /// The backends in force, with their servers.
    pub(crate) pools: Arc<Pools>,
    /// What the last turn said of it.
    pub(crate) note: Note,
}

/// A template source that parses.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) text: Arc<str>,
    pub(crate) template: Arc<Template>,
}

/// A source that is newer than the last good one.
#[derive(Debug)]
pub(crate) enum Edit {
    /// Not tried yet, or to be tried again.
    Untried { source: Source, backoff: Backoff },
    /// Rendered, and not taken; tried again now and then, since what it depends on may have changed.
    Refused { source: Source, problem: String, again: Instant, backoff: Backoff },
    /// It reads what is not known yet; the last good source goes on meanwhile.
    Waiting { source: Source, backoff: Backoff, queries: Vec<String> },
    /// It cannot be read, or does not parse.
    Unusable { problem: String },
}

/// What the last turn said of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// Its text is the one in force.
    InForce,
    /// It reads what is not known yet.
    Waiting(Vec<String>),
    /// It cannot be rendered.
    Failed(String),
    /// Its text is new, and is being put in force or held back.
    Held,
}

impl Output {
    pub(crate) fn new(config: config::Template, kind: OutputKind) -> Self {
        let note = Note::Waiting(Vec::new());
        let (good, edit, in_force, running, sections) = (None, None, None, None, None);
        Self { config, kind, good, edit, in_force, running, sections, pools: Arc::default(), note }
    }

    /// Whether this is the text at the destination.
    pub(crate) fn is_in_force(&self, text: &Arc<str>) -> bool {
        self.in_force.as_ref().is_some_and(|known| is_same(known, text))
    }

    /// Whether HAProxy runs this text.
    pub(crate) fn runs(&self, text: &Arc<str>) -> bool {
        self.running.as_ref().is_some_and(|known| is_same(known, text))
    }

    /// Whether HAProxy runs what the file does not say yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !self.is_in_force(running))
    }

    /// The sections of a text of this output. What the last text had in common with it is not read again.
    pub(crate) fn sections(&mut self, text: &Arc<str>) -> Sections {
        match &self.sections {
            Some((known, sections)) if Arc::ptr_eq(known, text) => sections.clone(),
            before => {
                let before = before.as_ref().map(|(_, sections)| sections.clone()).unwrap_or_default();
                let sections = before.parse_again(text.clone());
                self.sections = Some((text.clone(), sections.clone()));
                sections
            }
        }
    }

    /// The source that the next turn renders: an edit that may be tried, else the last good one.
    pub(crate) fn source(&self) -> Option<&Source> {
        match &self.edit {
            Some(Edit::Untried { source, .. }) => Some(source),
            Some(Edit::Refused { source, .. }) => self.good.as_ref().or(Some(source)),
            Some(Edit::Waiting { .. } | Edit::Unusable { .. }) | None => self.good.as_ref(),
        }
    }

    /// What a waiting edit waits for.
    pub(crate) fn waits_for(&self) -> Option<&[String]> {
        match &self.edit {
            Some(Edit::Waiting { queries, .. }) => Some(queries),
            _ => None,
        }
    }

    /// The edit in use reads what is not known yet.
    pub(crate) fn wait(&mut self, queries: Vec<String>) {
        self.edit = match self.edit.take() {
            Some(Edit::Untried { source, backoff }) => Some(Edit::Waiting { source, backoff, queries }),
            other => other,
        };
    }

    /// Makes a waiting edit be rendered again.
    pub(crate) fn stop_waiting(&mut self) {
        self.edit = match self.edit.take() {
            Some(Edit::Waiting { source, backoff, .. }) => Some(Edit::Untried { source, backoff }),
            other => other,
        };
    }

    /// Whether the next turn renders a source that has not proven itself.
    pub(crate) fn uses_edit(&self) -> bool {
        matches!(self.edit, Some(Edit::Untried { .. }))
    }

    /// Takes a source as it was read. Returns whether it is news.
    pub(crate) fn read(&mut self, text: Result<Arc<str>, String>) -> bool {
        let edit = match text {
            Ok(text) if self.known(&text) => return false,
            Ok(text) if self.good.as_ref().is_some_and(|good| good.text == text) => None,
            Ok(text) => Some(self.parse(text)),
            Err(problem) => Some(Edit::Unusable { problem }),
        };
        let news = !matches!((&self.edit, &edit),
            (Some(Edit::Unusable { problem: a }), Some(Edit::Unusable { problem: b })) if a == b);
        self.edit = edit;
        news
    }

    /// Whether `text` is what this output works with already.
    fn known(&self, text: &str) -> bool {
        match &self.edit {
            Some(
                Edit::Untried { source, .. } | Edit::Refused { source, .. } | Edit::Waiting { source, .. },
            ) => *source.text == *text,
            Some(Edit::Unusable { .. }) => false,
            None => self.good.as_ref().is_some_and(|good| *good.text == *text),
        }
    }

    fn parse(&self, text: Arc<str>) -> Edit {
        match parse(&self.config.name(), text) {
            Ok(source) => Edit::Untried { source, backoff: Backoff::edit() },
            Err(problem) => Edit::Unusable { problem },
        }
    }

    /// The source in use came into force.
    pub(crate) fn accept(&mut self) -> bool {
        if let Some(Edit::Untried { source, .. }) =
            self.edit.take_if(|edit| matches!(edit, Edit::Untried { .. }))
        {
            self.good = Some(source);
            return true;
        }
        // Without a good source a refused one is rendered too, and may have come into force with new answers.
        if self.good.is_none()
            && let Some(Edit::Refused { source, .. }) = self.edit.take()
        {
            self.good = Some(source);
            return true;
        }
        false
    }

    /// The edit in use was not taken.
    pub(crate) fn refuse(&mut self, now: Instant, problem: &str) {
        if let Some(Edit::Untried { source, mut backoff }) =
            self.edit.take_if(|edit| matches!(edit, Edit::Untried { .. }))
        {
            let again = now + backoff.next();
            self.edit = Some(Edit::Refused { source, problem: problem.to_owned(), again, backoff });
        }
    }

    /// Makes a refused edit be tried again when its time has come.
    pub(crate) fn try_again(&mut self, now: Instant) -> bool {
        let due = |edit: &mut Edit| matches!(edit, Edit::Refused { again, .. } if *again <= now);
        let Some(Edit::Refused { source, backoff, .. }) = self.edit.take_if(due) else { return false };
        self.edit = Some(Edit::Untried { source, backoff });
        true
    }

    /// When a refused edit is tried again.
    pub(crate) fn again(&self) -> Option<Instant> {
        match &self.edit {
            Some(Edit::Refused { again, .. }) => Some(*again),
            _ => None,
        }
    }

    /// The record of a source that cannot be used, with why.
    pub(crate) fn failed(&self, error: String) -> Record {
        Record::SourceFailed { template: self.config.name(), error, last_good: self.good.is_some() }
    }

    /// What is wrong with the newest source.
    pub(crate) fn problem(&self) -> Option<&str> {
        match &self.edit {
            Some(Edit::Refused { problem, .. } | Edit::Unusable { problem }) => Some(problem),
            Some(Edit::Untried { .. } | Edit::Waiting { .. }) | None => None,
        }
    }

    /// Makes a refused edit be tried again at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let Some(Edit::Refused { again, .. }) = &mut self.edit {
            *again = now;
        }
    }
}

/// Whether both are the same text. The same one in memory costs nothing to compare. (The standard library looks at that only where
/// a type has a size.)
fn is_same(one: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// Parses a source; a problem names the template, and every line.
pub(crate) fn parse(name: &str, text: Arc<str>) -> Result<Source, String> {
    match Template::parse(name, &text) {
        Ok(template) => Ok(Source { text, template: Arc::new(template) }),
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(|problem| format!("{name}:{problem}")).collect();
            Err(lines.join("; "))
        }
    }
}
