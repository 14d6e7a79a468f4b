//! A configuration cut in two: the servers of its pools, which commands can change, and every other line, which
//! only a reload can.
//!
//! In: files in load order, or some of their parts; see [`outline`]. Out: a [`Layout`]. Where the text alone does not say what
//! holds, the more careful reading is taken: a server in an `.if` block, one with an environment variable and a
//! `server-template` are fixed lines, and servers of those names are never touched. Nothing fails.
//!
//! A section is [read](section) when it is looked at: what two layouts have in common is read once, and close to where it
//! is planned with.

mod outline;
mod section;

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use haproxy_cfg::{Document, Line, PlainWords, Section, ServerTemplate, Word};

use super::options::{Changeable, ServerOptions, Unknown};

/// Up to so many servers, looking through all is quicker than an index.
const SMALL: usize = 12;

/// A whole configuration.
#[derive(Debug, Default)]
pub(super) struct Layout<'d> {
    /// Preambles and sections, in load order.
    pub(super) parts: Vec<Part<'d>>,
    /// Which of them are pools, in order.
    pools: Vec<usize>,
    /// Where the pool of each name is in `parts`.
    index: HashMap<&'d str, usize>,
    /// The first pool whose name stands there twice, which HAProxy refuses.
    pub(super) twice: Option<&'d str>,
}

/// A section, or what stands before the first of a document.
#[derive(Debug)]
pub(super) struct Part<'d> {
    /// Where it stands.
    pub(super) place: Place,
    /// What it says. Two layouts share what they have in common.
    said: Rc<Said<'d>>,
}

/// Where a part stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Which file, from 0.
    pub(super) file: usize,
    /// How many lines of the file stand before it.
    pub(super) lines_before: usize,
}

/// What a part says, wherever it stands.
#[derive(Debug, Clone)]
pub(super) struct Said<'d> {
    /// The text that its lines are of; `None` where there is none.
    document: Option<&'d Document>,
    /// `None` for what stands before the first section.
    section: Option<&'d Section>,
    around: Around<'d>,
    reading: OnceCell<Reading<'d>>,
}

/// What holds where a part begins.
#[derive(Debug, Clone, Default)]
struct Around<'d> {
    inherited: Rc<Settings<'d>>,
    /// How many `.if` are open.
    depth: usize,
}

/// The lines of a part, cut in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading<'d> {
    /// Those that only a reload changes, in order, the header first.
    pub(super) fixed: Vec<&'d Line>,
    /// Its servers, and what holds for them; of a part that is no pool, the settings only.
    pub(super) pool: Pool<'d>,
}

/// The servers of a `backend` or `listen` section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pool<'d> {
    /// Its name.
    pub(super) name: &'d str,
    /// The servers that commands can change, in order.
    pub(super) servers: Vec<Member<'d>>,
    /// Where each name is in `servers`; empty where there are few.
    index: HashMap<&'d str, usize>,
    /// Which of `servers` has the name of one before it, which HAProxy refuses.
    twin: Option<usize>,
    fixed_names: HashSet<&'d str>,
    templates: Vec<ServerTemplate<'d>>,
    /// A name of a server is not known, so that no server can be said not to be in the pool.
    pub(super) has_unknown_names: bool,
    /// What holds for the pool at its end.
    pub(super) settings: Rc<Settings<'d>>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member<'d> {
    /// Its name.
    pub(super) name: &'d str,
    /// Its address as it is written.
    pub(super) written: &'d str,
    /// What follows the address.
    pub(super) options: &'d [Word],
    /// The same, as pieces of the text, which lie closer together; `None` where the text alone does not say them.
    plain: Option<PlainWords<'d>>,
    /// The line's number in its part, from 1.
    pub(super) line: usize,
    /// Its place among the pool's servers, from 0.
    pub(super) at: usize,
    /// How many of the pool's `default-server` lines hold for it.
    pub(super) defaults: usize,
}

/// What `defaults` and the section's own lines say, as far as it matters for servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings<'d> {
    /// The options of every `default-server` line, in order.
    pub(super) default_server: Vec<&'d [Word]>,
    /// The words after the last `balance`.
    pub(super) balance: Option<&'d [Word]>,
    /// The words after the last `hash-type`.
    pub(super) hash_type: Option<&'d [Word]>,
    /// The words after the last `mode`.
    pub(super) mode: Option<&'d [Word]>,
    /// HAProxy makes the cookies of servers up: `cookie … dynamic`.
    pub(super) dynamic_cookie: bool,
    /// The section does not serve.
    pub(super) disabled: bool,
    /// One of these stands in an `.if` block or depends on the environment.
    pub(super) uncertain: bool,
}

