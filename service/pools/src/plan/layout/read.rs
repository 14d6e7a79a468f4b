//! Reading a layout: what HAProxy makes of the lines, one section after the other.
//!
//! In: the parts of each file, and a layout that is known already. Out: a [`Layout`], which shares with the known one what is the
//! same in both: reading a section costs far more than seeing that it is the same.

use std::collections::HashMap;
use std::rc::Rc;

use haproxy_cfg::{Document, Line, Part as FilePart, Section, ServerTemplate};

use super::{Around, Layout, Member, Part, Place, Pool, SMALL, Said, Settings};

impl<'d> Layout<'d> {
    /// Reads the parts of each file as HAProxy does, one after the other.
    pub(in super::super) fn read(files: &[Vec<&'d FilePart>]) -> Self {
        Self::default().read_again(files)
    }

    /// The same, where this one may have some of it.
    pub(in super::super) fn read_again(&self, files: &[Vec<&'d FilePart>]) -> Self {
        let count = files.iter().map(Vec::len).sum();
        let mut reader = Reader::new(self, count);
        for (file, parts) in files.iter().enumerate() {
            reader.file(file, parts);
        }
        reader.layout
    }

    fn add(&mut self, place: Place, said: Rc<Said<'d>>, is_pool: bool) {
        if is_pool {
            let name = said.pool.name;
            if said.pool.has_twins {
                self.twice.get_or_insert_with(|| format!("a server of pool `{name}`"));
            }
            if self.index.insert(name, self.parts.len()).is_some() {
                self.twice.get_or_insert_with(|| format!("pool `{name}`"));
            }
            self.pools.push(self.parts.len());
        }
        self.parts.push(Part { place, said });
    }
}

/// Goes through the documents.
struct Reader<'k, 'd> {
    known: &'k Layout<'d>,
    layout: Layout<'d>,
    /// What the named `defaults` sections say.
    named: HashMap<&'d str, Rc<Settings<'d>>>,
    /// What the last `defaults` section says.
    last: Rc<Settings<'d>>,
    /// How many `.if` are open.
    depth: usize,
}

impl<'k, 'd> Reader<'k, 'd> {
    fn new(known: &'k Layout<'d>, count: usize) -> Self {
        let mut layout = Layout::default();
        layout.parts.reserve(count);
        layout.index.reserve(known.index.len());
        Self { known, layout, named: HashMap::new(), last: Rc::default(), depth: 0 }
    }

    fn file(&mut self, file: usize, parts: &[&'d FilePart]) {
        self.depth = 0;
        let preamble = parts.iter().find(|part| part.section().is_none());
        self.preamble(file, preamble.copied());
        for part in parts {
            if let Some(section) = part.section() {
                self.section(file, part, section);
            }
        }
    }

    /// Every file has one, though it may be empty: what stands at the same place in two files is compared.
    fn preamble(&mut self, file: usize, part: Option<&'d FilePart>) {
        let around = Around { inherited: Rc::default(), is_conditional: false };
        let document = part.map(|part| &*part.document);
        let mut preamble = Said::new(document, around, String::new(), Pool::default());
        for line in document.map(Document::lines).unwrap_or_default() {
            self.count(line);
            preamble.keep(line);
        }
        self.layout.add(Place { file, lines_before: 0 }, Rc::new(preamble), false);
    }

    fn count(&mut self, line: &Line) {
        match line.keyword() {
            Some(".if") => self.depth += 1,
            Some(".endif") => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    fn section(&mut self, file: usize, part: &'d FilePart, section: &'d Section) {
        let around = Around { inherited: self.inherited(section), is_conditional: self.depth > 0 };
        let said =
            self.known(part, &around).unwrap_or_else(|| Rc::new(self.said(&part.document, section, around)));
        if section.keyword == "defaults" {
            self.last = said.pool.settings.clone();
            self.named.insert(said.pool.name, said.pool.settings.clone());
        }
        self.layout.add(Place { file, lines_before: part.lines_before }, said, section.is_pool());
    }

    /// What the known layout has at this place, if it is the same section among the same settings.
    fn known(&self, part: &FilePart, around: &Around<'d>) -> Option<Rc<Said<'d>>> {
        let known = &self.known.parts.get(self.layout.parts.len())?.said;
        let document: &Document = &part.document;
        let is_same = known.document.is_some_and(|known| std::ptr::eq(known, document));
        (is_same && !part.has_conditions() && known.around.is_same(around)).then(|| known.clone())
    }

    fn said(&mut self, document: &'d Document, section: &'d Section, around: Around<'d>) -> Said<'d> {
        let is_conditional = around.is_conditional;
        let mut pool = Pool::new(section.name.as_deref().unwrap_or_default(), around.inherited.clone());
        if is_conditional {
            Rc::make_mut(&mut pool.settings).uncertain = true;
        }
        let mut said = Said::new(Some(document), around, title(section), pool);
        said.keep(document.header(section));
        for line in document.body(section) {
            let is_conditional = is_conditional || self.depth > 0;
            if !self.line((document, section), &mut said.pool, line, is_conditional) {
                said.keep(line);
            }
        }
        said.pool.index();
        said
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
            _ => Settings::take(&mut pool.settings, line, is_conditional),
        }
        false
    }

    /// What a section starts with. `defaults` without `from` starts afresh.
    fn inherited(&self, section: &Section) -> Rc<Settings<'d>> {
        match &section.defaults {
            Some(from) => self.named.get(from.as_str()).cloned().unwrap_or_else(Settings::unknown),
            None if section.keyword == "defaults" => Rc::default(),
            None => self.last.clone(),
        }
    }
}

impl Around<'_> {
    /// Whether a section is read the same among both. Mostly the settings are one in memory.
    fn is_same(&self, other: &Self) -> bool {
        self.is_conditional == other.is_conditional
            && (Rc::ptr_eq(&self.inherited, &other.inherited) || self.inherited == other.inherited)
    }
}

impl<'d> Said<'d> {
    fn new(document: Option<&'d Document>, around: Around<'d>, title: String, pool: Pool<'d>) -> Self {
        Self { document, around, title, fixed: Vec::new(), pool }
    }

    fn keep(&mut self, line: &'d Line) {
        if !line.words.is_empty() || line.fault.is_some() {
            self.fixed.push(line);
        }
    }
}

impl<'d> Pool<'d> {
    fn new(name: &'d str, settings: Rc<Settings<'d>>) -> Self {
        Self { name, settings, ..Self::default() }
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
        self.servers.push(Member { name, written, options, source, line: line.number, at, defaults });
        true
    }

    fn take_template(&mut self, line: &'d Line) {
        let Some(template) = ServerTemplate::read(line) else { return };
        self.has_unknown_names |= template.numbers().is_none() || line.words[1].environment;
        self.templates.push(template);
    }

    /// Takes one more server, which no file names: the only line of `document`. Returns whether it is one that commands
    /// can change.
    pub(in super::super) fn add_server(&mut self, document: &'d Document) -> bool {
        let is_taken = document.lines().first().is_some_and(|line| self.take(document, line, false));
        self.index();
        is_taken
    }

    /// Makes servers quick to find.
    fn index(&mut self) {
        if self.servers.len() <= SMALL {
            let is_known =
                |at: usize| self.servers[..at].iter().any(|other| other.name == self.servers[at].name);
            self.has_twins = (1..self.servers.len()).any(is_known);
        } else {
            self.index = self.servers.iter().map(|member| (member.name, member.at)).collect();
            self.has_twins = self.index.len() < self.servers.len();
        }
    }
}

impl<'d> Settings<'d> {
    fn unknown() -> Rc<Self> {
        Rc::new(Self { uncertain: true, ..Self::default() })
    }

    /// Takes note of a line. What is inherited stays shared as long as no line says otherwise.
    fn take(shared: &mut Rc<Self>, line: &'d Line, is_conditional: bool) {
        let Some((keyword, rest)) = line.words.split_first() else { return };
        let keyword = keyword.value.as_str();
        if !SETTINGS.contains(&keyword) {
            return;
        }
        let settings = Rc::make_mut(shared);
        match keyword {
            "default-server" => settings.default_server.push(rest),
            "balance" => settings.balance = Some(rest),
            "hash-type" => settings.hash_type = Some(rest),
            "mode" => settings.mode = Some(rest),
            "cookie" => {
                settings.dynamic_cookie = rest.iter().any(|word| word.value == "dynamic");
                return;
            }
            _ => settings.disabled = keyword == "disabled",
        }
        settings.uncertain |= is_conditional || !is_certain(line);
    }
}

/// The lines that matter for servers.
const SETTINGS: [&str; 7] =
    ["default-server", "balance", "hash-type", "mode", "cookie", "disabled", "enabled"];

/// Whether the line's words are what they look like.
fn is_certain(line: &Line) -> bool {
    line.fault.is_none() && line.words.iter().all(|word| !word.environment && word.substitutions().is_empty())
}

fn title(section: &Section) -> String {
    let words = [Some(section.keyword), section.name.as_deref()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use haproxy_cfg::Sections;
    use proptest::prelude::*;

    fn line() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "global",
            "defaults",
            "defaults base",
            "defaults more from base",
            "backend web",
            "backend web from base",
            "backend api from more",
            "listen web from nowhere",
            "frontend front",
            "    default-server check",
            "    default-server ssl verify none",
            "    balance leastconn",
            "    hash-type consistent",
            "    mode tcp",
            "    cookie SRV insert dynamic",
            "    disabled",
            "    enabled",
            "    server a 10.0.0.1:80 id 7",
            "    server a 10.0.0.2:80",
            "    server \"${NAME}\" 10.0.0.3:80",
            "    server-template s 1-3 10.0.0.4:80",
            "    timeout server 10s",
            "  .if defined(X)",
            "  .endif",
            "# note",
            "    a \"fault",
        ])
    }

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(line(), 0..24).prop_map(|lines| lines.join("\n") + "\n")
    }

    fn parts(files: &[Sections]) -> Vec<Vec<&FilePart>> {
        files.iter().map(|file| file.parts().iter().collect()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn what_is_shared_is_what_would_be_read(
            before in prop::collection::vec(text(), 1..3),
            changes in prop::collection::vec((0..24_usize, 0..3_usize, prop::option::of(line())), 0..3),
        ) {
            let known: Vec<Sections> = before.iter().map(|text| Sections::parse(text.as_str())).collect();
            let changed = |(file, sections): (usize, &Sections)| {
                let mut lines: Vec<&str> = before[file].lines().collect();
                for (at, gone, line) in &changes {
                    let at = (*at).min(lines.len());
                    lines.splice(at..(at + gone).min(lines.len()), *line);
                }
                sections.parse_again(lines.join("\n") + "\n")
            };
            let after: Vec<Sections> = known.iter().enumerate().map(changed).collect();
            let layout = Layout::read(&parts(&known));
            let again = layout.read_again(&parts(&after));
            prop_assert_eq!(&again, &Layout::read(&parts(&after)));
        }
    }

    #[test]
    fn a_section_that_did_not_change_is_not_read_again_wherever_it_stands() {
        let before =
            [Sections::parse("defaults\n    mode http\nbackend a\nbackend b\n    server s 10.0.0.1:80\n")];
        let after = [before[0].parse_again(
            "defaults\n    mode http\nbackend a\n    server t 10.0.0.2:80\nbackend b\n    server s 10.0.0.1:80\n",
        )];
        let known = Layout::read(&parts(&before));
        let layout = known.read_again(&parts(&after));
        let shared: Vec<bool> =
            known.parts.iter().zip(&layout.parts).map(|(known, part)| part.is_shared_with(known)).collect();
        assert_eq!(shared, [false, true, false, true]);
        assert_eq!((known.parts[3].place.lines_before, layout.parts[3].place.lines_before), (3, 4));
    }
}
