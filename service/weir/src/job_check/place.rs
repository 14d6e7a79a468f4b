//! Where in a job file something stands.

use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::structure::{Block, Structure};
use weir_scaling::Problem;

/// A place in the text, in bytes from its beginning.
pub(super) type Span = Range<usize>;

/// The line of a place, from 1.
pub(super) fn line(text: &str, at: &Span) -> usize {
    1 + text.get(..at.start).unwrap_or_default().matches('\n').count()
}

/// The line of a problem of the policy in `scaling`.
pub(crate) fn line_of(text: &str, scaling: &Block, problem: &Problem) -> usize {
    line(text, &standing(text, scaling, &problem.place, &problem.key, problem.nth))
}

/// Where a key of the policy in `scaling` stands; the policy's beginning where there is none.
pub(super) fn key_of(text: &str, scaling: &Block, key: &str) -> Span {
    standing(text, scaling, "", key, 0)
}

/// Where the key or block of this name stands in the block that `place` leads to, the `nth` of them; the block's
/// beginning where there is none.
fn standing(text: &str, scaling: &Block, place: &str, key: &str, nth: usize) -> Span {
    let Some(policy) = scaling.body.get_blocks("policy").next() else { return start(scaling) };
    let (blocks, missing) = led_to(policy, place);
    // `min` and `max` are the policy's and stand beside it.
    let beside = place.is_empty().then_some(scaling);
    let child = blocks.iter().copied().chain(beside).find_map(|block| children(block, key).nth(nth));
    // A value that is written as an object, or a block that another one makes.
    let found = child.or_else(|| blocks.iter().find_map(|block| word_in(text, block, key)));
    let found = found.or_else(|| children(blocks.first()?, missing).next());
    found.unwrap_or_else(|| start(blocks.first().unwrap_or(&policy)))
}

/// The blocks that a problem's place leads to (`check "load", strategy "concurrency"`; several where they are
/// called alike), and the part of it that leads no further.
fn led_to<'a, 'p>(policy: &'a Block, place: &'p str) -> (Vec<&'a Block>, &'p str) {
    let (mut blocks, mut rest) = (vec![policy], place);
    loop {
        let inner = blocks.iter().flat_map(|block| block.body.blocks());
        let led: Vec<_> = inner.filter_map(|block| Some((block, after(block, rest)?))).collect();
        let Some((_, left)) = led.first() else { return (blocks, rest) };
        rest = left;
        blocks = led.into_iter().map(|(block, _)| block).collect();
    }
}

/// What follows in a place after the name of this block.
fn after<'p>(block: &Block, place: &'p str) -> Option<&'p str> {
    let rest = place.strip_prefix(&*name_of(block))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(", ") }
}

/// A block as places name it: `check "load"`.
fn name_of(block: &Block) -> String {
    let label = block.labels.first().map_or(String::new(), |label| format!(" {:?}", label.as_str()));
    format!("{}{label}", block.ident.as_str())
}

/// Where in a block itself the keys and blocks of this name stand, with a label or without.
fn children<'a>(block: &'a Block, name: &'a str) -> impl Iterator<Item = Span> + 'a {
    block.body.iter().filter_map(move |structure| {
        let (key, is_labelled) = match structure {
            Structure::Attribute(attribute) => (&attribute.key, false),
            Structure::Block(block) => (&block.ident, name_of(block) == name),
        };
        (is_labelled || key.as_str() == name).then(|| key.span())?
    })
}

fn start(block: &Block) -> Span {
    block.ident.span().unwrap_or_default()
}

/// Where the key of this name stands somewhere in a block.
fn word_in(text: &str, block: &Block, name: &str) -> Option<Span> {
    let name = name.split(' ').next().filter(|name| !name.is_empty())?;
    let inside = block.ident.span()?.start..block.span()?.end;
    let at = inside.start + word(text.get(inside.clone())?, name)?;
    Some(at..at)
}

/// Where `name` stands in `text` as a whole word.
fn word(text: &str, name: &str) -> Option<usize> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back().is_some_and(inside);
        let after = text[at + name.len()..].chars().next().is_some_and(inside);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line in a `scaling` block.
    fn at(text: &str, place: &str, key: &str, nth: usize) -> usize {
        let body = hcl_edit::parser::parse_body(text).unwrap();
        let scaling = body.get_blocks("scaling").next().unwrap();
        line(text, &standing(text, scaling, place, key, nth))
    }

    #[test]
    fn a_whole_word_is_found_within_its_block() {
        let text = "scaling {\nmin = 1\npolicy {\n  cooldown = 2\n  cool = 3\n  x = { slot = 1 }\n}\n}\n";
        assert_eq!(at(text, "", "cool", 0), 5);
        assert_eq!(at(text, "", "", 0), 3);
        assert_eq!(at(text, "", "é", 0), 3);
        assert_eq!(at(text, "", "min", 0), 2);
        assert_eq!(at(text, "x", "slot", 0), 6);
        assert_eq!(at(text, "x", "", 0), 6);
    }

    #[test]
    fn a_problem_is_found_in_the_block_that_it_is_of() {
        let text = "scaling {\n policy {\n  check \"a\" {\n   strategy \"s\" {\n    slots = 1\n   }\n  }\n  \
                    check \"b, c\" {\n   strategy \"s\" {\n    slots = 2\n   }\n  }\n  slots = 3\n  check \"a\" {\n   \
                    query = 1\n  }\n }\n}\n";
        assert_eq!(at(text, "check \"b, c\"", "", 0), 8);
        assert_eq!(at(text, "check \"b, c\", strategy \"s\"", "slots", 0), 10);
        assert_eq!(at(text, "check \"b, c\"", "strategy \"s\"", 0), 9);
        assert_eq!(at(text, "", "slots", 0), 13);
        assert_eq!(at(text, "", "check \"a\"", 1), 14);
        assert_eq!(at(text, "", "check", 1), 8);
        assert_eq!(at(text, "check \"a\"", "query", 0), 15);
        assert_eq!(at(text, "check \"a\"", "", 0), 3);
    }
}