impl<'d> Layout<'d> {
    /// The parts that have servers for traffic, in order.
    pub(super) fn pools(&self) -> impl Iterator<Item = &Part<'d>> {
        self.pools.iter().map(|at| &self.parts[*at])
    }

    /// The pool of that name.
    pub(super) fn pool(&self, name: &str) -> Option<&Part<'d>> {
        self.index.get(name).map(|at| &self.parts[*at])
    }

    /// The same, to be changed in this layout only.
    pub(super) fn pool_mut(&mut self, name: &str) -> Option<&mut Pool<'d>> {
        let at = *self.index.get(name)?;
        Rc::make_mut(&mut self.parts[at].said).pool_mut()
    }
}

/// What commands can change of servers. Most lines say what the one before said.
#[derive(Default)]
pub(super) struct Known<'d> {
    last: Option<(Likeness<'d>, Option<Changeable>)>,
}

impl<'d> Known<'d> {
    /// What commands can change of each server of the pool; `None` where not all of its options are known.
    pub(super) fn changeable(&mut self, pool: &Pool<'d>) -> Vec<Option<Changeable>> {
        pool.servers.iter().map(|member| self.of(pool, member)).collect()
    }

    fn of(&mut self, pool: &Pool<'d>, member: &Member<'d>) -> Option<Changeable> {
        let likeness = pool.likeness(member);
        let known = self.last.as_ref().filter(|(last, _)| likeness.is_same(last)).map(|(_, known)| *known);
        let changeable = known.unwrap_or_else(|| pool.changeable(member));
        self.last = Some((likeness, changeable));
        changeable
    }
}

impl<'d> Pool<'d> {
    /// The server of that name, where commands can change it.
    pub(super) fn server(&self, name: &str) -> Option<&Member<'d>> {
        if self.servers.len() <= SMALL {
            return self.servers.iter().find(|member| member.name == name);
        }
        self.index.get(name).map(|at| &self.servers[*at])
    }

    /// A server that has the name of another, which HAProxy refuses.
    pub(super) fn twin(&self) -> Option<&Member<'d>> {
        self.twin.map(|at| &self.servers[at])
    }

    /// The server that has the name of a member of another reading of the pool, mostly at the same place.
    pub(super) fn counterpart(&self, member: &Member<'_>) -> Option<&Member<'d>> {
        let same_place = self.servers.get(member.at).filter(|mine| mine.name == member.name);
        same_place.or_else(|| self.server(member.name))
    }

    /// Whether a line that commands cannot change declares the server.
    pub(super) fn is_fixed(&self, name: &str) -> bool {
        self.fixed_names.contains(name) || self.templates.iter().any(|template| template.declares(name))
    }

    /// The server's options together with those of `default-server`.
    pub(super) fn options(&self, member: &Member<'d>) -> Result<ServerOptions<'d>, Unknown> {
        ServerOptions::merge(self.lists(member))
    }

    /// What commands can change of it; `None` where not all of its options are known.
    pub(super) fn changeable(&self, member: &Member<'d>) -> Option<Changeable> {
        Changeable::read(self.lists(member))
    }

    /// What decides what commands can change of it.
    fn likeness(&self, member: &Member<'d>) -> Likeness<'d> {
        let own = member.plain.as_ref().map(|words| around_id(words.as_str()));
        Likeness { settings: self.settings.clone(), defaults: member.defaults, own }
    }

    /// Whether the option is on; `false` where it is not known.
    pub(super) fn is_on(&self, member: &Member<'d>, option: &str) -> bool {
        let mut shared = self.defaults(member).iter().copied().flatten();
        (member.names(option) || shared.any(|word| word.value == option))
            && self.options(member).is_ok_and(|options| options.has(option))
    }

    /// The `default-server` lines that hold for it.
    fn defaults(&self, member: &Member<'d>) -> &[&'d [Word]] {
        &self.settings.default_server[..member.defaults]
    }

    fn lists(&self, member: &Member<'d>) -> impl Iterator<Item = &'d [Word]> {
        self.defaults(member).iter().copied().chain([member.options])
    }

    /// Forgets the server that was taken last.
    pub(super) fn drop_last(&mut self) {
        if let Some(member) = self.servers.pop() {
            self.index.remove(member.name);
        }
    }
}

impl Member<'_> {
    /// The number after the server's own `id`.
    pub(super) fn given_id(&self) -> Option<u32> {
        let at = self.options.iter().position(|word| word.value == "id")?;
        self.options.get(at + 1)?.value.parse().ok()
    }

    /// Whether a word of its own options is this one.
    fn names(&self, option: &str) -> bool {
        match &self.plain {
            Some(words) => words.clone().any(|word| word == option),
            None => self.options.iter().any(|word| word.value == option),
        }
    }

    /// Whether both have the same words after their addresses, and the same `default-server` lines before them.
    pub(super) fn says_the_same(&self, other: &Member<'_>) -> bool {
        self.defaults == other.defaults && (self.reads_as(other) || self.has_words_of(other))
    }

    /// Whether the text is the same, which is one comparison.
    fn reads_as(&self, other: &Member<'_>) -> bool {
        std::ptr::eq(self.options, other.options) || (self.plain.is_some() && self.plain == other.plain)
    }

    fn has_words_of(&self, other: &Member<'_>) -> bool {
        let mut words = self.options.iter().zip(other.options);
        self.options.len() == other.options.len() && words.all(|(mine, theirs)| mine.value == theirs.value)
    }
}

/// What commands can change of servers is the same where this is: the same words, but for the number after `id`, after the same
/// `default-server` lines, as pools have that one `defaults` section or loop gives them.
struct Likeness<'d> {
    settings: Rc<Settings<'d>>,
    /// How many of the `default-server` lines.
    defaults: usize,
    /// `None` where the text does not say all.
    own: Option<(&'d str, Option<&'d str>)>,
}

impl Likeness<'_> {
    fn is_same(&self, other: &Self) -> bool {
        self.own.is_some() && self.own == other.own && self.has_defaults_of(other)
    }

    fn has_defaults_of(&self, other: &Self) -> bool {
        let [mine, theirs] = [self, other].map(|it| &it.settings.default_server[..it.defaults]);
        let mut lines = mine.iter().zip(theirs);
        mine.len() == theirs.len() && lines.all(|(mine, theirs)| std::ptr::eq(*mine, *theirs))
    }
}

