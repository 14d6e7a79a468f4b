//! Finds the loops whose turns are kept from render to render, and what the body of each looks at besides its item.
//!
//! In: a template that the lint has passed. Out: the template with those loops renamed, so that [`Each`](crate::each::Each)
//! runs them, and what each body looks at. Those are the loops over what is read from the catalogue, and those that read it in
//! their bodies; all other loops are handlebars' own. The walk follows handlebars' rules for names, as the lint's does.

use std::collections::BTreeSet;

use handlebars::template::{BlockParam, HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, PathSeg};
use serde_json::Value;

use crate::lint::is_rule;
use crate::signature::{self, Does, Reading};

/// The hash parameter that tells a loop which one it is. No template can write it.
pub(crate) const ID: &str = "loop id";

/// What a loop is called that is kept; one that goes over a list as it was read, by what reads it. No template can write
/// such a name.
pub(crate) fn name(reading: Option<Reading>) -> &'static str {
    match reading {
        Some(Reading::Service) => "each of service",
        Some(Reading::Services) => "each of services",
        Some(Reading::Keys) => "each of keys",
        Some(Reading::Tree) => "each of tree",
        _ => "each of list",
    }
}

/// The helper that reads the list.
pub(crate) fn reader(reading: Reading) -> &'static str {
    name(Some(reading)).trim_start_matches("each of ")
}

/// What a loop can go over: a list as it was read, or what was made of one.
pub(crate) const KINDS: [Option<Reading>; 5] =
    [Some(Reading::Service), Some(Reading::Services), Some(Reading::Keys), Some(Reading::Tree), None];

/// What the body of a loop looks at besides its item.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) index: bool,
    pub(crate) first: bool,
    pub(crate) last: bool,
    /// Which values of `#with` it looks at outside of the loop: paths, from just outside. Items of the loops around it are
    /// not among them: a turn is known only inside of one with the same item.
    pub(crate) outer: BTreeSet<String>,
}

/// Renames the loops that are kept, and tells what their bodies look at, by number.
pub(crate) fn keep(template: &mut handlebars::Template) -> Vec<Body> {
    let root = Block { kind: Kind::Value, names: Vec::new() };
    let mut walk = Walk { blocks: vec![root], bodies: Vec::new() };
    walk.template(template);
    walk.bodies
}

struct Walk {
    /// The blocks around a place, outermost first.
    blocks: Vec<Block>,
    bodies: Vec<Body>,
}

struct Block {
    kind: Kind,
    /// Names given with `as |x|`.
    names: Vec<(String, Role)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Nothing, or one value: it has the `@` names of the block around it.
    Value,
    /// A loop that is kept, by number.
    Kept(usize),
    /// Any other loop.
    Loop,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Item,
    /// The index, or the key of a map.
    Index,
}

impl Walk {
    fn template(&mut self, template: &mut handlebars::Template) {
        for element in &mut template.elements {
            match element {
                TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => {
                    self.print(call);
                }
                TemplateElement::HelperBlock(call) => self.block(call),
                _ => {}
            }
        }
    }

    /// `{{ … }}`: a name alone is a path, unless there is a helper of that name.
    fn print(&mut self, call: &HelperTemplate) {
        if let (Parameter::Path(path), true) = (&call.name, call.params.is_empty() && call.hash.is_empty())
            && signature::find(call.name.as_name().unwrap_or_default()).is_none()
        {
            self.path(path);
        }
        self.params(call);
    }

    fn params(&mut self, call: &HelperTemplate) {
        for parameter in call.params.iter().chain(call.hash.values()) {
            match parameter {
                Parameter::Path(path) => self.path(path),
                Parameter::Subexpression(inner) => {
                    if let TemplateElement::Expression(call) = inner.as_element() {
                        self.params(call);
                    }
                }
                _ => {}
            }
        }
    }

