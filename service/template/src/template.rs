//! A template: parsed, checked, rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use handlebars::template::TemplateElement;
use handlebars::{RenderContext, Renderable, StringOutput};
use weir_pools::{Catalogue, Query};

use crate::error::RenderError;
use crate::problem::Problem;
use crate::reading::Reader;
use crate::store::Store;
use crate::{lint, printed, pure};

/// A parsed and checked template source.
#[derive(Debug)]
pub struct Template {
    name: String,
    parsed: handlebars::Template,
    queries: BTreeSet<Query>,
    store: Mutex<Store>,
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
        Ok(Self { name: name.to_owned(), parsed, queries, store: Mutex::default() })
    }

    /// Renders from what is known. Queries that are not known are read as empty and reported as waiting.
    pub fn render(
        &self,
        catalogue: &Catalogue,
        env: &BTreeMap<String, String>,
    ) -> Result<Rendered, RenderError> {
        // Taken out rather than locked while rendering: a second render at the same time starts with an empty
        // store, which is slower and nothing else.
        let mut store = std::mem::take(&mut *self.store.lock().unwrap_or_else(PoisonError::into_inner));
        store.refresh(catalogue);
        let reader = Reader::new(catalogue, env, &store);
        let marked = self.marked(&reader, &store);
        let seen = reader.seen();
        store.keep(seen.selected);
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = store;

        let (text, printed) = printed::strip(&marked?);
        Ok(Rendered { text, printed, reads: seen.reads, waiting: seen.waiting })
    }

    fn marked(&self, reader: &Reader<'_>, store: &Store) -> Result<String, RenderError> {
        let mut registry = pure::registry();
        reader.register(&mut registry);
        let mut output = StringOutput::new();
        self.parsed
            .render(&registry, &store.context, &mut RenderContext::new(None), &mut output)
            .map_err(|error| RenderError::of(&self.name, &error))?;
        output.into_string().map_err(|error| RenderError::of(&self.name, &error.into()))
    }

    /// The queries that are literally named in the source, so that they can be asked before the first render.
    pub fn queries(&self) -> BTreeSet<Query> {
        self.queries.clone()
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
