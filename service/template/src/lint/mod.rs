//! Checks a template without rendering it: every name, every helper, every parameter that is written out.
//!
//! In: a source and handlebars' tree of it. Out: the queries that the source names, or all problems. The walk
//! follows the rules by which handlebars looks names up, with types in place of values.

mod call;
mod pieces;
mod place;
mod scope;
mod syntax;
mod types;

use std::collections::BTreeSet;

use handlebars::Path;
use handlebars::template::{BlockParam, HelperTemplate, Parameter, TemplateElement};
use weir_pools::Query;

pub(crate) use self::place::Place;
pub(crate) use self::scope::is_rule;
use self::scope::{Block, LIST_LOCALS, MAP_LOCALS, Scope};
pub(crate) use self::syntax::parse;
use self::types::{NoField, Type};
use crate::problem::{Problem, did_you_mean};
use crate::signature::{self, Gives, Signature};

/// Checks a template. Returns the queries that it names.
pub(crate) fn check(source: &str, template: &handlebars::Template) -> Result<BTreeSet<Query>, Vec<Problem>> {
    let mut walk = Walk {
        place: Place::new(source),
        scope: Scope::default(),
        problems: BTreeSet::new(),
        queries: BTreeSet::new(),
    };
    walk.template(template);
    if walk.problems.is_empty() { Ok(walk.queries) } else { Err(walk.problems.into_iter().collect()) }
}

struct Walk<'a> {
    place: Place<'a>,
    scope: Scope,
    /// Sorted by place.
    problems: BTreeSet<Problem>,
    queries: BTreeSet<Query>,
}

impl Walk<'_> {
    fn problem(&mut self, word: &str, message: impl Into<String>, hint: Option<String>) {
        let (line, column) = self.place.of(word);
        self.problems.insert(Problem { line, column, message: message.into(), hint });
    }

    fn template(&mut self, template: &handlebars::Template) {
        for (index, element) in template.elements.iter().enumerate() {
            match template.mapping.get(index) {
                Some(tag) => self.place.enter(tag.0, tag.1),
                None => self.place.enter_else(),
            }
            self.element(element);
        }
    }

    fn element(&mut self, element: &TemplateElement) {
        match element {
            TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => self.print(call),
            TemplateElement::HelperBlock(call) => self.block(call),
            TemplateElement::PartialExpression(_) | TemplateElement::PartialBlock(_) => {
                self.problem("{{", "partials (`{{> name}}`) are not supported", Some(NO_PARTIALS.to_owned()));
            }
            TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => {
                self.problem(
                    "{{",
                    "decorators (`{{* name}}`, `{{#* inline}}`) are not supported",
                    Some(NO_PARTIALS.to_owned()),
                );
            }
            _ => {}
        }
    }

    /// `{{ … }}`
    fn print(&mut self, call: &HelperTemplate) {
        let kind = match &call.name {
            Parameter::Name(name) => self.call(name, call),
            Parameter::Path(path) => self.name_or_path(path, call),
            Parameter::Subexpression(_) => {
                self.problem(
                    "(",
                    "parentheses around all that is printed",
                    Some("leave them out".to_owned()),
                );
                Type::Unknown
            }
            _ => Type::Text,
        };
        if !kind.prints() {
            let word = call.name.as_name().unwrap_or_default().to_owned();
            let value = if call.params.is_empty() { word.clone() } else { format!("({word} …)") };
            let theirs = syntax::hint(&format!("{{{{{word} }}}}"));
            let hint = theirs.or_else(|| printing_hint(&kind, &value));
            self.problem(&word, format!("{} cannot be printed", kind.described()), hint);
        }
    }

    /// A name alone is a helper if there is one of that name, else a path.
    fn name_or_path(&mut self, path: &Path, call: &HelperTemplate) -> Type {
        let raw = raw(path);
        if signature::find(raw).is_some() {
            return self.call(raw, call);
        }
        self.path(path)
    }

    fn path(&mut self, path: &Path) -> Type {
        match self.scope.resolve(path) {
            Ok(kind) => kind,
            Err(NoField { message, hint }) => {
                self.problem(raw(path), message, helper_hint(raw(path)).or(hint));
                Type::Unknown
            }
        }
    }

    /// `{{#name …}} … {{/name}}`
    fn block(&mut self, call: &HelperTemplate) {
        let name = call.name.as_name().unwrap_or_default().to_owned();
        let Some(signature) = signature::find(&name) else {
            self.unknown_block(&name);
            return self.branches(call);
        };
        // A raw block holds text only.
        if signature.name() == "raw" {
            return;
        }
        if !matches!(signature.gives, Gives::Block | Gives::Truth | Gives::Either) {
            let hint = format!("`{{{{#each ({})}}}} … {{{{/each}}}}`", signature.usage);
            self.problem(&name, format!("`{name}` is not a block"), Some(hint));
        }
        let value = self.params(signature, &name, call).into_iter().next().unwrap_or(Type::Unknown);
        match signature.name() {
            "each" => self.each(call, &value),
            "with" => self.with(call, value),
            _ => {
                self.no_names(call, &name);
                self.branches(call);
            }
        }
    }

    fn unknown_block(&mut self, name: &str) {
        let hint = did_you_mean(name, ["each", "if", "unless", "with"]);
        let hint =
            hint.unwrap_or_else(|| format!("to loop over a list: `{{{{#each {name}}}}} … {{{{/each}}}}`"));
        self.problem(name, format!("unknown block `{name}`"), Some(hint));
    }

    fn branches(&mut self, call: &HelperTemplate) {
        call.template.iter().for_each(|branch| self.template(branch));
        call.inverse.iter().for_each(|branch| self.template(branch));
    }

    fn inside(&mut self, call: &HelperTemplate, block: Block) {
        self.scope.push(block);
        call.template.iter().for_each(|branch| self.template(branch));
        self.scope.pop();
        // The other branch is rendered without the block.
        call.inverse.iter().for_each(|branch| self.template(branch));
    }

    fn each(&mut self, call: &HelperTemplate, list: &Type) {
        if !matches!(list, Type::List(_) | Type::Map(_) | Type::Unknown) {
            self.problem(
                "each",
                format!("`#each` wants a list or a map, this is {}", list.described()),
                None,
            );
        }
        let (locals, key) = match list {
            Type::List(_) => (LIST_LOCALS, Type::Number),
            Type::Map(_) => (MAP_LOCALS, Type::Text),
            _ => (MAP_LOCALS, Type::Unknown),
        };
        let names = match &call.block_param {
            Some(BlockParam::Single(item)) => vec![self.named(item, list.item())],
            Some(BlockParam::Pair((item, index))) => {
                vec![self.named(item, list.item()), self.named(index, key)]
            }
            _ => Vec::new(),
        };
        self.inside(call, Block { this: list.item(), names, locals });
    }

    fn with(&mut self, call: &HelperTemplate, value: Type) {
        let names = match &call.block_param {
            Some(BlockParam::Single(name)) => vec![self.named(name, value.clone())],
            Some(BlockParam::Pair(_)) => {
                self.problem("as", "`#with` gives one name", None);
                Vec::new()
            }
            _ => Vec::new(),
        };
        let locals = self.scope.locals();
        self.inside(call, Block { this: value, names, locals });
    }

    fn no_names(&mut self, call: &HelperTemplate, name: &str) {
        if call.block_param.is_some() {
            self.problem("as", format!("`#{name}` gives no names"), None);
        }
    }

    /// A name given with `as |name|`. A helper of the same name would win over it.
    fn named(&mut self, parameter: &Parameter, kind: Type) -> (String, Type) {
        let name = parameter.as_name().unwrap_or_default().to_owned();
        if signature::find(&name).is_some() {
            let message = format!("`{name}` is the name of a helper; the value could not be printed");
            self.problem(&name, message, Some("choose another name".to_owned()));
        }
        (name, kind)
    }
}

