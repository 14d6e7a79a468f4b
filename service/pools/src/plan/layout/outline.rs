//! What stands where: the parts of a layout, and what holds where each begins, as HAProxy goes through the files.
//!
//! In: the parts of each file, and a layout that is known already. Out: a [`Layout`], which shares with the known one what is
//! the same in both. Of the sections themselves only `defaults` are read: others hold for nothing but themselves.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use haproxy_cfg::{Document, Part as FilePart, Section};

use super::section::depth_after;
use super::{Around, Layout, Part, Place, Said, Settings};

impl<'d> Layout<'d> {
    /// Goes through the parts of each file as HAProxy does, one after the other.
    pub(in super::super) fn read(files: &[Vec<&'d FilePart>]) -> Self {
        Self::default().read_again(files)
    }

    /// The same, where this one may have some of it.
    pub(in super::super) fn read_again(&self, files: &[Vec<&'d FilePart>]) -> Self {
        let mut reader = Reader::new(self, files.iter().map(Vec::len).sum());
        for (file, parts) in files.iter().enumerate() {
            reader.file(file, parts);
        }
        reader.layout
    }

    fn add(&mut self, place: Place, said: Rc<Said<'d>>) {
        if let Some(pool) = said.section.filter(|section| section.is_pool()) {
            let name = pool.name.as_deref().unwrap_or_default();
            if self.index.insert(name, self.parts.len()).is_some() {
                self.twice.get_or_insert(name);
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
        let document = part.map(|part| &*part.document);
        let said = Said { document, section: None, around: Around::default(), reading: OnceCell::new() };
        self.depth = document.map_or(0, |document| depth_after(0, document.lines()));
        self.layout.add(Place { file, lines_before: 0 }, Rc::new(said));
    }

    fn section(&mut self, file: usize, part: &'d FilePart, section: &'d Section) {
        let around = Around { inherited: self.inherited(section), depth: self.depth };
        let said = self.known(part, &around).unwrap_or_else(|| {
            let (document, section) = (Some(&*part.document), Some(section));
            Rc::new(Said { document, section, around, reading: OnceCell::new() })
        });
        if part.has_conditions() {
            self.depth = depth_after(self.depth, part.document.body(section));
        }
        if part.is_defaults() {
            let settings = &said.reading().pool.settings;
            self.last = settings.clone();
            self.named.insert(section.name.as_deref().unwrap_or_default(), settings.clone());
        }
        self.layout.add(Place { file, lines_before: part.lines_before }, said);
    }

    /// What the known layout has at this place, if it is the same section among the same settings.
    fn known(&self, part: &FilePart, around: &Around<'d>) -> Option<Rc<Said<'d>>> {
        let known = &self.known.parts.get(self.layout.parts.len())?.said;
        let document: &Document = &part.document;
        let is_same = known.document.is_some_and(|known| std::ptr::eq(known, document));
        (is_same && known.around.is_same(around)).then(|| known.clone())
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
    /// Whether a section says the same among both. Mostly the settings are one in memory.
    fn is_same(&self, other: &Self) -> bool {
        self.depth == other.depth
            && (Rc::ptr_eq(&self.inherited, &other.inherited) || self.inherited == other.inherited)
    }
}

impl Settings<'_> {
    fn unknown() -> Rc<Self> {
        Rc::new(Self { uncertain: true, ..Self::default() })
    }
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
            let fresh = Layout::read(&parts(&after));
            prop_assert_eq!(again.twice, fresh.twice);
            prop_assert_eq!(again.parts.len(), fresh.parts.len());
            for (again, fresh) in again.parts.iter().zip(&fresh.parts) {
                prop_assert_eq!((again.place, again.heading()), (fresh.place, fresh.heading()));
                prop_assert_eq!(again.said.reading(), fresh.said.reading());
            }
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
