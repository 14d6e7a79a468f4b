//! Reading a section: which of its lines are servers that commands can change, and what holds for them.
//!
//! In: the lines, and what holds where they begin. Out: a [`Reading`]. The same lines give the same reading wherever they stand.

use std::rc::Rc;

use haproxy_cfg::{Document, Line, PlainWords, Section, ServerTemplate};

use super::{Member, Pool, Reading, SMALL, Said, Settings};

impl<'d> Said<'d> {
    /// What its lines say; read when it is asked for first.
    pub(super) fn reading(&self) -> &Reading<'d> {
        self.reading.get_or_init(|| self.read())
    }

    /// Its servers, to be changed.
    pub(super) fn pool_mut(&mut self) -> Option<&mut Pool<'d>> {
        self.reading();
        self.reading.get_mut().map(|reading| &mut reading.pool)
    }

    fn read(&self) -> Reading<'d> {
        let mut pool = self.pool();
        let mut fixed = Vec::new();
        let Some(document) = self.document else { return Reading { fixed, pool } };
        let (header, lines) = match self.section {
            Some(section) => (Some(document.header(section)), document.body(section)),
            None => (None, document.lines()),
        };
        fixed.extend(header);
        let mut depth = self.around.depth;
        for line in lines {
            if !self.line(document, &mut pool, &mut depth, line) && says_something(line) {
                fixed.push(line);
            }
        }
        pool.index();
        Reading { fixed, pool }
    }

    /// The pool before its lines.
    fn pool(&self) -> Pool<'d> {
        let name = self.section.and_then(|section| section.name.as_deref()).unwrap_or_default();
        let mut settings = self.around.inherited.clone();
        if self.around.depth > 0 {
            Rc::make_mut(&mut settings).uncertain = true;
        }
        Pool { name, settings, ..Pool::default() }
    }

    /// Takes a line; returns whether it is a server that commands can change.
    fn line(&self, document: &'d Document, pool: &mut Pool<'d>, depth: &mut usize, line: &'d Line) -> bool {
        let is_pool = self.section.is_some_and(Section::is_pool);
        let mut plain = document.plain_words(line);
        let keyword = plain.as_mut().map_or_else(|| line.keyword(), Iterator::next);
        match keyword {
            Some("server") if is_pool => return pool.take(line, plain, *depth > 0),
            Some("server-template") if is_pool => pool.take_template(line),
            Some(keyword) if keyword.starts_with('.') => *depth = depth_after(*depth, [line]),
            _ => Settings::take(&mut pool.settings, line, *depth > 0),
        }
        false
    }
}

/// How many `.if` are open after the lines.
pub(super) fn depth_after<'l>(depth: usize, lines: impl IntoIterator<Item = &'l Line>) -> usize {
    lines.into_iter().fold(depth, |depth, line| match line.keyword() {
        Some(".if") => depth + 1,
        Some(".endif") => depth.saturating_sub(1),
        _ => depth,
    })
}

fn says_something(line: &Line) -> bool {
    !line.words.is_empty() || line.fault.is_some()
}

impl<'d> Pool<'d> {
    /// Takes a `server` line; returns whether it is one that commands can change.
    /// `plain`: the words behind the keyword, if the text alone says them.
    fn take(&mut self, line: &'d Line, plain: Option<PlainWords<'d>>, is_conditional: bool) -> bool {
        let [_, name, address, options @ ..] = line.words.as_slice() else { return false };
        if is_conditional || !(plain.is_some() || is_certain(line)) {
            self.has_unknown_names |= name.environment;
            self.fixed_names.insert(&name.value);
            return false;
        }
        let (name, written, plain) = match plain.and_then(server_in) {
            Some((name, address, options)) => (name, address, Some(options)),
            None => (name.value.as_str(), address.value.as_str(), None),
        };
        let (at, defaults, line) = (self.servers.len(), self.settings.default_server.len(), line.number);
        self.servers.push(Member { name, written, options, plain, line, at, defaults });
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
        let is_taken = document.lines().first().is_some_and(|line| self.take(line, None, false));
        self.index();
        is_taken
    }

    /// Makes servers quick to find.
    fn index(&mut self) {
        let servers = &self.servers;
        if servers.len() > SMALL {
            self.index = servers.iter().rev().map(|member| (member.name, member.at)).collect();
        }
        let first = |name| match servers.len() {
            0..=SMALL => servers.iter().position(|member| member.name == name),
            _ => self.index.get(name).copied(),
        };
        self.twin = servers.iter().position(|member| first(member.name) != Some(member.at));
    }
}

/// The name and the address of a server, and its options.
fn server_in(mut words: PlainWords<'_>) -> Option<(&str, &str, PlainWords<'_>)> {
    let (name, address) = (words.next(), words.next());
    Some((name?, address?, words))
}

impl<'d> Settings<'d> {
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
