//! What the parts of a template rendered to last time: its top-level elements, and each turn of its loops.
//!
//! A chunk is rendered again only when an answer that it read is another one, or (a turn of a loop) when its item is.
//! So a change of one instance among thousands costs one turn of one loop, and putting the text together.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use weir_pools::Query;

use crate::items::Item;
use crate::printed::Stripped;

/// One rendered part.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Its text; without that of its loops, where it has holes.
    text: Box<str>,
    /// Ranges of `text` that were printed from values.
    printed: Box<[Range<usize>]>,
    /// Where the text of each of `loops` goes.
    holes: Box<[usize]>,
    seen: Seen,
    pub(crate) loops: Vec<Loop>,
}

/// How long a text is not copied once more.
const LONG: usize = 16 * 1024;

/// What a part read, without the turns of its loops. Each in order, and once.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) reads: Vec<Arc<Query>>,
    /// Of these what is not known yet, and keys that do not exist yet.
    pub(crate) waiting: Vec<Arc<Query>>,
}

/// One run of a loop.
#[derive(Debug)]
pub(crate) struct Loop {
    /// Which of the template's loops.
    pub(crate) id: usize,
    /// What its body looks at outside of it, as JSON.
    pub(crate) outer: Vec<Option<String>>,
    pub(crate) turns: Vec<Turn>,
    /// Whether any of its turns reads anything.
    reads: bool,
}

/// One turn of a loop.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) item: Item,
    pub(crate) position: Position,
    pub(crate) chunk: Chunk,
}

/// Where a turn stands among the others, as far as the loop's body looks at it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) index: Option<usize>,
    pub(crate) first: Option<bool>,
    pub(crate) last: Option<bool>,
    /// The key, in a loop over a map.
    pub(crate) key: Option<Box<str>>,
}

impl Seen {
    fn sorted(mut self) -> Self {
        for queries in [&mut self.reads, &mut self.waiting] {
            queries.sort();
            queries.dedup();
            queries.shrink_to_fit();
        }
        self
    }
}

impl Chunk {
    /// A part as it was rendered, with one hole for each loop.
    pub(crate) fn new(stripped: Stripped, seen: Seen, loops: Vec<Loop>) -> Self {
        let Stripped { text, printed, holes } = stripped;
        let (text, printed, holes) = (text.into(), printed.into(), holes.into());
        Self { text, printed, holes, seen: seen.sorted(), loops }
    }

    /// With the text of its loops in its own: quicker to put together. Not where there is much of it.
    pub(crate) fn filled(self) -> Self {
        let turns = self.loops.iter().flat_map(|one| &one.turns);
        if self.holes.is_empty() || turns.map(|turn| turn.chunk.text.len()).sum::<usize>() > LONG {
            return self;
        }
        let mut whole = Whole::default();
        whole.add(&self);
        let (text, printed) = (whole.text.into(), whole.printed.into());
        Self { text, printed, holes: Box::default(), ..self }
    }

    /// Whether it would render to the same again, after the answers to these queries `changed`.
    pub(crate) fn holds(&self, changed: &BTreeSet<&Query>) -> bool {
        !self.seen.reads.iter().any(|query| changed.contains(&**query))
            && self.loops.iter().all(|one| one.holds(changed))
    }

    fn reads(&self) -> bool {
        !self.seen.reads.is_empty() || self.loops.iter().any(|one| one.reads)
    }

    /// All that it read, its loops too, and what of it is waited for. The same ones several times.
    pub(crate) fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        self.gather(&mut seen);
        seen
    }

    fn gather(&self, into: &mut Seen) {
        into.reads.extend_from_slice(&self.seen.reads);
        into.waiting.extend_from_slice(&self.seen.waiting);
        let turns = self.loops.iter().filter(|one| one.reads).flat_map(|one| &one.turns);
        turns.for_each(|turn| turn.chunk.gather(into));
    }
}

impl Loop {
    pub(crate) fn new(id: usize, outer: Vec<Option<String>>, turns: Vec<Turn>) -> Self {
        let reads = turns.iter().any(|turn| turn.chunk.reads());
        Self { id, outer, turns, reads }
    }

    fn holds(&self, changed: &BTreeSet<&Query>) -> bool {
        !self.reads || self.turns.iter().all(|turn| turn.chunk.holds(changed))
    }
}

/// A text that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) text: String,
    pub(crate) printed: Vec<Range<usize>>,
}

impl Whole {
    /// Adds a text that nothing was printed in.
    pub(crate) fn add_raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a part with all its loops.
    pub(crate) fn add(&mut self, chunk: &Chunk) {
        let (mut from, mut printed) = (0, &*chunk.printed);
        for (hole, one) in chunk.holes.iter().zip(&chunk.loops) {
            self.add_own(chunk, from..*hole, &mut printed);
            one.turns.iter().for_each(|turn| self.add(&turn.chunk));
            from = *hole;
        }
        self.add_own(chunk, from..chunk.text.len(), &mut printed);
    }

    fn add_own(&mut self, chunk: &Chunk, own: Range<usize>, printed: &mut &[Range<usize>]) {
        // What was added of the chunk already is as long as what stands before `own` in it, or longer.
        let shift = self.text.len() - own.start;
        let is_rest = own.end == chunk.text.len();
        let here =
            if is_rest { printed.len() } else { printed.partition_point(|range| range.start < own.end) };
        let (here, after) = printed.split_at(here);
        self.printed.extend(here.iter().map(|range| range.start + shift..range.end + shift));
        self.text.push_str(&chunk.text[own]);
        *printed = after;
    }
}
