//! A template: parsed, checked, rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use handlebars::template::TemplateElement;
use handlebars::{Context, RenderContext, Renderable, StringOutput};
use weir_pools::{Catalogue, Query};

use crate::chunks::Chunk;
use crate::error::RenderError;
use crate::laid::Laid;
use crate::loops::{self, Body};
use crate::problem::Problem;
use crate::reading::{Named, Reader, named};
use crate::readings::Readings;
use crate::{lint, pure};

/// A parsed and checked template source.
#[derive(Debug)]
pub struct Template {
    name: String,
    parsed: handlebars::Template,
    /// What the loops look at whose turns are kept.
    loops: Vec<Body>,
    helpers: Vec<Named>,
    queries: BTreeSet<Query>,
    memory: Mutex<Memory>,
}

/// What the last render left for the next one. It changes how long a render takes, not what it gives.
#[derive(Debug, Default)]
struct Memory {
    catalogue: Catalogue,
    env: Arc<BTreeMap<String, String>>,
    /// What each top-level element rendered to.
    chunks: Vec<Option<Chunk>>,
    /// The elements that are to be rendered, whatever changed.
    missing: BTreeSet<usize>,
    /// Queries whose answers changed before the last catalogue, and not all chunks know.
    unknown: BTreeSet<Query>,
    readings: Readings,
    laid: Laid,
    /// The elements, from the first to the last, that were rendered after it was laid.
    unlaid: Range<usize>,
}

/// What a render gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: Arc<str>,
    /// Byte ranges of `text` that were printed from values that nobody vouches for, in order. What `key`,
    /// `key_or_default`, `env`, `env_or_default` and `raw` print themselves is trusted and not among them.
    pub printed: Arc<[Range<usize>]>,
    /// Everything that was read. The same in memory from render to render, while it does not change.
    pub reads: Arc<BTreeSet<Query>>,
    /// What was read and is not known yet, or a `key` that does not exist yet. The text must not be used while
    /// anything is left here.
    pub waiting: Arc<BTreeSet<Query>>,
}

impl Template {
    /// Parses and checks a source. `name` is what errors call it, usually its path. All problems are returned
    /// at once, in the order in which they stand in the source.
    pub fn parse(name: &str, source: &str) -> Result<Self, Vec<Problem>> {
        let mut parsed = lint::parse(source)?;
        let queries = lint::check(source, &parsed)?;
        print_alike(&mut parsed);
        let (loops, helpers) = (loops::keep(&mut parsed), named(source));
        Ok(Self { name: name.to_owned(), parsed, loops, helpers, queries, memory: Mutex::default() })
    }

    /// A template whose loops are handlebars' own: nothing of one is kept. What all others must be equal to.
    #[cfg(test)]
    pub(crate) fn plain(name: &str, source: &str) -> Result<Self, Vec<Problem>> {
        let mut parsed = lint::parse(source)?;
        let queries = lint::check(source, &parsed)?;
        print_alike(&mut parsed);
        let (loops, helpers) = (Vec::new(), named(source));
        Ok(Self { name: name.to_owned(), parsed, loops, helpers, queries, memory: Mutex::default() })
    }