    fn block(&mut self, call: &mut HelperTemplate) {
        self.params(call);
        let kind = match call.name.as_name().and_then(signature::find).map(signature::Signature::name) {
            Some("each") if is_kept(call) => {
                self.bodies.push(Body::default());
                Some(Kind::Kept(self.bodies.len() - 1))
            }
            Some("each") => Some(Kind::Loop),
            Some("with") => Some(Kind::Value),
            _ => None,
        };
        if let Some(kind) = kind {
            self.blocks.push(Block { kind, names: names(call) });
        }
        call.template.iter_mut().for_each(|body| self.template(body));
        if kind.is_some() {
            self.blocks.pop();
        }
        call.inverse.iter_mut().for_each(|otherwise| self.template(otherwise));
        if let Some(Kind::Kept(id)) = kind {
            rename(call, id);
        }
    }

    fn path(&mut self, path: &Path) {
        match path {
            Path::Local((ups, name, _)) => self.local(*ups, name),
            Path::Relative((segments, _)) => self.value(segments),
        }
    }

    /// `@index` and the like. What is not a loop has those of the block around it.
    fn local(&mut self, ups: usize, name: &str) {
        let Some(mut at) = (self.blocks.len() - 1).checked_sub(ups) else { return };
        while self.blocks[at].kind == Kind::Value && at > 0 {
            at -= 1;
        }
        match name {
            "index" => self.looks_at(at, |body| &mut body.index),
            "first" => self.looks_at(at, |body| &mut body.first),
            "last" => self.looks_at(at, |body| &mut body.last),
            _ => {}
        }
    }

    fn value(&mut self, segments: &[PathSeg]) {
        let ups = segments.iter().take_while(|segment| is_rule(segment, "path_up")).count();
        if segments.first().is_some_and(|segment| is_rule(segment, "path_root")) {
            return;
        }
        // The whole value that the path begins with: what is missing in it counts too.
        let first = segments.iter().find_map(|segment| match segment {
            PathSeg::Named(name) => Some(name.as_str()),
            _ => None,
        });
        // A block's names come first, whatever stands before them.
        if let Some((at, role)) = first.and_then(|name| self.named(name)) {
            self.looks_out_at(at, |_| format!("[{}]", first.unwrap_or_default()));
            if role == Role::Index {
                self.looks_at(at, |body| &mut body.index);
            }
            return;
        }
        let innermost = self.blocks.len() - 1;
        let at = innermost.checked_sub(ups).unwrap_or(innermost);
        let first = first.map_or_else(|| "this".to_owned(), |name| format!("[{name}]"));
        self.looks_out_at(at, |ups| format!("{}{first}", "../".repeat(ups)));
    }

    /// The innermost block that gives the name.
    fn named(&self, name: &str) -> Option<(usize, Role)> {
        let blocks = self.blocks.iter().enumerate().rev();
        let mut names = blocks.flat_map(|(at, block)| block.names.iter().map(move |named| (at, named)));
        names.find(|(_, (known, _))| known == name).map(|(at, (_, role))| (at, *role))
    }

    /// Something of the block `at` is looked at: where that is a value, the outermost kept loop inside of it must know. `path`
    /// makes the path to it, from so many levels further in.
    fn looks_out_at(&mut self, at: usize, path: impl Fn(usize) -> String) {
        let is_value = self.blocks[at].kind == Kind::Value && at > 0;
        let mut inside = self.blocks.iter().enumerate().skip(at + 1).filter(|_| is_value);
        let kept = |(inner, block): (usize, &Block)| match block.kind {
            Kind::Kept(id) => Some((inner, id)),
            _ => None,
        };
        if let Some((inner, id)) = inside.find_map(kept) {
            self.bodies[id].outer.insert(path(inner - 1 - at));
        }
    }

    fn looks_at(&mut self, at: usize, what: impl Fn(&mut Body) -> &mut bool) {
        if let Kind::Kept(id) = self.blocks[at].kind {
            *what(&mut self.bodies[id]) = true;
        }
    }
}

fn names(call: &HelperTemplate) -> Vec<(String, Role)> {
    let name = |parameter: &Parameter| parameter.as_name().unwrap_or_default().to_owned();
    match &call.block_param {
        Some(BlockParam::Single(item)) => vec![(name(item), Role::Item)],
        Some(BlockParam::Pair((item, index))) => vec![(name(item), Role::Item), (name(index), Role::Index)],
        _ => Vec::new(),
    }
}

/// Whether the loop goes over what is read, or reads in its body. (A loop around a kept one is kept, then.)
fn is_kept(call: &HelperTemplate) -> bool {
    params_read(call) || call.template.as_ref().is_some_and(reads)
}

