//! Loops whose turns are kept from render to render: `#each` over what is read from the catalogue, or reading it.
//!
//! In: the list, and what the turns rendered to last time. Out: the turns as they are now; those whose item, position, outer
//! values and answers are the same are not rendered. The text of a loop is kept beside the text around it, which gets a hole
//! for it. What is printed is the same as with handlebars' own `#each` (held by a property test).

use std::collections::{BTreeSet, VecDeque};

use handlebars::{
    BlockContext, BlockParams, Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext,
    RenderError, Renderable, Template, to_json,
};
use serde_json::Value;
use weir_pools::Query;

use crate::chunks::{Chunk, Loop, Position, Turn};
use crate::items::Item;
use crate::loops::{Body, ID};
use crate::printed;
use crate::reading::Reader;
use crate::signature::Reading;

/// The helper for one kind of loop.
pub(crate) struct Each<'a> {
    pub(crate) reader: &'a Reader<'a>,
    /// What it goes over; `None` where that is made by another helper.
    pub(crate) reading: Option<Reading>,
}

/// One item with what is needed to render it.
struct Entry<'h> {
    item: Item,
    /// In a loop over a map.
    key: Option<&'h str>,
    /// The value of what was computed.
    value: Option<&'h Value>,
}

/// Turns of the last render, in order.
struct Known(VecDeque<Turn>);

impl HelperDef for Each<'_> {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let entries = self.entries(helper)?;
        if entries.is_empty() {
            return helper.inverse().map_or(Ok(()), |other| other.render(registry, context, render, out));
        }
        let (Some(id), Some(template)) = (id(helper), helper.template()) else { return Ok(()) };
        let Some(body) = self.reader.loops.get(id) else { return Ok(()) };
        let outer = outer(body, context, render);
        let mut known = Known(self.reader.known_turns(id, &outer).into());
        let mut turns = Vec::with_capacity(entries.len());
        let count = entries.len();
        for (index, entry) in entries.into_iter().enumerate() {
            let position = position(body, index, count, entry.key);
            let chunk = match known.take(&entry.item, &position, &self.reader.changed) {
                Ok(chunk) => chunk,
                Err(loops) => {
                    render.push_block(block(helper, &entry, index, count)?);
                    let chunk = self.turn(template, (registry, context), render, loops)?;
                    render.pop_block();
                    chunk
                }
            };
            turns.push(Turn { item: entry.item, position, chunk });
        }
        self.reader.ran(Loop::new(id, outer, turns));
        Ok(out.write(printed::HOLE)?)
    }
}

impl Each<'_> {
    fn entries<'h>(&self, helper: &'h Helper<'_>) -> Result<Vec<Entry<'h>>, RenderError> {
        if let Some(reading) = self.reading {
            let items = self.reader.items(reading, helper)?;
            return Ok(items.into_iter().map(|item| Entry { item, key: None, value: None }).collect());
        }
        let entry = |key, value: &'h Value| Entry {
            item: Item::Computed(value.to_string().into()),
            key,
            value: Some(value),
        };
        Ok(match helper.param(0).map(handlebars::PathAndJson::value) {
            Some(Value::Array(list)) => list.iter().map(|value| entry(None, value)).collect(),
            Some(Value::Object(map)) => {
                map.iter().map(|(key, value)| entry(Some(key.as_str()), value)).collect()
            }
            _ => Vec::new(),
        })
    }

    /// Renders one turn. `loops` are those that run in it, as they ran last time.
    fn turn<'reg: 'rc, 'rc>(
        &self,
        template: &'rc Template,
        (registry, context): (&'reg Handlebars<'reg>, &'rc Context),
        render: &mut RenderContext<'reg, 'rc>,
        loops: Vec<Loop>,
    ) -> Result<Chunk, RenderError> {
        let mut out = Text::default();
        let outside = self.reader.enter(loops);
        let result = template.render(registry, context, render, &mut out);
        let inside = self.reader.leave(outside);
        result?;
        Ok(inside.chunk(&out.0).filled())
    }
}

impl Known {
    /// What the turn rendered to, where that holds; else the loops that ran in it. Turns before the found one are passed
    /// over: lists keep their order, mostly.
    fn take(&mut self, item: &Item, at: &Position, changed: &BTreeSet<&Query>) -> Result<Chunk, Vec<Loop>> {
        let Self(turns) = self;
        let found = turns.iter().position(|turn| turn.position == *at && turn.item == *item);
        turns.drain(..found.unwrap_or(0));
        let chunk = found.and_then(|_| turns.pop_front()).map(|turn| turn.chunk).unwrap_or_default();
        if found.is_some() && chunk.holds(changed) { Ok(chunk) } else { Err(chunk.loops) }
    }
}

/// Which loop it is.
fn id(helper: &Helper<'_>) -> Option<usize> {
    helper.hash_get(ID)?.value().as_u64()?.try_into().ok()
}

/// What the loop's body looks at outside of it. What cannot be looked at is another thing than what is missing.
fn outer<'rc>(body: &Body, context: &'rc Context, render: &RenderContext<'_, 'rc>) -> Vec<Option<String>> {
    let look = |path: &String| match render.evaluate(context, path) {
        Ok(value) => (!value.is_missing()).then(|| value.as_json().to_string()),
        Err(error) => Some(format!("!{error}")),
    };
    body.outer.iter().map(look).collect()
}

fn position(body: &Body, index: usize, count: usize, key: Option<&str>) -> Position {
    Position {
        index: body.index.then_some(index),
        first: body.first.then_some(index == 0),
        last: body.last.then_some(index + 1 == count),
        key: key.map(Into::into),
    }
}

/// The block of one turn, as handlebars' own `#each` has it.
fn block<'rc>(
    helper: &Helper<'rc>,
    entry: &Entry<'_>,
    index: usize,
    count: usize,
) -> Result<BlockContext<'rc>, RenderError> {
    let value = entry.item.value().or_else(|| entry.value.cloned()).unwrap_or_default();
    let number = entry.key.map_or_else(|| to_json(index), to_json);
    let mut block = BlockContext::new();
    block.set_local_var("first", to_json(index == 0));
    block.set_local_var("last", to_json(index + 1 == count));
    block.set_local_var("index", to_json(index));
    if entry.key.is_some() {
        block.set_local_var("key", number.clone());
    }
    let mut params = BlockParams::new();
    if let Some(name) = helper.block_param() {
        params.add_value(name, value.clone())?;
    } else if let Some((name, other)) = helper.block_param_pair() {
        params.add_value(name, value.clone())?;
        params.add_value(other, number)?;
    }
    block.set_block_params(params);
    block.set_base_value(value);
    Ok(block)
}

/// An output that is small, as most turns are.
#[derive(Default)]
struct Text(String);

impl Output for Text {
    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.0.push_str(text);
        Ok(())
    }
}
