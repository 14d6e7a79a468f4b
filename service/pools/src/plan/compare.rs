//! What a reload is needed for: the first line that differs between two configurations and is not a server's.
//!
//! In: two layouts. Out: `None`, or the [`Reason`] with the place in the wanted configuration, or in the loaded one where
//! the line is gone. Comments, blank lines and white space do not count.

use haproxy_cfg::{Line, Word};

use super::Reason;
use super::layout::{Layout, Member, Part};

/// The first difference that only a reload brings in force.
pub(super) fn difference<'d>(loaded: &Layout<'d>, wanted: &Layout<'d>) -> Option<Reason> {
    if let Some(twice) = wanted.twice {
        return Some(Reason::of_all(format!("pool `{twice}` stands there twice, which HAProxy refuses")));
    }
    let mut pairs = loaded.parts.iter().zip(&wanted.parts);
    let differing = pairs.find_map(|(old, new)| part_difference(old, new, wanted));
    differing.or_else(|| match (loaded.parts.len(), wanted.parts.len()) {
        (old, new) if old < new => Some(Reason::at(&wanted.parts[old], None, "the section is new")),
        (old, new) if old > new => Some(Reason::at(&loaded.parts[new], None, "the section is gone")),
        _ => None,
    })
}

fn part_difference<'d>(old: &Part<'d>, new: &Part<'d>, wanted: &Layout<'d>) -> Option<Reason> {
    if old.is_shared_with(new) {
        return None;
    }
    if old.heading() != new.heading() || old.place.file != new.place.file {
        let stays = wanted.parts.iter().any(|part| part.heading() == old.heading());
        let moved = || Reason::at(new, None, "the section is new, or stands in another place");
        return Some(if stays { moved() } else { Reason::at(old, None, "the section is gone") });
    }
    if let Some(twin) = new.pool().twin() {
        return Some(Reason::of_twin(new, twin));
    }
    let same = |(old_line, new_line): &(&&Line, &&Line)| is_same((old, old_line), (new, new_line));
    let (old_lines, new_lines) = (old.fixed(), new.fixed());
    let at = old_lines.iter().zip(new_lines).take_while(same).count();
    match (old_lines.get(at), new_lines.get(at)) {
        (None, None) => None,
        (Some(line), None) => Some(Reason::at(old, Some(line), "the line is gone")),
        (None, Some(line)) => Some(Reason::at(new, Some(line), "the line is new")),
        (Some(was), Some(is)) => Some(changed((old, was), (new, is))),
    }
}

fn changed((old, was): (&Part<'_>, &Line), (new, is): (&Part<'_>, &Line)) -> Reason {
    let has = |part: &Part<'_>, of: &Part<'_>, line: &Line| {
        part.fixed().iter().any(|other| is_same((part, other), (of, line)))
    };
    match (has(new, old, was), has(old, new, is)) {
        (true, true) => Reason::at(new, Some(is), "the order of the lines is another"),
        (true, false) => Reason::at(new, Some(is), "the line is new"),
        (false, true) => Reason::at(old, Some(was), "the line is gone"),
        (false, false) => {
            let was = old.source(was).trim();
            Reason::at(new, Some(is), &format!("it was `{was}`"))
        }
    }
}

fn is_same((a, left): (&Part<'_>, &Line), (b, right): (&Part<'_>, &Line)) -> bool {
    if left.fault.is_some() || right.fault.is_some() {
        return a.source(left) == b.source(right);
    }
    left.words.len() == right.words.len()
        && left.words.iter().zip(&right.words).all(|(x, y)| is_same_word((a, x), (b, y)))
}

/// What is put in for a variable or an escape shows in the source only.
fn is_same_word((a, left): (&Part<'_>, &Word), (b, right): (&Part<'_>, &Word)) -> bool {
    let is_literal = |word: &Word| !word.environment && word.substitutions().is_empty();
    left.value == right.value
        && ((is_literal(left) && is_literal(right)) || a.word_source(left) == b.word_source(right))
}

impl Reason {
    /// About a line of a section, or about the section.
    pub(super) fn at(part: &Part<'_>, line: Option<&Line>, why: &str) -> Self {
        let shown = line.or(part.fixed().first().copied());
        Self {
            file: part.place.file,
            section: part.title(),
            line: shown.map_or(0, |line| part.place.lines_before + line.number),
            directive: shown.map_or("", |line| part.source(line).trim()).to_owned(),
            why: why.to_owned(),
        }
    }

    /// About a server that has the name of another of its pool.
    pub(super) fn of_twin(part: &Part<'_>, twin: &Member<'_>) -> Self {
        let mut reason =
            Self::at(part, None, "the pool has a server of that name already, and HAProxy refuses it twice");
        reason.line = part.place.lines_before + twin.line;
        reason.directive = format!("server {} {}", twin.name, twin.written);
        reason
    }

    /// About no single line.
    pub(super) fn of_all(why: String) -> Self {
        Self { file: 0, section: String::new(), line: 0, directive: String::new(), why }
    }
}
