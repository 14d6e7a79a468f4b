//! What names mean at a place in a template: the blocks around it, as handlebars looks names up in them.

use handlebars::{Path, PathSeg};

use super::types::{NoField, Type};

/// The blocks around a place, outermost first.
#[derive(Debug)]
pub(crate) struct Scope {
    blocks: Vec<Block>,
}

/// One `#each` or `#with`.
#[derive(Debug)]
pub(crate) struct Block {
    /// What fields are looked up in.
    pub(crate) this: Type,
    /// Names given with `as |x|`.
    pub(crate) names: Vec<(String, Type)>,
    /// Names with `@`.
    pub(crate) locals: &'static [&'static str],
}

/// `@` names in a loop over a list.
pub(crate) const LIST_LOCALS: &[&str] = &["index", "first", "last"];
/// `@` names in a loop over a map, or over something whose type is not known.
pub(crate) const MAP_LOCALS: &[&str] = &["index", "first", "last", "key"];

impl Default for Scope {
    fn default() -> Self {
        Self { blocks: vec![Block { this: Type::Nothing, names: Vec::new(), locals: &[] }] }
    }
}

impl Scope {
    pub(crate) fn push(&mut self, block: Block) {
        self.blocks.push(block);
    }

    pub(crate) fn pop(&mut self) {
        self.blocks.pop();
    }

    /// The `@` names of the innermost block, which `#with` passes on.
    pub(crate) fn locals(&self) -> &'static [&'static str] {
        self.blocks.last().map_or(&[], |block| block.locals)
    }

    fn named(&self, name: &str) -> Option<&Type> {
        let names = self.blocks.iter().rev().flat_map(|block| &block.names);
        names.into_iter().find_map(|(known, kind)| (known == name).then_some(kind))
    }

    fn up(&self, levels: usize) -> Result<&Block, NoField> {
        let index = self.blocks.len().checked_sub(levels + 1);
        index.and_then(|index| self.blocks.get(index)).ok_or_else(|| NoField {
            message: "`../` goes further out than the outermost block".to_owned(),
            hint: Some("only `#each` and `#with` are levels; `#if` and `#unless` are not".to_owned()),
        })
    }

    /// The type of what a path leads to.
    pub(crate) fn resolve(&self, path: &Path) -> Result<Type, NoField> {
        match path {
            Path::Local((levels, name, _)) => self.local(*levels, name),
            Path::Relative((segments, _)) => self.relative(segments),
        }
    }

    fn local(&self, levels: usize, name: &str) -> Result<Type, NoField> {
        let block = self.up(levels)?;
        if !block.locals.contains(&name) {
            let hint = match name {
                "index" | "first" | "last" => "it is known inside `#each`",
                "key" => "it is known inside `#each` over a map",
                _ => "there are `@index`, `@first`, `@last` and `@key`",
            };
            return Err(NoField {
                message: format!("`@{name}` is not known here"),
                hint: Some(hint.to_owned()),
            });
        }
        Ok(match name {
            "index" => Type::Number,
            "key" => Type::Text,
            _ => Type::Truth,
        })
    }

    fn relative(&self, segments: &[PathSeg]) -> Result<Type, NoField> {
        let ups = segments.iter().take_while(|segment| is_rule(segment, "path_up")).count();
        let root = segments.first().is_some_and(|segment| is_rule(segment, "path_root"));
        let names: Vec<&str> = segments.iter().filter_map(named_segment).collect();
        // handlebars looks for a block's names first, whatever stands before them.
        if let (false, Some((first, rest))) = (root, names.split_first())
            && let Some(kind) = self.named(first)
        {
            return fields(kind.clone(), rest);
        }
        let this = if root { Type::Nothing } else { self.up(ups)?.this.clone() };
        fields(this, &names)
    }
}

fn fields(start: Type, names: &[&str]) -> Result<Type, NoField> {
    names.iter().try_fold(start, |kind, name| kind.field(name))
}

fn named_segment(segment: &PathSeg) -> Option<&str> {
    match segment {
        PathSeg::Named(name) => Some(name),
        _ => None,
    }
}

/// The grammar's rules are not public; their names are what they print as.
pub(crate) fn is_rule(segment: &PathSeg, rule: &str) -> bool {
    match segment {
        PathSeg::Ruled(found) => format!("{found:?}") == rule,
        _ => false,
    }
}
