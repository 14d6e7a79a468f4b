//! Checks one call of a helper: its name, how many parameters, of which kinds, and those that are written out.

use std::collections::BTreeSet;

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use serde_json::Value;
use weir_pools::Query;

use super::types::Type;
use super::{Walk, given, raw};
use crate::problem::did_you_mean;
use crate::selection::{Selection, ServiceName, key_path, parse_statuses};
use crate::signature::{self, Does, Gives, Reading, Signature, Takes};
use crate::texts::pattern;

impl Walk<'_> {
    /// A helper that is called for its value.
    pub(super) fn call(&mut self, name: &str, call: &HelperTemplate) -> Type {
        let Some(signature) = signature::find(name) else {
            self.unknown_helper(name, call);
            return Type::Unknown;
        };
        if signature.gives == Gives::Block {
            let hint = format!("`{{{{#{name} …}}}} … {{{{/{name}}}}}`");
            self.problem(name, format!("`{name}` is a block"), Some(hint));
            return Type::Unknown;
        }
        let params = self.params(signature, name, call);
        given(signature, &params)
    }

    fn unknown_helper(&mut self, name: &str, call: &HelperTemplate) {
        let theirs = super::syntax::hint(&format!("{{{{{name} ()}}}}"));
        let hint = theirs.or_else(|| did_you_mean(name, signature::names()));
        self.problem(name, format!("unknown helper `{name}`"), hint);
        for parameter in call.params.iter().chain(call.hash.values()) {
            self.parameter(parameter);
        }
    }

    /// Checks the parameters against what the helper takes. Returns their types.
    pub(super) fn params(&mut self, signature: &Signature, name: &str, call: &HelperTemplate) -> Vec<Type> {
        self.count(signature, name, call.params.len());
        self.hash(signature, name, call);
        let mut kinds = Vec::new();
        for (index, parameter) in call.params.iter().enumerate() {
            let kind = self.parameter(parameter);
            let takes = signature.takes_at(index);
            if !fits(takes, &kind) {
                let message = format!("parameter {} of `{name}` is {}", index + 1, kind.described());
                let hint = format!("it must be {}: `{}`", wanted(takes), signature.usage);
                self.problem(name, message, Some(hint));
            }
            kinds.push(kind);
        }
        self.special(signature, name, call, &kinds);
        self.note_query(signature, call);
        kinds
    }

    fn count(&mut self, signature: &Signature, name: &str, given: usize) {
        let max = if signature.is_variadic() { usize::MAX } else { signature.takes.len() };
        if given < signature.min || given > max {
            let parameters = if given == 1 { "parameter" } else { "parameters" };
            let message = format!("`{name}` does not take {given} {parameters}");
            self.problem(name, message, Some(format!("`{}`", signature.usage)));
        }
    }

    fn hash(&mut self, signature: &Signature, name: &str, call: &HelperTemplate) {
        for (key, value) in &call.hash {
            if !signature.hash.contains(&key.as_str()) {
                let known = || {
                    (!signature.hash.is_empty()).then(|| format!("it knows {}", signature.hash.join(", ")))
                };
                let hint = did_you_mean(key, signature.hash.iter().copied()).or_else(known);
                self.problem(key, format!("`{name}` does not know `{key}=`"), hint);
            }
            let kind = self.parameter(value);
            if !fits(Takes::Text, &kind) {
                self.problem(key, format!("`{key}=` is {}, it must be a text", kind.described()), None);
            }
        }
    }

    /// The type of a parameter.
    pub(super) fn parameter(&mut self, parameter: &Parameter) -> Type {
        match parameter {
            Parameter::Literal(value) => literal_type(value),
            Parameter::Path(path) => self.path(path),
            Parameter::Subexpression(inner) => match inner.as_element() {
                TemplateElement::Expression(call) => self.subexpression(call),
                _ => Type::Unknown,
            },
            _ => Type::Unknown,
        }
    }

    fn subexpression(&mut self, call: &HelperTemplate) -> Type {
        match &call.name {
            Parameter::Name(name) => self.call(name, call),
            Parameter::Path(path) => self.call(raw(path), call),
            Parameter::Subexpression(inner) => self.parameter(&Parameter::Subexpression(inner.clone())),
            _ => Type::Unknown,
        }
    }

    /// What can be said of parameters that are written out.
    fn special(&mut self, signature: &Signature, name: &str, call: &HelperTemplate, params: &[Type]) {
        match signature.name() {
            "service" => self.service(name, call),
            "sort" | "unique" => self.sort_field(call, params),
            "lookup" => self.looked_up(call, params),
            "regex_match" | "regex_replace" => self.regex(name, call),
            _ => {}
        }
        if matches!(signature.name(), "split" | "replace" | "regex_match" | "regex_replace")
            && text_at(call, 0).is_some()
            && (1..call.params.len()).any(|index| text_at(call, index).is_none())
        {
            let hint = format!("`{}`", signature.usage);
            self.problem(name, format!("the text that `{name}` works on comes first"), Some(hint));
        }
    }

    fn service(&mut self, name: &str, call: &HelperTemplate) {
        let status = call.hash.get("status").and_then(literal_text);
        if let Some(Err(message)) = status.map(parse_statuses) {
            self.problem("status", message, None);
        }
        match text_at(call, 0).map(ServiceName::written) {
            Some(Ok(written)) => {
                if let Some(Err(message)) = written.status.map(parse_statuses) {
                    self.problem(name, message, None);
                }
            }
            Some(Err(message)) => self.problem(name, message, None),
            None => {}
        }
    }

    /// The field that a list is sorted by, in the items of the list.
    fn sort_field(&mut self, call: &HelperTemplate, params: &[Type]) {
        let Some(field) = text_at(call, 1) else { return };
        let start = params.first().map_or(Type::Unknown, Type::item);
        if let Err(why) = field.split('.').try_fold(start, |kind, name| kind.field(name)) {
            self.problem(field, why.message, why.hint);
        }
    }

    fn looked_up(&mut self, call: &HelperTemplate, params: &[Type]) {
        let (Some(Type::Record(record)), Some(field)) = (params.first(), text_at(call, 1)) else { return };
        if let Err(why) = Type::Record(*record).field(field) {
            self.problem(field, why.message, why.hint);
        }
    }

    fn regex(&mut self, name: &str, call: &HelperTemplate) {
        if let Some(Err(message)) = text_at(call, 1).map(pattern) {
            self.problem(name, message, Some("the patterns are Rust's (crate regex)".to_owned()));
        }
    }

    /// Notes the query of a call whose parameters are written out.
    fn note_query(&mut self, signature: &Signature, call: &HelperTemplate) {
        let Does::Reads(reading) = signature.does else { return };
        let datacenter = match call.hash.get("datacenter") {
            None => None,
            Some(parameter) => match literal_text(parameter) {
                Some(text) => Some(text.to_owned()).filter(|text| !text.is_empty()),
                None => return,
            },
        };
        self.queries.extend(named_query(reading, text_at(call, 0), datacenter));
    }
}

