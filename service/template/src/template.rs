//! A template: parsed, checked, rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use handlebars::template::TemplateElement;
use handlebars::{Handlebars, RenderContext, Renderable, StringOutput};
use weir_pools::{Catalogue, Query};

use crate::chunks::{Chunk, Chunks};
use crate::error::RenderError;
use crate::problem::Problem;
use crate::reading::{Reader, Seen};
use crate::store::Store;
use crate::{lint, printed, pure};

/// A parsed and checked template source.
#[derive(Debug)]
pub struct Template {
    name: String,
    parsed: handlebars::Template,
    queries: BTreeSet<Query>,
    memory: Mutex<Memory>,
}

/// What the last render left for the next one. It changes how long a render takes, not what it gives.
#[derive(Debug, Default)]
struct Memory {
    store: Store,
    chunks: Chunks,
}

/// What a render gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Byte ranges of `text` that were printed from values that nobody vouches for, in order. What `key`,
    /// `key_or_default`, `env`, `env_or_default` and `raw` print themselves is trusted and not among them.
    pub printed: Vec<Range<usize>>,
    /// Everything that was read.
    pub reads: BTreeSet<Query>,
    /// What was read and is not known yet, or a `key` that does not exist yet. The text must not be used while
    /// anything is left here.
    pub waiting: BTreeSet<Query>,
}

impl Template {
    /// Parses and checks a source. `name` is what errors call it, usually its path. All problems are returned
    /// at once, in the order in which they stand in the source.
    pub fn parse(name: &str, source: &str) -> Result<Self, Vec<Problem>> {
        let mut parsed = lint::parse(source)?;
        let queries = lint::check(source, &parsed)?;
        print_alike(&mut parsed);
        Ok(Self { name: name.to_owned(), parsed, queries, memory: Mutex::default() })
    }

    /// Renders from what is known. Queries that are not known are read as empty and reported as waiting.
    pub fn render(
        &self,
        catalogue: &Catalogue,
        env: &BTreeMap<String, String>,
    ) -> Result<Rendered, RenderError> {
        // Taken out rather than locked while rendering: a second render at the same time starts with an empty
        // memory, which is slower and nothing else.
        let mut memory = std::mem::take(&mut *self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        memory.store.refresh(catalogue);
        memory.chunks.refresh(env);
        let mut pages = Assembly::default();
        let outcome = self.assemble(catalogue, env, &memory.store, &mut memory.chunks, &mut pages);
        memory.store.keep(std::mem::take(&mut pages.seen.selected));
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        outcome.map(|()| pages.rendered())
    }

    /// Puts the elements together, those rendered anew and those that still hold.
    fn assemble(
        &self,
        catalogue: &Catalogue,
        env: &BTreeMap<String, String>,
        store: &Store,
        chunks: &mut Chunks,
        assembly: &mut Assembly,
    ) -> Result<(), RenderError> {
        let reader = Reader::new(catalogue, env, store);
        let mut registry = pure::registry();
        reader.register(&mut registry);
        for (index, element) in self.parsed.elements.iter().enumerate() {
            if let TemplateElement::RawString(raw) = element {
                assembly.text.push_str(raw);
            } else if let Some(chunk) = chunks.get(index, catalogue) {
                assembly.add(chunk);
            } else {
                let marked = self.element(index, &registry, store);
                let seen = reader.take_seen();
                assembly.seen.selected.extend(seen.selected.iter().cloned());
                let (text, printed) = printed::strip(&marked?);
                assembly.add(chunks.keep(index, Chunk::new(text, printed, seen, catalogue)));
            }
        }
        Ok(())
    }

    /// Renders one top-level element, its values between markers.
    fn element(&self, index: usize, registry: &Handlebars<'_>, store: &Store) -> Result<String, RenderError> {
        let mut output = StringOutput::new();
        let element = &self.parsed.elements[index];
        element.render(registry, &store.context, &mut RenderContext::new(None), &mut output).map_err(
            |mut error| {
                if let (None, Some(place)) = (error.line_no, self.parsed.mapping.get(index)) {
                    (error.line_no, error.column_no) = (Some(place.0), Some(place.1));
                }
                RenderError::of(&self.name, &error)
            },
        )?;
        output.into_string().map_err(|error| RenderError::of(&self.name, &error.into()))
    }

    /// The queries that are literally named in the source, so that they can be asked before the first render.
    pub fn queries(&self) -> BTreeSet<Query> {
        self.queries.clone()
    }
}

/// A render that is being put together.
#[derive(Debug, Default)]
struct Assembly {
    text: String,
    printed: Vec<Range<usize>>,
    seen: Seen,
}

impl Assembly {
    fn add(&mut self, chunk: &Chunk) {
        let start = self.text.len();
        self.printed.extend(chunk.printed.iter().map(|range| range.start + start..range.end + start));
        self.text.push_str(&chunk.text);
        self.seen.add(&chunk.seen);
    }

    fn rendered(self) -> Rendered {
        Rendered {
            text: self.text,
            printed: self.printed,
            reads: self.seen.reads,
            waiting: self.seen.waiting,
        }
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