/// What stands before and after the number of an `id`, in plain options; where there is none, all of it, and nothing.
fn around_id(source: &str) -> (&str, Option<&str>) {
    let number = if source.starts_with("id ") { Some(3) } else { source.find(" id ").map(|at| at + 4) };
    let Some(number) = number else { return (source, None) };
    let digits = source[number..].bytes().take_while(u8::is_ascii_digit).count();
    let after = &source[number + digits..];
    let is_whole = digits > 0 && (after.is_empty() || after.starts_with(' '));
    if is_whole { (&source[..number], Some(after)) } else { (source, None) }
}

impl<'d> Part<'d> {
    /// The keyword and the name of its section; nothing of what stands before the first.
    pub(super) fn heading(&self) -> (&'d str, Option<&'d str>) {
        self.said.section.map_or(("", None), |section| (section.keyword, section.name.as_deref()))
    }

    /// How the section is called in a message; empty for a preamble.
    pub(super) fn title(&self) -> String {
        let (keyword, name) = self.heading();
        name.map_or_else(|| keyword.to_owned(), |name| format!("{keyword} {name}"))
    }

    /// The lines that only a reload changes, in order, the header first.
    pub(super) fn fixed(&self) -> &[&'d Line] {
        &self.said.reading().fixed
    }

    /// Its servers, and what holds for them.
    pub(super) fn pool(&self) -> &Pool<'d> {
        &self.said.reading().pool
    }

    /// Whether both are one in memory, and stand in the same file.
    pub(super) fn is_shared_with(&self, other: &Self) -> bool {
        self.place.file == other.place.file && Rc::ptr_eq(&self.said, &other.said)
    }

    /// One of its lines as it is written.
    pub(super) fn source(&self, line: &Line) -> &'d str {
        self.said.document.map_or("", |document| document.source(line))
    }

    /// A word of one of its lines as it is written.
    pub(super) fn word_source(&self, word: &Word) -> &'d str {
        self.said.document.map_or("", |document| &document.text()[word.range.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_differ_in_their_id_only_are_alike() {
        let same = [
            ("id 1", "id 22"),
            ("id 1 check", "id 22 check"),
            ("check id 1 weight 2", "check id 7 weight 2"),
            ("check", "check"),
            ("id x", "id x"),
        ];
        for (mine, theirs) in same {
            assert_eq!(around_id(mine), around_id(theirs), "{mine}, {theirs}");
        }
        let others = [
            ("check", "backup"),
            ("id 1 weight 1", "id 1 weight 2"),
            ("weight 1 id 1", "weight 2 id 1"),
            ("id 1", "id 1 check"),
            ("id 1x", "id 2x"),
            ("id x", "id 1"),
            ("id ", "id 1"),
            ("id", "id 1"),
        ];
        for (mine, theirs) in others {
            assert_ne!(around_id(mine), around_id(theirs), "{mine}, {theirs}");
        }
    }
}
