//! A configuration cut in two: the servers of its pools, which commands can change, and every other line, which
//! only a reload can.
//!
//! In: files in load order, or some of their parts; see [`read`]. Out: a [`Layout`]. Where the text alone does not say what
//! holds, the more careful reading is taken: a server in an `.if` block, one with an environment variable and a
//! `server-template` are fixed lines, and servers of those names are never touched. Nothing fails.

mod read;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use haproxy_cfg::{Document, Line, ServerTemplate, Word};

use super::options::{Changeable, ServerOptions, Unknown};

/// Up to so many servers, looking through all is quicker than an index.
const SMALL: usize = 12;

/// A whole configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Layout<'d> {
    /// Preambles and sections, in load order.
    pub(super) parts: Vec<Part<'d>>,
    /// Which of them are pools, in order.
    pools: Vec<usize>,
    /// Where the pool of each name is in `parts`.
    index: HashMap<&'d str, usize>,
    /// The first thing that stands there twice, which HAProxy refuses.
    pub(super) twice: Option<String>,
}

/// A section, or what stands before the first of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'d> {
    /// Where it stands.
    pub(super) place: Place,
    /// What it says. Two layouts share what they have in common.
    pub(super) said: Rc<Said<'d>>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said<'d> {
    /// The text that its lines are of; `None` where there is none.
    document: Option<&'d Document>,
    /// What it was read with.
    around: Around<'d>,
    /// How the section is called in a message; empty for a preamble.
    pub(super) title: String,
    /// The lines that only a reload changes, in order, the header first.
    pub(super) fixed: Vec<&'d Line>,
    /// Its servers, and what holds for them; of a part that is no pool, the settings only.
    pub(super) pool: Pool<'d>,
}

/// What holds where a section begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Around<'d> {
    inherited: Rc<Settings<'d>>,
    /// It stands in an `.if` block.
    is_conditional: bool,
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
    /// A name stands there twice.
    has_twins: bool,
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
    /// The options as they stand in the text.
    source: &'d str,
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
    /// What commands can change of each server, pool by pool; `None` where not all of its options are known. Most lines
    /// say what the one before said.
    pub(super) fn changeable(&self) -> Vec<Vec<Option<Changeable>>> {
        let mut last: Option<(&Pool<'d>, &Member<'d>, Option<Changeable>)> = None;
        let mut all = Vec::with_capacity(self.pools.len());
        for pool in self.pools().map(Part::pool) {
            let mut servers = Vec::with_capacity(pool.servers.len());
            for member in &pool.servers {
                let known = last.filter(|(before, other, _)| pool.shares(member, (before, other)));
                let changeable = known.map_or_else(|| pool.changeable(member), |(.., known)| known);
                last = Some((pool, member, changeable));
                servers.push(changeable);
            }
            all.push(servers);
        }
        all
    }

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
        self.index.get(name).map(|at| &mut Rc::make_mut(&mut self.parts[*at].said).pool)
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

    /// Whether a server of this pool has the options that one of this or another pool has: the same words, but for the
    /// number after `id`, after the same `default-server` lines, as pools have that one `defaults` section or loop gives
    /// them.
    fn shares(&self, member: &Member<'_>, (pool, other): (&Pool<'_>, &Member<'_>)) -> bool {
        let mine = &self.settings.default_server[..member.defaults];
        let theirs = &pool.settings.default_server[..other.defaults];
        mine.len() == theirs.len()
            && mine.iter().zip(theirs).all(|(mine, theirs)| std::ptr::eq(*mine, *theirs))
            && (member.source == other.source || differ_in_id_only(member.source, other.source))
    }

    /// Whether the option is on; `false` where it is not known.
    pub(super) fn is_on(&self, member: &Member<'d>, option: &str) -> bool {
        let mut words = self.lists(member).flatten();
        words.any(|word| word.value == option)
            && self.options(member).is_ok_and(|options| options.has(option))
    }

    fn lists(&self, member: &Member<'d>) -> impl Iterator<Item = &'d [Word]> {
        self.settings.default_server[..member.defaults].iter().copied().chain([member.options])
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

    /// Whether both have the same words after their addresses, and the same `default-server` lines before them.
    pub(super) fn says_the_same(&self, other: &Member<'_>) -> bool {
        let (mine, theirs) = (self.options, other.options);
        let mut words = mine.iter().zip(theirs);
        // The text is one comparison, and lies closer together than the words.
        let is_shared = || std::ptr::eq(mine, theirs);
        if self.defaults != other.defaults || is_shared() || self.source == other.source {
            return self.defaults == other.defaults;
        }
        mine.len() == theirs.len() && words.all(|(mine, theirs)| mine.value == theirs.value)
    }
}

/// Whether two texts of options are the same but for the numbers after `id`. One that is quoted is taken for another.
fn differ_in_id_only(mine: &str, theirs: &str) -> bool {
    around_id(mine).is_some_and(|around| around_id(theirs) == Some(around))
}

/// What stands before and after the number of an `id`, in a text without quotes.
fn around_id(source: &str) -> Option<(&str, &str)> {
    let number = if source.starts_with("id ") { 3 } else { source.find(" id ")? + 4 };
    let digits = source[number..].bytes().take_while(u8::is_ascii_digit).count();
    let (before, after) = (&source[..number], &source[number + digits..]);
    let is_quoted = memchr::memchr3(b'"', b'\'', b'\\', source.as_bytes()).is_some();
    let is_whole = digits > 0 && (after.is_empty() || after.starts_with(' '));
    (is_whole && !is_quoted).then_some((before, after))
}

impl<'d> Part<'d> {
    /// Its servers, and what holds for them.
    pub(super) fn pool(&self) -> &Pool<'d> {
        &self.said.pool
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
    fn options_that_differ_in_their_id_only_are_shared() {
        let same = [
            ("id 1", "id 22"),
            ("id 1 check", "id 22 check"),
            ("check id 1 weight 2", "check id 7 weight 2"),
        ];
        for (mine, theirs) in same {
            assert!(differ_in_id_only(mine, theirs), "{mine}, {theirs}");
        }
        let others = [
            ("check", "check"),
            ("id 1 weight 1", "id 1 weight 2"),
            ("weight 1 id 1", "weight 2 id 1"),
            ("id 1", "id 1 check"),
            ("id x", "id x"),
            ("id 1x", "id 2x"),
            ("id ", "id "),
            ("sni 'a id 1'", "sni 'a id 2'"),
            ("sni a\\ id 1", "sni a\\ id 2"),
        ];
        for (mine, theirs) in others {
            assert!(!differ_in_id_only(mine, theirs), "{mine}, {theirs}");
        }
    }
}