fn named_query(reading: Reading, text: Option<&str>, datacenter: Option<String>) -> BTreeSet<Query> {
    let query = match (reading, text) {
        (Reading::Services, _) => Some(Query::Services { datacenter }),
        (Reading::Service, Some(text)) => ServiceName::written(text).ok().map(|written| Query::Service {
            name: written.name.to_owned(),
            datacenter: datacenter.or(written.datacenter.map(ToOwned::to_owned)),
        }),
        (Reading::Key | Reading::KeyOrDefault | Reading::KeyExists, Some(path)) => {
            Some(Query::Key { path: key_path(path), datacenter })
        }
        (Reading::Keys | Reading::Tree, Some(path)) => {
            let pairs = Selection::Pairs { path: key_path(path), datacenter, deep: true };
            Some(pairs.query())
        }
        _ => None,
    };
    query.into_iter().collect()
}

fn text_at(call: &HelperTemplate, index: usize) -> Option<&str> {
    call.params.get(index).and_then(literal_text)
}

fn literal_text(parameter: &Parameter) -> Option<&str> {
    match parameter {
        Parameter::Literal(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn literal_type(value: &Value) -> Type {
    match value {
        Value::String(_) => Type::Text,
        Value::Number(_) => Type::Number,
        Value::Bool(_) => Type::Truth,
        Value::Array(items) => Type::list(items.first().map_or(Type::Unknown, literal_type)),
        Value::Null | Value::Object(_) => Type::Unknown,
    }
}

fn fits(takes: Takes, kind: &Type) -> bool {
    match (takes, kind) {
        (_, Type::Nothing) => false,
        (_, Type::Unknown) | (Takes::Any, _) => true,
        (Takes::Text, kind) => kind.prints(),
        (Takes::Number, kind) => matches!(kind, Type::Text | Type::Number),
        (Takes::List, kind) => matches!(kind, Type::List(_)),
        (Takes::Many, kind) => matches!(kind, Type::List(_) | Type::Map(_) | Type::Text | Type::Number),
    }
}

fn wanted(takes: Takes) -> &'static str {
    match takes {
        Takes::Any => "a value",
        Takes::Text => "a text",
        Takes::Number => "a number",
        Takes::List => "a list",
        Takes::Many => "a list, a map or a text",
    }
}
