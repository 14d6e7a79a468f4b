//! A configuration cut in two: the servers of its pools, which commands can change, and every other line, which
//! only a reload can.
//!
//! In: files in load order, or some of their parts. Out: a [`Layout`]. Where the text alone does not say what holds, the more careful
//! reading is taken: a server in an `.if` block, one with an environment variable and a `server-template` are fixed lines,
//! and servers of those names are never touched. Nothing fails.

use std::collections::{HashMap, HashSet};

use haproxy_cfg::{Document, Line, Part as FilePart, Section, ServerTemplate, Word};

use super::options::{Changeable, ServerOptions, Unknown};

/// Up to so many servers, looking through all is quicker than an index.
const SMALL: usize = 12;

/// A whole configuration.
#[derive(Debug, Default)]
pub(super) struct Layout<'d> {
    /// Preambles and sections, in load order.
    pub(super) parts: Vec<Part<'d>>,
    /// Those of them that have servers for traffic.
    pub(super) pools: Vec<Pool<'d>>,
    /// Where each name is in `pools`.
    index: HashMap<&'d str, usize>,
    /// The first thing that stands there twice, which HAProxy refuses.
    pub(super) twice: Option<String>,
}

/// A section, or what stands before the first of a document.
#[derive(Debug)]
pub(super) struct Part<'d> {
    /// Which file, from 0.
    pub(super) file: usize,
    /// The text that its lines are of; `None` where there is none.
    document: Option<&'d Document>,
    /// How many lines of the file stand before it.
    pub(super) lines_before: usize,
    /// How the section is called in a message; empty for a preamble.
    pub(super) title: String,
    /// The lines that only a reload changes, in order, the header first.
    pub(super) fixed: Vec<&'d Line>,
}

/// A `backend` or `listen` section.
#[derive(Debug)]
pub(super) struct Pool<'d> {
    /// Its name.
    pub(super) name: &'d str,
    /// Which of the files it stands in.
    pub(super) file: usize,
    /// How many lines of the file stand before its section.
    lines_before: usize,
    /// The servers that commands can change, in order.
    pub(super) servers: Vec<Member<'d>>,
    /// Where each name is in `servers`; empty where there are few.
    index: HashMap<&'d str, usize>,
    fixed_names: HashSet<&'d str>,
    templates: Vec<ServerTemplate<'d>>,
    /// A name of a server is not known, so that no server can be said not to be in the pool.
    pub(super) has_unknown_names: bool,
    /// What holds for the pool at its end.
    pub(super) settings: Settings<'d>,
}

/// One server.
#[derive(Debug)]
pub(super) struct Member<'d> {
    /// Its name.
    pub(super) name: &'d str,
    /// Its address as it is written.
    pub(super) written: &'d str,
    /// What follows the address.
    pub(super) options: &'d [Word],
    /// The options as they stand in the text.
    source: &'d str,
    /// The line's number in its file, from 1.
    pub(super) line: usize,
    /// Its place among the pool's servers, from 0.
    pub(super) at: usize,
    /// How many of the pool's `default-server` lines hold for it.
    pub(super) defaults: usize,
}

/// What `defaults` and the section's own lines say, as far as it matters for servers.
#[derive(Debug, Clone, Default)]
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
        for pool in &self.pools {
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

    /// Reads the parts of each file as HAProxy does, one after the other.
    pub(super) fn read(files: &[Vec<&'d FilePart>]) -> Self {
        let mut reader = Reader::default();
        for (file, parts) in files.iter().enumerate() {
            reader.file(file, parts);
        }
        reader.layout
    }

    /// The pool of that name.
    pub(super) fn pool(&self, name: &str) -> Option<&Pool<'d>> {
        self.index.get(name).map(|at| &self.pools[*at])
    }

    /// The same, to be changed.
    pub(super) fn pool_mut(&mut self, name: &str) -> Option<&mut Pool<'d>> {
        self.index.get(name).map(|at| &mut self.pools[*at])
    }

    fn add(&mut self, pool: Pool<'d>) {
        if self.index.insert(pool.name, self.pools.len()).is_some() {
            self.twice.get_or_insert_with(|| format!("pool `{}`", pool.name));
        }
        self.pools.push(pool);
    }
}

