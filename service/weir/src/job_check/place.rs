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
    line(text, &named(text, scaling, &problem.place, &problem.message))
}

/// Where the key or label stands that a message begins with (`key = value …`) or names in quotes, within the
/// block that `place` leads to; the block's beginning where there is none.
pub(super) fn named(text: &str, scaling: &Block, place: &str, message: &str) -> Span {
    let Some(policy) = scaling.body.get_blocks("policy").next() else { return start(scaling) };
    let (blocks, missing) = led_to(policy, place);
    let names = names(message);
    if message.starts_with("two ")
        && let Some(second) = names.iter().find_map(|name| children(policy, name).nth(1))
    {
        return second;
    }
    // `min` and `max` are the policy's and stand beside it.
    let beside = place.is_empty().then_some(scaling);
    let stands = |name: &&str| {
        let child = blocks.iter().copied().chain(beside).find_map(|block| children(block, name).next());
        child.or_else(|| blocks.iter().find_map(|block| word_in(text, block, name)))
    };
    let found = names.iter().find_map(stands).or_else(|| children(blocks.first()?, missing).next());
    found.unwrap_or_else(|| start(blocks.first().unwrap_or(&policy)))
}

/// What a message names, before it goes on to advice.
fn names(message: &str) -> Vec<&str> {
    let told = message.split(';').next().unwrap_or_default();
    let told = told.split(" such as ").next().unwrap_or_default();
    let key = told.split_once(" = ").map(|(key, _)| key).filter(|key| !key.contains(' '));
    let quoted = told.split(['`', '"']).skip(1).step_by(2);
    key.into_iter().chain(quoted).filter(|name| !name.is_empty()).collect()
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
    let label = block.labels.first().map_or(String::new(), |label| format!(" {:?}", label.as_str()));
    let rest = place.strip_prefix(block.ident.as_str())?.strip_prefix(&label)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(", ") }
}

/// Where in a block itself the keys and blocks of this name stand, and the blocks with this label.
fn children<'a>(block: &'a Block, name: &'a str) -> impl Iterator<Item = Span> + 'a {
    block.body.iter().filter_map(move |structure| {
        let (key, label) = match structure {
            Structure::Attribute(attribute) => (&attribute.key, None),
            Structure::Block(block) => (&block.ident, block.labels.first()),
        };
        let is_named = key.as_str() == name || label.is_some_and(|label| label.as_str() == name);
        is_named.then(|| key.span())?
    })
}

fn start(block: &Block) -> Span {
    block.ident.span().unwrap_or_default()
}

/// Where `name` stands somewhere in a block.
fn word_in(text: &str, block: &Block, name: &str) -> Option<Span> {
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
    fn at(text: &str, place: &str, message: &str) -> usize {
        let body = hcl_edit::parser::parse_body(text).unwrap();
        let scaling = body.get_blocks("scaling").next().unwrap();
        line(text, &named(text, scaling, place, message))
    }

    #[test]
    fn a_whole_word_is_found_within_its_block() {
        let text = "scaling {\nmin = 1\npolicy {\n  cooldown = 2\n  cool = 3\n  x = { slot = 1 }\n}\n}\n";
        assert_eq!(at(text, "", "unknown key \"cool\"; did you mean \"cooldown\"?"), 5);
        assert_eq!(at(text, "", "nothing is named"), 3);
        assert_eq!(at(text, "", "cooldown = \"cool\" is no duration"), 4);
        assert_eq!(at(text, "", "unknown key \"é\""), 3);
        assert_eq!(at(text, "", "min = 1 is more than max = 0"), 2);
        assert_eq!(at(text, "x", "slot = 1: write another"), 6);
        assert_eq!(at(text, "x", "write more"), 6);
    }

    #[test]
    fn a_problem_is_found_in_the_block_that_it_is_of() {
        let text = "scaling {\n policy {\n  check \"a\" {\n   strategy \"s\" {\n    slots = 1\n   }\n  }\n  \
                    check \"b, c\" {\n   strategy \"s\" {\n    slots = 2\n   }\n  }\n  slots = 3\n  check \"a\" {\n   \
                    query = 1\n  }\n }\n}\n";
        assert_eq!(at(text, "check \"b, c\"", "it has 0 strategies, such as strategy \"s\" {}"), 8);
        assert_eq!(at(text, "check \"b, c\", strategy \"s\"", "slots = 2 is wrong"), 10);
        assert_eq!(at(text, "", "slots = 3 is wrong"), 13);
        assert_eq!(at(text, "", "two checks are labelled \"a\": give each its own label"), 14);
        assert_eq!(at(text, "check \"a\"", "query = 1 is no text"), 15);
        assert_eq!(at(text, "check \"a\"", "query is missing"), 3);
    }
}
