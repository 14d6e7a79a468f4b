//! Helpers that read the catalogue and the environment, and what they read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, PathAndJson, RenderContext, RenderError,
    ScopedJson,
};
use serde_json::Value;
use weir_pools::{Answer, Catalogue, Query};

use crate::args::text_of;
use crate::pure::{failed, write};
use crate::selection::{Selection, ServiceName, key_path, parse_statuses};
use crate::signature::{Does, Reading, SIGNATURES, Signature};
use crate::store::Store;

/// What one render reads from, and what it has read so far.
pub(crate) struct Reader<'a> {
    catalogue: &'a Catalogue,
    env: &'a BTreeMap<String, String>,
    store: &'a Store,
    seen: Mutex<Seen>,
}

/// What a render has read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) reads: BTreeSet<Query>,
    pub(crate) waiting: BTreeSet<Query>,
    pub(crate) selected: BTreeSet<Selection>,
}

impl Seen {
    /// Adds what another part of the render has read.
    pub(crate) fn add(&mut self, other: &Self) {
        self.reads.extend(other.reads.iter().cloned());
        self.waiting.extend(other.waiting.iter().cloned());
        self.selected.extend(other.selected.iter().cloned());
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(catalogue: &'a Catalogue, env: &'a BTreeMap<String, String>, store: &'a Store) -> Self {
        Self { catalogue, env, store, seen: Mutex::default() }
    }

    /// Puts the helpers that read from here into a registry.
    pub(crate) fn register<'reg>(&'reg self, registry: &mut Handlebars<'reg>) {
        for signature in SIGNATURES {
            if let Does::Reads(reading) = signature.does {
                for name in signature.names {
                    registry.register_helper(name, Box::new(Reads { reader: self, signature, reading }));
                }
            }
        }
    }

    /// What was read since the last time this was asked.
    pub(crate) fn take_seen(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The answer to a query; noted as read, and as waited for where it is not known.
    fn ask(&self, query: Query) -> Option<&'a Answer> {
        let answer = self.catalogue.get(&query);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.is_none() {
            seen.waiting.insert(query.clone());
        }
        seen.reads.insert(query);
        answer
    }

    /// A list: a reference into the context where the last render left it there.
    fn list<'rc>(&self, selection: Selection, context: &'rc Context) -> ScopedJson<'rc> {
        let Some(answer) = self.ask(selection.query()) else {
            return ScopedJson::Derived(Value::Array(Vec::new()));
        };
        let kept = self.store.slot(&selection).and_then(|slot| Some((context.data().get(slot)?, slot)));
        let list = match kept {
            Some((list, slot)) => ScopedJson::Context(list, vec![slot.to_owned()]),
            None => ScopedJson::Derived(selection.select(answer)),
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).selected.insert(selection);
        list
    }

    fn key(&self, path: &str, datacenter: Option<String>) -> Option<&'a str> {
        match self.ask(Query::Key { path: key_path(path), datacenter })? {
            Answer::Value(value) => value.as_deref(),
            _ => None,
        }
    }

    /// A key that must exist: waited for until it does.
    fn existing_key(&self, path: &str, datacenter: Option<String>) -> &'a str {
        let value = self.key(path, datacenter.clone());
        if value.is_none() {
            let query = Query::Key { path: key_path(path), datacenter };
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).waiting.insert(query);
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
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        self.read(helper, context).map_err(|message| failed(helper, &message))
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
    fn read<'rc>(&self, helper: &Helper<'rc>, context: &'rc Context) -> Result<ScopedJson<'rc>, String> {
        let reader = self.reader;
        let datacenter = hash(helper, "datacenter")?;
        let value = match self.reading {
            Reading::Service => return Ok(reader.list(service(helper)?, context)),
            Reading::Services => {
                let selection = Selection::Services { datacenter, tag: hash(helper, "tag")? };
                return Ok(reader.list(selection, context));
            }
            Reading::Keys | Reading::Tree => {
                let deep = self.reading == Reading::Tree;
                let selection = Selection::Pairs { path: key_path(&text(helper, 0)?), datacenter, deep };
                return Ok(reader.list(selection, context));
            }
            Reading::Key => Value::from(reader.existing_key(&text(helper, 0)?, datacenter)),
            Reading::KeyOrDefault => {
                let value = reader.key(&text(helper, 0)?, datacenter).filter(|value| !value.is_empty());
                value.map_or_else(|| text(helper, 1), |value| Ok(value.to_owned()))?.into()
            }
            Reading::KeyExists => Value::from(reader.key(&text(helper, 0)?, datacenter).is_some()),
            Reading::Env => {
                Value::from(reader.env.get(&text(helper, 0)?).map(String::as_str).unwrap_or_default())
            }
            Reading::EnvOrDefault => {
                let value = reader.env.get(&text(helper, 0)?);
                value.map_or_else(|| text(helper, 1), |value| Ok(value.clone()))?.into()
            }
        };
        Ok(ScopedJson::Derived(value))
    }
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