impl<'d> Pool<'d> {
    fn new(name: &'d str, file: usize, lines_before: usize, settings: Settings<'d>) -> Self {
        Self {
            name,
            file,
            lines_before,
            servers: Vec::new(),
            index: HashMap::new(),
            fixed_names: HashSet::new(),
            templates: Vec::new(),
            has_unknown_names: false,
            settings,
        }
    }

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

    /// Takes a `server` line; returns whether it is one that commands can change.
    fn take(&mut self, document: &'d Document, line: &'d Line, is_conditional: bool) -> bool {
        let [_, name, address, options @ ..] = line.words.as_slice() else { return false };
        // Seen in the text, which lies closer together than the words.
        let is_plain = memchr::memchr2(b'"', b'\\', document.source(line).as_bytes()).is_none();
        let is_literal = is_plain && line.fault.is_none();
        if is_conditional || !(is_literal || is_certain(line)) {
            self.has_unknown_names |= name.environment;
            self.fixed_names.insert(&name.value);
            return false;
        }
        let (at, defaults) = (self.servers.len(), self.settings.default_server.len());
        let (name, written) = (document.value(name), document.value(address));
        let ends = options.first().zip(options.last());
        let source = ends.map_or("", |(first, last)| &document.text()[first.range.start..last.range.end]);
        let line = self.lines_before + line.number;
        self.servers.push(Member { name, written, options, source, line, at, defaults });
        true
    }

    /// Takes one more server, which no file names: the only line of `document`. Returns whether it is one that commands
    /// can change.
    pub(super) fn add_server(&mut self, document: &'d Document) -> bool {
        let is_taken = document.lines().first().is_some_and(|line| self.take(document, line, false));
        self.index();
        is_taken
    }

    /// Forgets the server that was taken last.
    pub(super) fn drop_last(&mut self) {
        if let Some(member) = self.servers.pop() {
            self.index.remove(member.name);
        }
    }

    /// Makes servers quick to find; returns whether a name stands there twice.
    fn index(&mut self) -> bool {
        if self.servers.len() <= SMALL {
            let is_known =
                |at: usize| self.servers[..at].iter().any(|other| other.name == self.servers[at].name);
            return (1..self.servers.len()).any(is_known);
        }
        self.index = self.servers.iter().map(|member| (member.name, member.at)).collect();
        self.index.len() < self.servers.len()
    }

