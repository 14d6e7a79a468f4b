//! Long sources, parsed piece by piece.
//!
//! handlebars finds the line of each tag by counting from the source's start, so that a source of a thousand blocks takes
//! seconds (its parser's `line_col`; measured with handlebars 6.4: 4.5 s for 1,000 blocks). In: a source. Out: the tree that
//! handlebars gives for all of it, put together from those of its pieces; nothing where the source cannot be cut, or a
//! piece has mistakes: then all of it has to be parsed to say where they are.

use handlebars::Template;
use handlebars::template::TemplateElement;

/// A piece is at least so long, in bytes: a dozen of the usual backends. (The tests' sources are short.)
const PIECE: usize = if cfg!(test) { 1 } else { 4 << 10 };

/// The tree of a source that is longer than a piece.
pub(super) fn parse(source: &str) -> Option<Template> {
    let cuts = cuts(source)?;
    let mut whole = Template::new();
    let (mut start, mut line) = (0, 0);
    for end in cuts.into_iter().chain([source.len()]) {
        let piece = &source[start..end];
        let mut parsed = Template::compile(piece).ok()?;
        move_down(&mut parsed, line);
        append(&mut whole, parsed);
        (start, line) = (end, line + piece.matches('\n').count());
    }
    Some(whole)
}

/// Where pieces may begin: outside of all blocks, in the midst of text. Nothing where the source has something of which
/// that is not known.
fn cuts(source: &str) -> Option<Vec<usize>> {
    let (mut cuts, mut at, mut state) = (Vec::new(), 0, State::default());
    loop {
        let start = source[at..].find("{{").map_or(source.len(), |start| at + start);
        let tag = if start < source.len() { Some(Tag::read(source, start)?) } else { None };
        let last = cuts.last().copied().unwrap_or(0);
        let cut = line_in_text(&source[at..start]).map(|line| at + line);
        cuts.extend(cut.filter(|cut| state.may_end_before(tag.as_ref()) && *cut >= last + PIECE));
        let Some(tag) = tag else { return (!cuts.is_empty()).then_some(cuts) };
        state = state.after(&tag)?;
        at = start + tag.text.len();
    }
}

/// The first tag that closes a block where none is open, and the name in it. Nothing where that is not known.
pub(super) fn closes_nothing(source: &str) -> Option<(usize, &str)> {
    let (mut at, mut depth) = (0, 0);
    loop {
        at += source[at..].find("{{")?;
        let tag = Tag::read(source, at)?;
        if let (0, Some(name)) = (depth, tag.inside.strip_prefix('/')) {
            return Some((at, name.trim_end_matches(['}', '~']).trim()));
        }
        depth = tag.depth(depth)?;
        at += tag.text.len();
    }
}

/// What of the tags before a text matters to what follows it.
#[derive(Clone, Copy, Default)]
struct State {
    /// How many blocks are open.
    depth: usize,
    /// The last tag that is no comment takes the white space behind it away. In handlebars (6.4) it does that also behind
    /// each comment that follows, however far.
    trims: bool,
}

impl State {
    /// Whether the text between here and a tag may be cut.
    fn may_end_before(self, next: Option<&Tag<'_>>) -> bool {
        self.depth == 0 && !(self.trims && next.is_some_and(Tag::is_comment))
    }

    /// Nothing where the tag may be the start of a block or not.
    fn after(self, tag: &Tag<'_>) -> Option<Self> {
        let trims = if tag.is_comment() { self.trims } else { tag.text.trim_end_matches('}').ends_with('~') };
        Some(Self { depth: tag.depth(self.depth)?, trims })
    }
}

/// The start of the last line that has text on it and before it: white space between there and a tag is the tag's affair.
fn line_in_text(text: &str) -> Option<usize> {
    let (mut found, mut at, mut follows_text) = (None, 0, false);
    for line in text.split_inclusive('\n') {
        let has_text = !line.trim().is_empty();
        if has_text && follows_text {
            found = Some(at);
        }
        follows_text = has_text;
        at += line.len();
    }
    found
}

/// A tag, from its first brace to its last.
struct Tag<'s> {
    text: &'s str,
    /// What stands in it.
    inside: &'s str,
}

impl<'s> Tag<'s> {
    /// The tag at a place; nothing where it is not known where it ends.
    fn read(source: &'s str, start: usize) -> Option<Self> {
        if source[..start].ends_with('\\') || source[start..].starts_with("{{{{") {
            return None;
        }
        let source = &source[start..];
        let bare = source.trim_start_matches('{').trim_start_matches('~');
        let end = match () {
            () if bare.starts_with("!--") => comment_end(source, source.len() - bare.len() + "!--".len())?,
            () if source.starts_with("{{{") => find_end(source, "}}}")?,
            () => find_end(source, "}}")?,
        };
        let inside = source[2..end].trim_start_matches(['{', '~']).trim_start();
        if is_unclear(bare, inside) {
            return None;
        }
        let tag = Self { text: &source[..end], inside };
        (tag.is_comment() || !has_braces_in_text(inside)).then_some(tag)
    }

    fn is_comment(&self) -> bool {
        self.inside.starts_with('!')
    }

    /// How deep in blocks one is behind it; nothing where the tag may be the start of a block or not.
    fn depth(&self, depth: usize) -> Option<usize> {
        match self.inside.as_bytes().first()? {
            b'#' if self.inside.starts_with("#*") || self.inside.starts_with("#>") => None,
            b'#' => Some(depth + 1),
            b'/' => depth.checked_sub(1),
            b'^' if depth == 0 => None,
            b'>' | b'*' | b'&' => None,
            _ => Some(depth),
        }
    }
}

