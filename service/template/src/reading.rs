//! Helpers that read the catalogue and the environment, and what they read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, PathAndJson, RenderContext, RenderError,
    ScopedJson,
};
use serde_json::Value;
use weir_pools::{Answer, Catalogue, Query};

use crate::args::text_of;
use crate::chunks::{Chunk, Loop, Seen, Turn};
use crate::each::Each;
use crate::items::Item;
use crate::loops::{self, Body};
use crate::printed::strip;
use crate::pure::{failed, write};
use crate::selection::{Selection, ServiceName, key_path, parse_statuses};
use crate::signature::{Does, Reading, SIGNATURES, Signature};

/// What one render reads from, and what it has read so far.
pub(crate) struct Reader<'a> {
    catalogue: &'a Catalogue,
    env: &'a BTreeMap<String, String>,
    /// The loops that are kept.
    pub(crate) loops: &'a [Body],
    /// The queries whose answers are not those of the last render.
    pub(crate) changed: BTreeSet<&'a Query>,
    inside: Mutex<Inside>,
}

/// A helper that reads, by one of its names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    name: &'static str,
    signature: &'static Signature,
    reading: Reading,
}

/// Those whose names stand somewhere in a source: no other can be called.
pub(crate) fn named(source: &str) -> Vec<Named> {
    let all = SIGNATURES.iter().flat_map(|signature| {
        let reading = if let Does::Reads(reading) = signature.does { Some(reading) } else { None };
        let name = move |name: &&'static str| Some(Named { name, signature, reading: reading? });
        signature.names.iter().filter_map(name)
    });
    all.filter(|named| source.contains(named.name)).collect()
}

/// The part that is being rendered: a top-level element, or a turn of a loop.
#[derive(Debug, Default)]
pub(crate) struct Inside {
    /// The loops that ran in it last time.
    known: Vec<Loop>,
    /// Those that ran in it now.
    loops: Vec<Loop>,
    seen: Seen,
}

impl Inside {
    /// The part as it was rendered.
    pub(crate) fn chunk(self, marked: &str) -> Chunk {
        Chunk::new(strip(marked), self.seen, self.loops)
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        catalogue: &'a Catalogue,
        env: &'a BTreeMap<String, String>,
        loops: &'a [Body],
        changed: BTreeSet<&'a Query>,
    ) -> Self {
        Self { catalogue, env, loops, changed, inside: Mutex::default() }
    }

    /// Gives a render the helpers that read from here: those that its source names, and its loops.
    pub(crate) fn lend<'rc>(&'rc self, named: &[Named], render: &mut RenderContext<'_, 'rc>) {
        for Named { name, signature, reading } in named.iter().copied() {
            render.register_local_helper(name, Box::new(Reads { reader: self, signature, reading }));
        }
        for reading in loops::KINDS.into_iter().filter(|_| !self.loops.is_empty()) {
            render.register_local_helper(loops::name(reading), Box::new(Each { reader: self, reading }));
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes into a part, in which these loops ran last time. Returns what is outside of it.
    pub(crate) fn enter(&self, known: Vec<Loop>) -> Inside {
        std::mem::replace(&mut *self.inside(), Inside { known, ..Inside::default() })
    }

    /// Goes back outside. Returns what was seen inside.
    pub(crate) fn leave(&self, outside: Inside) -> Inside {
        std::mem::replace(&mut *self.inside(), outside)
    }

    /// The turns of a loop that ran here last time, with the same values around it.
    pub(crate) fn known_turns(&self, id: usize, outer: &[Option<String>]) -> Vec<Turn> {
        let known = &mut self.inside().known;
        let found = known.iter().position(|one| one.id == id).map(|at| known.swap_remove(at));
        found.filter(|one| one.outer == outer).map(|one| one.turns).unwrap_or_default()
    }

    /// A loop ran here.
    pub(crate) fn ran(&self, one: Loop) {
        self.inside().loops.push(one);
    }

    /// The answer to a query; noted as read, and as waited for where it is not known.
    fn ask(&self, query: &Query) -> Option<&'a Answer> {
        let entry = self.catalogue.entry(query);
        let name = entry.map_or_else(|| Arc::new(query.clone()), |(name, _)| name.clone());
        let seen = &mut self.inside().seen;
        if entry.is_none() {
            seen.waiting.push(name.clone());
        }
        seen.reads.push(name);
        entry.map(|(_, answer)| answer)
    }

    /// What a helper selects, item by item.
    fn select(&self, selection: &Selection) -> Vec<Item> {
        self.ask(&selection.query()).map(|answer| selection.select(answer)).unwrap_or_default()
    }

    /// The items of a loop over what `reading` reads. The helper has its parameters.
    pub(crate) fn items(&self, reading: Reading, helper: &Helper<'_>) -> Result<Vec<Item>, RenderError> {
        match selection(reading, helper) {
            Ok(Some(selection)) => Ok(self.select(&selection)),
            Ok(None) => Ok(Vec::new()),
            Err(message) => Err(failed(loops::reader(reading), &message)),
        }
    }

    fn key(&self, path: &str, datacenter: Option<String>) -> Option<&'a str> {
        match self.ask(&Query::Key { path: key_path(path), datacenter })? {
            Answer::Value(value) => value.as_deref(),
            _ => None,
        }
    }

    /// A key that must exist: waited for until it does.
    fn existing_key(&self, path: &str, datacenter: Option<String>) -> &'a str {
        let value = self.key(path, datacenter.clone());
        if value.is_none() {
            let query = Query::Key { path: key_path(path), datacenter };
            let entry = self.catalogue.entry(&query).map(|(query, _)| query.clone());
            self.inside().seen.waiting.push(entry.unwrap_or_else(|| Arc::new(query)));
        }
        value.unwrap_or_default()
    }
}