    fn take_template(&mut self, line: &'d Line) {
        let Some(template) = ServerTemplate::read(line) else { return };
        self.has_unknown_names |= template.numbers().is_none() || line.words[1].environment;
        self.templates.push(template);
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

impl<'d> Settings<'d> {
    fn take(&mut self, line: &'d Line, is_conditional: bool) {
        let Some((keyword, rest)) = line.words.split_first() else { return };
        match keyword.value.as_str() {
            "default-server" => self.default_server.push(rest),
            "balance" => self.balance = Some(rest),
            "hash-type" => self.hash_type = Some(rest),
            "mode" => self.mode = Some(rest),
            "cookie" => {
                self.dynamic_cookie = rest.iter().any(|word| word.value == "dynamic");
                return;
            }
            "disabled" => self.disabled = true,
            "enabled" => self.disabled = false,
            _ => return,
        }
        self.uncertain |= is_conditional || !is_certain(line);
    }
}

/// Whether the line's words are what they look like.
fn is_certain(line: &Line) -> bool {
    line.fault.is_none() && line.words.iter().all(|word| !word.environment && word.substitutions().is_empty())
}

/// Goes through the documents.
#[derive(Default)]
struct Reader<'d> {
    layout: Layout<'d>,
    /// What the named `defaults` sections say.
    named: HashMap<&'d str, Settings<'d>>,
    /// What the last `defaults` section says.
    last: Settings<'d>,
    /// How many `.if` are open.
    depth: usize,
}

impl<'d> Reader<'d> {
    fn file(&mut self, file: usize, parts: &[&'d FilePart]) {
        self.depth = 0;
        let (preamble, sections): (Vec<&FilePart>, Vec<&FilePart>) =
            parts.iter().partition(|part| part.section().is_none());
        self.preamble(file, preamble.first().copied());
        for part in sections {
            if let Some(section) = part.section() {
                self.section(file, part, section);
            }
        }
    }

    /// Every file has one, though it may be empty: what stands at the same place in two files is compared.
    fn preamble(&mut self, file: usize, part: Option<&'d FilePart>) {
        let document = part.map(|part| &*part.document);
        let mut preamble = Part { file, document, lines_before: 0, title: String::new(), fixed: Vec::new() };
        for line in document.map(Document::lines).unwrap_or_default() {
            self.count(line);
            preamble.keep(line);
        }
        self.layout.parts.push(preamble);
    }

    fn count(&mut self, line: &Line) {
        match line.keyword() {
            Some(".if") => self.depth += 1,
            Some(".endif") => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    fn section(&mut self, file: usize, part_of_file: &'d FilePart, section: &'d Section) {
        let document = &*part_of_file.document;
        let lines_before = part_of_file.lines_before;
        let is_conditional = self.depth > 0;
        let mut settings = self.inherited(section);
        settings.uncertain |= is_conditional;
        let mut part =
            Part { file, document: Some(document), lines_before, title: title(section), fixed: Vec::new() };
        part.keep(document.header(section));
        let name = section.name.as_deref().unwrap_or_default();
        let mut pool = Pool::new(name, file, lines_before, settings);
        for line in document.body(section) {
            if !self.line((document, section), &mut pool, line, is_conditional || self.depth > 0) {
                part.keep(line);
            }
        }
        self.layout.parts.push(part);
        self.end(section, pool);
    }

    /// Takes a line of a section; returns whether it is a server that commands can change.
    fn line(
        &mut self,
        (document, section): (&'d Document, &Section),
        pool: &mut Pool<'d>,
        line: &'d Line,
        is_conditional: bool,
    ) -> bool {
        match line.keyword() {
            Some("server") if section.is_pool() => return pool.take(document, line, is_conditional),
            Some("server-template") if section.is_pool() => pool.take_template(line),
            Some(keyword) if keyword.starts_with('.') => self.count(line),
            _ => pool.settings.take(line, is_conditional),
        }
        false
    }

    fn end(&mut self, section: &'d Section, mut pool: Pool<'d>) {
        if section.keyword == "defaults" {
            self.last = pool.settings.clone();
            self.named.insert(pool.name, pool.settings);
        } else if section.is_pool() {
            if pool.index() {
                self.layout.twice.get_or_insert_with(|| format!("a server of pool `{}`", pool.name));
            }
            self.layout.add(pool);
        }
    }

    /// What a section starts with. `defaults` without `from` starts afresh.
    fn inherited(&self, section: &Section) -> Settings<'d> {
        match &section.defaults {
            Some(from) => self.named.get(from.as_str()).cloned().unwrap_or_else(Settings::unknown),
            None if section.keyword == "defaults" => Settings::default(),
            None => self.last.clone(),
        }
    }
}

impl Settings<'_> {
    fn unknown() -> Self {
        Self { uncertain: true, ..Self::default() }
    }
}

impl<'d> Part<'d> {
    /// One of its lines as it is written.
    pub(super) fn source(&self, line: &Line) -> &'d str {
        self.document.map_or("", |document| document.source(line))
    }

    /// A word of one of its lines as it is written.
    pub(super) fn word_source(&self, word: &Word) -> &'d str {
        self.document.map_or("", |document| &document.text()[word.range.clone()])
    }

    fn keep(&mut self, line: &'d Line) {
        if !line.words.is_empty() || line.fault.is_some() {
            self.fixed.push(line);
        }
    }
}

fn title(section: &Section) -> String {
    let words = [Some(section.keyword), section.name.as_deref()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
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