const NO_PARTIALS: &str = "write the text out, or loop over what differs";

fn raw(path: &Path) -> &str {
    match path {
        Path::Relative((_, raw)) | Path::Local((_, _, raw)) => raw,
    }
}

/// For a single word that is nothing: the helper or the word of Consul Template that may be meant.
fn helper_hint(word: &str) -> Option<String> {
    if word.contains(['.', '/', '@']) {
        return None;
    }
    if signature::find(word).is_some() {
        return Some(format!("to call the helper: `({word} …)`"));
    }
    let takes_nothing = |name: &&str| signature::find(name).is_some_and(|signature| signature.min == 0);
    syntax::hint(&format!("{{{{{word}}}}}"))
        .or_else(|| did_you_mean(word, signature::names().filter(takes_nothing)))
}

fn printing_hint(kind: &Type, word: &str) -> Option<String> {
    match kind {
        Type::List(item) if item.prints() => Some(format!("`{{{{join {word} \",\"}}}}`")),
        Type::List(_) | Type::Map(_) => Some("loop over it with `#each`".to_owned()),
        Type::Record(record) => {
            let fields: Vec<&str> = record.fields().iter().map(|(name, _)| *name).collect();
            Some(format!("print one of its fields: {}", fields.join(", ")))
        }
        _ => None,
    }
}

/// What a helper gives, from what its parameters are.
fn given(signature: &Signature, params: &[Type]) -> Type {
    let first = || params.first().cloned().unwrap_or(Type::Unknown);
    match signature.gives {
        Gives::Unknown | Gives::Block => Type::Unknown,
        Gives::Text => Type::Text,
        Gives::Number => Type::Number,
        Gives::Truth => Type::Truth,
        Gives::Same => first(),
        Gives::Either => either(params),
        Gives::Item => first().item(),
        Gives::Groups => Type::Map(Box::new(first())),
        Gives::Texts => Type::list(Type::Text),
        Gives::Numbers => Type::list(Type::Number),
        Gives::Instances => Type::list(Type::Record(types::Record::Instance)),
        Gives::Services => Type::list(Type::Record(types::Record::Service)),
        Gives::Pairs => Type::list(Type::Record(types::Record::KeyPair)),
    }
}

/// One of several values.
fn either(params: &[Type]) -> Type {
    match params {
        [first, rest @ ..] if rest.iter().all(|kind| kind == first) => first.clone(),
        _ if params.iter().all(Type::prints) => Type::Text,
        _ => Type::Unknown,
    }
}