fn reads(template: &handlebars::Template) -> bool {
    template.elements.iter().any(|element| match element {
        TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => call_reads(call),
        TemplateElement::HelperBlock(call) => {
            let branches = [&call.template, &call.inverse];
            call_reads(call) || branches.into_iter().flatten().any(reads)
        }
        _ => false,
    })
}

fn call_reads(call: &HelperTemplate) -> bool {
    reading(call).is_some() || params_read(call)
}

fn params_read(call: &HelperTemplate) -> bool {
    call.params.iter().chain(call.hash.values()).any(|parameter| match parameter {
        Parameter::Subexpression(inner) => {
            matches!(inner.as_element(), TemplateElement::Expression(call) if call_reads(call))
        }
        _ => false,
    })
}

/// What of the catalogue the call reads; the environment stays as it is.
fn reading(call: &HelperTemplate) -> Option<Reading> {
    match signature::find(call.name.as_name()?)?.does {
        Does::Reads(reading) if !matches!(reading, Reading::Env | Reading::EnvOrDefault) => Some(reading),
        _ => None,
    }
}

/// Gives a kept loop its name and number. Where it goes over a list as it is read, it takes the reading's parameters itself: the
/// list need not be made then.
fn rename(call: &mut HelperTemplate, id: usize) {
    let list = match call.params.as_mut_slice() {
        [Parameter::Subexpression(inner)] => match &mut *inner.element {
            TemplateElement::Expression(inner) => reading(inner).map(|reading| (reading, inner)),
            _ => None,
        },
        _ => None,
    };
    let direct = list.filter(|(reading, _)| KINDS.contains(&Some(*reading)));
    let reading = direct.as_ref().map(|(reading, _)| *reading);
    if let Some((_, inner)) = direct {
        (call.params, call.hash) = (std::mem::take(&mut inner.params), std::mem::take(&mut inner.hash));
    }
    call.name = Parameter::Name(name(reading).to_owned());
    call.hash.insert(ID.to_owned(), Parameter::Literal(Value::from(id)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(source: &str) -> Vec<Body> {
        keep(&mut handlebars::Template::compile(source).unwrap())
    }

    fn body(flags: &str, outer: &[&str]) -> Body {
        let has = |name: &str| flags.contains(name);
        let outer = outer.iter().map(ToString::to_string).collect();
        Body { index: has("index"), first: has("first"), last: has("last"), outer }
    }

    #[test]
    fn loops_over_what_is_read_are_kept_and_what_they_look_at_is_known() {
        let cases: &[(&str, &[Body])] = &[
            ("{{#each (split \"a\" \",\")}}{{this}}{{/each}}", &[]),
            ("{{#each (sort (service \"a\") \"ID\")}}{{ID}}{{@last}}{{/each}}", &[body("last", &[])]),
            (
                "{{#each (services)}}{{#each (service Name)}}{{../Name}}{{../../x}}{{@index}}{{@../first}}{{/each}}{{/each}}",
                &[body("first", &[]), body("index", &[])],
            ),
            (
                "{{#each (services) as |s i|}}{{#with s.Tags}}{{@index}}{{#each (service s.Name)}}{{i}}{{../this}}{{/each}}{{/with}}{{/each}}",
                &[body("index", &[]), body("", &["this"])],
            ),
            (
                "{{#each (service \"a\")}}{{#each Tags}}{{@index}}{{../ID}}{{/each}}{{else}}{{@index}}{{/each}}",
                &[body("", &[])],
            ),
            (
                "{{#each (service \"a\")}}{{#each (service \"b\") as |ID|}}{{ID.x}}{{/each}}{{lookup ../x 1}}{{/each}}",
                &[body("", &[]), body("", &[])],
            ),
            (
                "{{#with (first (service \"a\")) as |w|}}{{#with w}}{{#each (services)}}{{lookup ../x (concat ../../[y z] w.a)}}{{#each (service \"b\")}}{{../../x}}{{@../../index}}{{/each}}{{/each}}{{/with}}{{/with}}",
                &[body("", &["../[y z]", "[w]", "[x]"]), body("", &[])],
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(bodies(source), *expected, "{source}");
        }
    }
}
