//! Goes through sources in load order: which `defaults` a section starts from, and which lines are certain to be in it.

use std::collections::HashMap;

use crate::line::Line;
use crate::section::Section;

use super::{Branch, Holding, InForce, Source};

/// Goes through the sources.
#[derive(Default)]
pub(super) struct Reader<'d> {
    sections: Vec<Holding<'d>>,
    /// The branch that each of them stands in.
    branches: Vec<Branch>,
    is_complete: bool,
    /// `defaults` sections by name.
    named: HashMap<&'d str, Vec<usize>>,
    /// What sections without `from` start from.
    last: Start,
    /// The branches of the `.if` blocks that are open.
    open: Vec<u32>,
    /// How many of those there were.
    count: u32,
}

/// What a section starts from.
#[derive(Clone, Copy, Default)]
enum Start {
    #[default]
    Nothing,
    From(usize),
    Unknown,
}

impl<'d> Reader<'d> {
    /// Reads sources as HAProxy does, one after the other.
    pub(super) fn read(sources: &[Source<'d>]) -> InForce<'d> {
        let mut reader = Self { is_complete: true, ..Self::default() };
        for (file, source) in sources.iter().enumerate() {
            reader.source(file, source);
        }
        InForce { sections: reader.sections, is_complete: reader.is_complete }
    }

    fn source(&mut self, file: usize, source: &Source<'d>) {
        self.open.clear();
        for line in source.document.preamble() {
            self.block(line);
            self.wild(source.may_be_anything(line));
        }
        for section in source.document.sections() {
            self.section(file, source, section);
        }
    }

    /// Enters and leaves `.if` blocks; whether the line does so, or is another command to the parser.
    fn block(&mut self, line: &Line) -> bool {
        let keyword = line.keyword().unwrap_or_default();
        if matches!(keyword, ".elif" | ".else" | ".endif") {
            self.open.pop();
        }
        if matches!(keyword, ".if" | ".elif" | ".else") {
            self.count += 1;
            self.open.push(self.count);
        }
        keyword.starts_with('.')
    }

    /// Notes a line that may open a section.
    fn wild(&mut self, is_wild: bool) {
        if is_wild {
            self.is_complete = false;
            self.last = Start::Unknown;
        }
    }

    fn branch(&self, source: &Source<'_>, index: usize) -> Branch {
        (source.branch(index), self.open.last().copied().unwrap_or(0))
    }

    fn section(&mut self, file: usize, source: &Source<'d>, section: &'d Section) {
        let first = section.lines.start;
        let branch = self.branch(source, first);
        let mut holding = self.start((file, source), section, branch);
        if section.keyword == "defaults" {
            let (at, name) = (self.sections.len(), section.name.as_deref().unwrap_or_default());
            self.last = Start::From(at);
            self.named.entry(name).or_default().push(at);
        }
        for (index, line) in (first + 1..).zip(source.document.body(section)) {
            if !self.block(line) && (!line.words.is_empty() || line.fault.is_some()) {
                self.line(&mut holding, branch, source, (index, line));
            }
        }
        self.sections.push(holding);
        self.branches.push(branch);
    }

    fn line(
        &mut self,
        holding: &mut Holding<'d>,
        branch: Branch,
        source: &Source<'d>,
        (index, line): (usize, &'d Line),
    ) {
        let own = self.branch(source, index);
        let mut setting = source.setting(holding.file, line, own);
        let is_wild = source.may_be_anything(line);
        setting.is_certain &= own == branch;
        holding.settings.push(setting);
        holding.is_complete &= !is_wild;
        self.wild(is_wild);
        // Where the section's block is not taken, the line is one of the section before.
        if (own.0 == 0 && branch.0 != 0) || (own.1 == 0 && branch.1 != 0) {
            let before = self.branches.iter().rposition(|other| *other != branch);
            if let Some(before) = before.map(|at| &mut self.sections[at]) {
                before.settings.push(setting);
                before.is_complete &= !is_wild;
            }
        }
    }

    fn start(
        &self,
        (file, source): (usize, &Source<'d>),
        section: &'d Section,
        branch: Branch,
    ) -> Holding<'d> {
        let mut holding = Holding {
            file,
            section,
            header: source.document.header(section),
            is_conditional: branch.1 != 0,
            defaults: None,
            settings: Vec::new(),
            is_complete: true,
            inherited: 0,
            hole: source.hole,
        };
        match self.starts_from(section) {
            Start::Nothing => {}
            // It must be there wherever this section is.
            Start::From(at) if self.branches[at] == (0, 0) || self.branches[at] == branch => {
                let defaults = &self.sections[at];
                holding.defaults = Some(at);
                holding.settings.clone_from(&defaults.settings);
                holding.inherited = holding.settings.len();
                holding.is_complete = defaults.is_complete;
            }
            Start::From(_) | Start::Unknown => holding.is_complete = false,
        }
        holding
    }

    /// `defaults` without `from` starts afresh, as do sections that are no proxies.
    fn starts_from(&self, section: &Section) -> Start {
        let is_proxy = matches!(section.keyword, "backend" | "frontend" | "listen");
        match &section.defaults {
            Some(from) => match self.named.get(from.as_str()).map(Vec::as_slice) {
                Some([at]) => Start::From(*at),
                _ => Start::Unknown,
            },
            None if is_proxy => self.last,
            None => Start::Nothing,
        }
    }
}