/// Whether handlebars may see another comment: dashes behind white space are to it as those of a `{{!--`, and where only its end
/// follows on that, it is both or neither.
fn is_unclear(bare: &str, inside: &str) -> bool {
    match bare.strip_prefix("!--") {
        Some(text) => text.trim_start_matches(['-', '~']).starts_with("}}"),
        None => inside.strip_prefix('!').is_some_and(|text| text.trim_start().starts_with("--")),
    }
}

/// The end of a comment with dashes whose text begins at `start`.
fn comment_end(source: &str, start: usize) -> Option<usize> {
    let ends = ["--}}", "--~}}"].iter().filter_map(|end| find_end(&source[start..], end));
    ends.min().map(|end| start + end)
}

/// Whether braces in a tag may stand in a text or a name, so that its end is not where it seems to be.
fn has_braces_in_text(inside: &str) -> bool {
    let mut closing = None;
    for letter in inside.chars() {
        closing = match (closing, letter) {
            (Some(end), letter) if end == letter => None,
            (None, '"' | '\'') => Some(letter),
            (None, '[') => Some(']'),
            (open, _) => open,
        };
    }
    closing.is_some() || inside.contains(['\\', '{'])
}

fn find_end(source: &str, end: &str) -> Option<usize> {
    source.find(end).map(|at| at + end.len())
}

/// Counts the lines of a piece from the start of the whole source.
fn move_down(template: &mut Template, lines: usize) {
    for place in &mut template.mapping {
        place.0 += lines;
    }
    for element in &mut template.elements {
        if let TemplateElement::HelperBlock(call) = element {
            for inner in [&mut call.template, &mut call.inverse].into_iter().flatten() {
                move_down(inner, lines);
            }
        }
    }
}

/// Adds a piece. The text that was cut is one again.
fn append(whole: &mut Template, piece: Template) {
    let (mut elements, mut mapping) = (piece.elements.into_iter().peekable(), piece.mapping.into_iter());
    if let (Some(TemplateElement::RawString(before)), Some(TemplateElement::RawString(after))) =
        (whole.elements.last_mut(), elements.peek())
    {
        before.push_str(after);
        elements.next();
        mapping.next();
    }
    whole.elements.extend(elements);
    whole.mapping.extend(mapping);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What sources are made of: text, tags alone on a line and within one, blocks in blocks, comments.
    fn source() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "x",
            "\n",
            "\n\n",
            "  ",
            "backend a\n",
            "    balance b\n",
            "{{a}}",
            "{{~ a}}",
            "{{a ~}}",
            "{{{a}}}",
            "{{! c }}",
            "{{!-- {{#c}} --}}",
            "{{~!-- c --~}}",
            "é\n",
            "{{else}}",
            "{{a \"}}\"}}",
            "{{a \"\\\"}}\"}}",
            "{{a.[}}]}}",
            "\\{{a}}",
            "{{&a}}",
            "{{! c ~}}",
            "{{~! c }}",
            "{{!--~}}",
            "{{!--}}",
            "{{!---}}",
            "{{! -- }}",
            "{{! } }}",
            "{{!-- }} --}}",
            "{{~{a}~}}",
            "{{{ a ~}}}",
            "{{a 'it\"s' \"x\"}}",
            "{{a (b c=\"d\") ~}}",
            "\r\n",
            "}}",
            "{",
            "~",
        ]);
        let leaf = leaf.prop_map(str::to_owned);
        let inner = prop::collection::vec(leaf, 0..6).prop_map(|parts| parts.concat());
        let block = inner.clone().prop_recursive(3, 24, 3, |inner| {
            let opens = prop::sample::select(vec![
                "{{#if a}}",
                "{{#each a}}",
                "{{~#if a}}",
                "{{#each a ~}}",
                "{{^if a}}",
            ]);
            let between = prop::sample::select(vec!["", "{{else}}", "\n{{else if b}}\n", "{{^}}"]);
            let shuts = prop::sample::select(vec!["/", "~/"]);
            (opens, prop::collection::vec(inner, 1..3), between, shuts).prop_map(
                |(open, bodies, between, shut)| {
                    let name = if open.contains("each") { "each" } else { "if" };
                    let (slash, tilde) = (shut.trim_start_matches('~'), &shut[..shut.len() - 1]);
                    format!("{open}{}{{{{{tilde}{slash}{name}}}}}", bodies.join(between))
                },
            )
        });
        prop::collection::vec(prop_oneof![inner, block], 1..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn what_was_parsed_in_pieces_is_what_is_parsed_at_once(source in source()) {
            if let Some(parsed) = parse(&source) {
                prop_assert_eq!(Ok(parsed), Template::compile(&source).map_err(|error| error.to_string()));
            }
        }
    }

    #[test]
    fn a_comment_behind_a_tag_that_trims_is_trimmed_behind_as_in_the_whole() {
        for source in [
            "{{a ~}}b\nc\n{{! d }}\n",
            "{{a ~}}b\nc\n{{! d }}\ne\nf\n{{! g }} h",
            "{{#if a}}{{/if ~}}b\nc\n{{! d }} e",
        ] {
            let whole = Template::compile(source).unwrap();
            assert_eq!(parse(source).unwrap_or_else(|| whole.clone()), whole, "{source:?}");
        }
    }

    #[test]
    fn a_usual_template_is_cut_at_each_backend() {
        let backend = "backend s\n    balance b\n{{#each a}}    server {{b}}\n{{/each}}\n";
        let source = backend.repeat(10);
        assert_eq!(cuts(&source).map(|cuts| cuts.len()), Some(10));
        assert_eq!(parse(&source).unwrap(), Template::compile(&source).unwrap());
    }
}