    /// Renders from what is known. Queries that are not known are read as empty and reported as waiting.
    ///
    /// What the last render knew and did not change is not rendered again. An environment that is the same in memory costs
    /// nothing to compare.
    pub fn render(
        &self,
        catalogue: &Catalogue,
        env: &Arc<BTreeMap<String, String>>,
    ) -> Result<Rendered, RenderError> {
        // Taken out rather than locked while rendering: a second render at the same time starts with an empty
        // memory, which is slower and nothing else.
        let mut memory = std::mem::take(&mut *self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        if memory.env != *env || memory.chunks.len() != self.parsed.elements.len() {
            memory = self.empty_memory(env);
        }
        let result = self.refresh(&mut memory, catalogue, env).map(|()| self.whole(&mut memory));
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        result
    }

    fn empty_memory(&self, env: &Arc<BTreeMap<String, String>>) -> Memory {
        let elements = &self.parsed.elements;
        let chunks = elements.iter().map(|_| None).collect();
        let is_raw = |index: &usize| matches!(elements[*index], TemplateElement::RawString(_));
        let missing = (0..elements.len()).filter(|index| !is_raw(index)).collect();
        Memory { env: env.clone(), chunks, missing, unlaid: 0..elements.len(), ..Memory::default() }
    }

    /// Renders the chunks that do not hold any more.
    fn refresh(
        &self,
        memory: &mut Memory,
        catalogue: &Catalogue,
        env: &BTreeMap<String, String>,
    ) -> Result<(), RenderError> {
        let before = std::mem::replace(&mut memory.catalogue, catalogue.clone());
        let unknown = std::mem::take(&mut memory.unknown);
        let changed = before.differing(catalogue).chain(&unknown).collect();
        let reader = Reader::new(catalogue, env, &self.loops, changed);
        let result = self.render_chunks(memory, &reader);
        if result.is_err() {
            memory.unknown = reader.changed.into_iter().cloned().collect();
        }
        result
    }

    fn render_chunks(&self, memory: &mut Memory, reader: &Reader<'_>) -> Result<(), RenderError> {
        let context = Context::null();
        for index in &memory.missing | &memory.readings.elements(&reader.changed) {
            memory.missing.insert(index);
            let known = memory.chunks[index].take();
            let outside = reader.enter(known.map(|chunk| chunk.loops).unwrap_or_default());
            let marked = self.element(index, reader, &context);
            let inside = reader.leave(outside);
            memory.rendered(index, inside.chunk(&marked?).filled());
        }
        Ok(())
    }

    /// Renders one top-level element, its values between markers.
    fn element(&self, index: usize, reader: &Reader<'_>, context: &Context) -> Result<String, RenderError> {
        let (mut render, mut output) = (RenderContext::new(None), StringOutput::new());
        reader.lend(&self.helpers, &mut render);
        let element = &self.parsed.elements[index];
        element.render(pure::registry(), context, &mut render, &mut output).map_err(|mut error| {
            if let (None, Some(place)) = (error.line_no, self.parsed.mapping.get(index)) {
                (error.line_no, error.column_no) = (Some(place.0), Some(place.1));
            }
            RenderError::of(&self.name, &error)
        })?;
        output.into_string().map_err(|error| RenderError::of(&self.name, &error.into()))
    }

    /// Puts the chunks together.
    fn whole(&self, memory: &mut Memory) -> Rendered {
        let elements = &self.parsed.elements;
        let chunks = &memory.chunks;
        memory.laid.lay(std::mem::take(&mut memory.unlaid), |index, whole| {
            match (&elements[index], &chunks[index]) {
                (TemplateElement::RawString(raw), _) => whole.add_raw(raw),
                (_, Some(chunk)) => whole.add(chunk),
                _ => {}
            }
        });
        let (text, printed) = (memory.laid.text.clone(), memory.laid.printed.clone());
        let (reads, waiting) = memory.readings.all();
        Rendered { text, printed, reads, waiting }
    }

    /// The queries that are literally named in the source, so that they can be asked before the first render.
    pub fn queries(&self) -> &BTreeSet<Query> {
        &self.queries
    }
}

impl Memory {
    /// An element was rendered.
    fn rendered(&mut self, index: usize, chunk: Chunk) {
        self.readings.put(index, chunk.seen());
        self.chunks[index] = Some(chunk);
        self.missing.remove(&index);
        let (from, to) =
            if self.unlaid.is_empty() { (index, index) } else { (self.unlaid.start, self.unlaid.end) };
        self.unlaid = from.min(index)..to.max(index + 1);
    }
}

/// Makes `{{{x}}}` and `{{&x}}` the same as `{{x}}`: handlebars would print them past the markers.
fn print_alike(template: &mut handlebars::Template) {
    for element in &mut template.elements {
        match element {
            TemplateElement::HtmlExpression(call) => {
                *element = TemplateElement::Expression(call.clone());
            }
            TemplateElement::HelperBlock(call) => {
                call.template.iter_mut().for_each(print_alike);
                call.inverse.iter_mut().for_each(print_alike);
            }
            _ => {}
        }
    }
}