struct Reads<'a> {
    reader: &'a Reader<'a>,
    signature: &'static Signature,
    reading: Reading,
}

impl HelperDef for Reads<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let value = self.read(helper).map_err(|message| failed(helper.name(), &message))?;
        Ok(ScopedJson::Derived(value))
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = self.call_inner(helper, registry, context, render)?;
        write(self.signature, helper, value.as_json(), (registry, context), render, out)
    }
}

impl Reads<'_> {
    fn read(&self, helper: &Helper<'_>) -> Result<Value, String> {
        let reader = self.reader;
        if let Some(selection) = selection(self.reading, helper)? {
            return Ok(reader.select(&selection).iter().filter_map(Item::value).collect());
        }
        let (text, datacenter) = (text(helper, 0)?, hash(helper, "datacenter")?);
        let otherwise = || self::text(helper, 1);
        Ok(match self.reading {
            Reading::Key => reader.existing_key(&text, datacenter).into(),
            Reading::KeyOrDefault => {
                let value = reader.key(&text, datacenter).filter(|value| !value.is_empty());
                value.map_or_else(otherwise, |value| Ok(value.to_owned()))?.into()
            }
            Reading::KeyExists => reader.key(&text, datacenter).is_some().into(),
            Reading::Env => reader.env.get(&text).map(String::as_str).unwrap_or_default().into(),
            Reading::EnvOrDefault => reader.env.get(&text).cloned().map_or_else(otherwise, Ok)?.into(),
            Reading::Service | Reading::Services | Reading::Keys | Reading::Tree => Value::Null,
        })
    }
}

/// What a call selects from the catalogue; `None` of a helper that reads a single value.
fn selection(reading: Reading, helper: &Helper<'_>) -> Result<Option<Selection>, String> {
    let datacenter = hash(helper, "datacenter")?;
    Ok(match reading {
        Reading::Service => Some(service(helper)?),
        Reading::Services => Some(Selection::Services { datacenter, tag: hash(helper, "tag")? }),
        Reading::Keys | Reading::Tree => {
            let deep = reading == Reading::Tree;
            Some(Selection::Pairs { path: key_path(&text(helper, 0)?), datacenter, deep })
        }
        _ => None,
    })
}

fn service(helper: &Helper<'_>) -> Result<Selection, String> {
    let text = text(helper, 0)?;
    // What comes from data is a name and nothing else: data does not choose datacenters.
    let literal = helper.param(0).and_then(PathAndJson::try_get_constant_value).is_some();
    let name = if literal { ServiceName::written(&text)? } else { ServiceName::plain(&text)? };
    let status = hash(helper, "status")?.or(name.status.map(ToOwned::to_owned));
    Ok(Selection::Instances {
        name: name.name.to_owned(),
        datacenter: hash(helper, "datacenter")?.or(name.datacenter.map(ToOwned::to_owned)),
        tag: hash(helper, "tag")?.or(name.tag.map(ToOwned::to_owned)),
        statuses: parse_statuses(status.as_deref().unwrap_or("passing"))?,
    })
}

fn text(helper: &Helper<'_>, index: usize) -> Result<String, String> {
    let value = helper.param(index).map_or(&Value::Null, PathAndJson::value);
    Ok(text_of(value).ok_or_else(|| format!("parameter {} must be a text", index + 1))?.into_owned())
}

/// A `name=value` parameter; an empty one is as good as none.
fn hash(helper: &Helper<'_>, name: &str) -> Result<Option<String>, String> {
    let Some(value) = helper.hash_get(name) else { return Ok(None) };
    let text = text_of(value.value()).ok_or_else(|| format!("`{name}` must be a text"))?;
    Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
}
