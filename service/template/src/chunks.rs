//! What each top-level element of a template rendered to last time.
//!
//! Elements know nothing of one another, so an element is rendered again only when an answer that it read is another
//! one. A change of one service among a thousand costs the render of the loops that read it.

use std::collections::BTreeMap;
use std::ops::Range;

use weir_pools::{Answer, Catalogue, Query};

use crate::reading::Seen;
use crate::store::same;

/// One rendered element.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) text: String,
    /// Ranges of `text` that were printed from values.
    pub(crate) printed: Vec<Range<usize>>,
    pub(crate) seen: Seen,
    answers: Vec<(Query, Option<Answer>)>,
}

impl Chunk {
    /// Notes what an element rendered to, and from which answers.
    pub(crate) fn new(text: String, printed: Vec<Range<usize>>, seen: Seen, catalogue: &Catalogue) -> Self {
        let answer = |query: &Query| (query.clone(), catalogue.get(query).cloned());
        let answers = seen.reads.iter().map(answer).collect();
        Self { text, printed, seen, answers }
    }

    /// Whether the element would render to the same again.
    fn holds(&self, catalogue: &Catalogue) -> bool {
        self.answers.iter().all(|(query, answer)| match (answer, catalogue.get(query)) {
            (Some(before), Some(now)) => same(before, now),
            (None, None) => true,
            _ => false,
        })
    }
}

/// The chunks of a template, by element.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    chunks: BTreeMap<usize, Chunk>,
    /// The environment they were rendered with.
    env: BTreeMap<String, String>,
}

impl Chunks {
    /// Drops what another environment would render otherwise.
    pub(crate) fn refresh(&mut self, env: &BTreeMap<String, String>) {
        if self.env != *env {
            self.chunks.clear();
            self.env.clone_from(env);
        }
    }

    /// The element's chunk, where it still holds.
    pub(crate) fn get(&self, element: usize, catalogue: &Catalogue) -> Option<&Chunk> {
        self.chunks.get(&element).filter(|chunk| chunk.holds(catalogue))
    }

    /// Remembers a chunk.
    pub(crate) fn keep(&mut self, element: usize, chunk: Chunk) -> &Chunk {
        self.chunks.insert(element, chunk);
        &self.chunks[&element]
    }
}
