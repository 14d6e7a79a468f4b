//! Which files a configuration names, and what for.
//!
//! In: documents in load order. Out: [`Reference`]s, one per file, by the name that HAProxy gives it, and the [`Settings`] that names
//! depend on. What is not understood (a name in quotes of its own, from the environment, of a `crt-store`) is not in the
//! list: for such a file only a reload is right. Nothing fails.

use haproxy_cfg::{Document, Line, Section};

use super::FileKind;

/// A file that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its name, with `crt-base` or `ca-base` in front where HAProxy puts it there.
    pub path: String,
    /// What it is used as.
    pub kind: FileKind,
    /// Requests change it (`http-request set-map(FILE) …`), so that HAProxy may have another content than the file without anybody
    /// having edited it.
    pub is_changed_by_requests: bool,
    /// Where it is named first: the document, from 0.
    pub file: usize,
    /// The line there, from 1.
    pub line: usize,
}

/// What the `global` section says about names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `crt-base`.
    pub crt_base: Option<String>,
    /// `ca-base`.
    pub ca_base: Option<String>,
    /// `ssl-load-extra-files`: which of the suffixes `key`, `ocsp`, `issuer`, `sctl` HAProxy looks for beside a certificate.
    pub extra_files: Vec<String>,
    /// `ssl-load-extra-del-ext`: the suffix takes the place of `.crt`.
    pub replaces_crt: bool,
}

const EXTRA_FILES: [&str; 4] = ["key", "ocsp", "issuer", "sctl"];

impl Default for Settings {
    fn default() -> Self {
        let extra_files = EXTRA_FILES.map(str::to_owned).to_vec();
        Self { crt_base: None, ca_base: None, extra_files, replaces_crt: false }
    }
}

impl Settings {
    /// The file beside `certificate` with that suffix, where HAProxy looks for one.
    pub fn beside(&self, certificate: &str, suffix: &str) -> Option<String> {
        let stem = if self.replaces_crt { certificate.strip_suffix(".crt") } else { None };
        let is_looked_for = self.extra_files.iter().any(|extra| extra == suffix);
        is_looked_for.then(|| format!("{}.{suffix}", stem.unwrap_or(certificate)))
    }
}

/// What the documents' `global` sections say.
pub fn settings(documents: &[Document]) -> Settings {
    let mut settings = Settings::default();
    for document in documents {
        let globals = document.sections().iter().filter(|section| section.keyword == "global");
        for line in globals.flat_map(|section| document.body(section)) {
            settings.take(line);
        }
    }
    settings
}

impl Settings {
    fn take(&mut self, line: &Line) {
        let value = || line.word(1).map(str::to_owned);
        match line.keyword() {
            Some("crt-base") => self.crt_base = value(),
            Some("ca-base") => self.ca_base = value(),
            Some("ssl-load-extra-del-ext") => self.replaces_crt = true,
            Some("ssl-load-extra-files") => {
                let words: Vec<&str> = line.words[1..].iter().map(|word| word.value.as_str()).collect();
                let is_wanted = |suffix: &&str| words.contains(suffix) || words.contains(&"all");
                self.extra_files = EXTRA_FILES.into_iter().filter(is_wanted).map(str::to_owned).collect();
            }
            _ => {}
        }
    }

    fn based(base: Option<&String>, name: &str) -> String {
        match base {
            Some(base) if !name.starts_with('/') => format!("{base}/{name}"),
            _ => name.to_owned(),
        }
    }
}

/// The files that the documents name, in order.
pub fn references(documents: &[Document]) -> Vec<Reference> {
    let mut reader = Reader { settings: settings(documents), found: Vec::new() };
    for (file, document) in documents.iter().enumerate() {
        for section in document.sections() {
            reader.section(file, document, section);
        }
    }
    reader.found
}

struct Reader {
    settings: Settings,
    found: Vec<Reference>,
}

impl Reader {
    fn section(&mut self, file: usize, document: &Document, section: &Section) {
        if section.keyword == "crt-store" {
            return;
        }
        for line in document.body(section).iter().filter(|line| line.fault.is_none()) {
            let place = (file, line.number);
            self.pairs(place, line);
            for word in line.words.iter().filter(|word| !word.environment) {
                for (path, kind, is_changed) in calls(&word.value) {
                    self.add(place, path.to_owned(), kind, is_changed);
                }
            }
        }
    }

    /// Options with a file after them.
    fn pairs(&mut self, place: (usize, usize), line: &Line) {
        let has_values = line.words.iter().any(|word| word.value == "-M");
        for pair in line.words.windows(2).filter(|pair| !pair[1].environment) {
            let name = pair[1].value.as_str();
            let (crt_base, ca_base) = (self.settings.crt_base.as_ref(), self.settings.ca_base.as_ref());
            let (base, kind) = match pair[0].value.as_str() {
                "-f" if !has_values => (None, FileKind::Acl),
                "crt" if takes_certificates(line) => (crt_base, FileKind::Certificate),
                "crt-list" if takes_certificates(line) => (None, FileKind::CrtList),
                "ca-file" | "ca-verify-file" if takes_certificates(line) => (ca_base, FileKind::Authorities),
                "crl-file" if takes_certificates(line) => (ca_base, FileKind::Revocations),
                _ => continue,
            };
            self.add(place, Settings::based(base, name), kind, false);
        }
    }

    fn add(&mut self, (file, line): (usize, usize), path: String, kind: FileKind, is_changed: bool) {
        if path.is_empty() || path.contains('@') {
            return;
        }
        let Some(known) = self.found.iter_mut().find(|known| known.path == path) else {
            self.found.push(Reference { path, kind, is_changed_by_requests: is_changed, file, line });
            return;
        };
        known.kind = both(known.kind, kind);
        known.is_changed_by_requests |= is_changed;
    }
}

/// What a file is that is used as one and the other.
fn both(one: FileKind, other: FileKind) -> FileKind {
    match (one, other) {
        (FileKind::Map { ordered: one }, FileKind::Map { ordered: other }) => {
            FileKind::Map { ordered: one || other }
        }
        (FileKind::Map { .. }, FileKind::Acl) | (FileKind::Acl, FileKind::Map { .. }) => {
            FileKind::Map { ordered: true }
        }
        (one, _) => one,
    }
}

fn takes_certificates(line: &Line) -> bool {
    matches!(line.keyword(), Some("bind" | "server" | "server-template" | "default-server" | "default-bind"))
}

/// The files that calls such as `map_beg(FILE,default)` in a word name.
fn calls(word: &str) -> impl Iterator<Item = (&str, FileKind, bool)> {
    word.match_indices('(').filter_map(|(at, _)| {
        let begin = word[..at]
            .rfind(|character: char| !(character.is_ascii_alphanumeric() || "_-".contains(character)));
        let name = &word[begin.map_or(0, |begin| begin + 1)..at];
        let (kind, is_changed) = call(name)?;
        let arguments = &word[at + 1..];
        let path = &arguments[..arguments.find([',', ')'])?];
        (!path.contains(['"', '\'', '\\', ' '])).then_some((path, kind, is_changed))
    })
}

/// What a converter or an action takes a file for, and whether it changes it.
fn call(name: &str) -> Option<(FileKind, bool)> {
    if let Some(method) = name.strip_prefix("map") {
        // Both find the same in a tree wherever an entry stands; all others go through the entries in their order.
        let method = method.trim_end_matches("_int").trim_end_matches("_ip");
        let is_whole_name = method.is_empty() || method.starts_with('_');
        let ordered = !(matches!(method, "_str" | "_beg") || name == "map");
        return is_whole_name.then_some((FileKind::Map { ordered }, false));
    }
    match name {
        // How the map is compared, the converters say.
        "set-map" | "del-map" => Some((FileKind::Map { ordered: false }, true)),
        "add-acl" | "del-acl" => Some((FileKind::Acl, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, FileKind)> {
        references(&[Document::parse(text)]).into_iter().map(|found| (found.path, found.kind)).collect()
    }

    const ORDERED: FileKind = FileKind::Map { ordered: true };
    const TREE: FileKind = FileKind::Map { ordered: false };

    #[test]
    fn maps_are_known_by_their_converters() {
        let text = "frontend f\n use_backend %[req.hdr(host),lower,map(/e/a.map,none)]\n\
            http-request set-var(txn.x) path,map_beg(/e/b.map)\n http-request set-header X \"%[src,map_ip(/e/c.map)] %[path,map_reg(/e/d.map)]\"\n\
            http-request set-var(txn.y) path,map_str_int(/e/e.map,0),add(1)\n http-request set-var(txn.z) path,map_int(/e/f.map)\n\
            http-request set-header Y %[path,map_reg(/e/b.map)]\n http-request set-map(/e/g.map) %[src] 1\n http-request set-header mapper(/e/h) x\n";
        let expected = [
            ("a", TREE),
            ("b", ORDERED),
            ("c", ORDERED),
            ("d", ORDERED),
            ("e", TREE),
            ("f", ORDERED),
            ("g", TREE),
        ];
        let expected: Vec<_> = expected.map(|(name, kind)| (format!("/e/{name}.map"), kind)).to_vec();
        assert_eq!(found(text), expected);
        let changed: Vec<_> = references(&[Document::parse(text)])
            .into_iter()
            .filter(|found| found.is_changed_by_requests)
            .collect();
        assert_eq!((changed.len(), changed[0].path.as_str(), changed[0].line), (1, "/e/g.map", 8));
    }

    #[test]
    fn lists_of_patterns_are_known_by_their_flag() {
        let text = "backend b\n acl a src -f /e/net.lst -f more.lst\n http-request deny if { path -i -m beg -f /e/paths.lst }\n acl m path -M -f /e/m.map\n";
        let expected =
            ["/e/net.lst", "more.lst", "/e/paths.lst"].map(|path| (path.to_owned(), FileKind::Acl));
        assert_eq!(found(text), expected);
    }

    #[test]
    fn certificates_have_their_base_in_front() {
        let text = "global\n crt-base /e/certs\n ca-base /e/ca\nfrontend f\n bind :443 ssl crt a.pem crt /x/b.pem crt-list list ca-file root.pem crl-file /x/crl\n\
            backend b\n server s 10.0.0.1:443 ssl crt client.pem ca-file @system-ca\n acl crt path /crt a.pem\ncrt-store s\n load crt z.pem\n";
        let expected = [
            ("/e/certs/a.pem", FileKind::Certificate),
            ("/x/b.pem", FileKind::Certificate),
            ("list", FileKind::CrtList),
            ("/e/ca/root.pem", FileKind::Authorities),
            ("/x/crl", FileKind::Revocations),
            ("/e/certs/client.pem", FileKind::Certificate),
        ];
        assert_eq!(found(text), expected.map(|(path, kind)| (path.to_owned(), kind)));
    }

    #[test]
    fn what_is_not_certain_is_not_listed() {
        let text = "frontend f\n bind :443 ssl crt \"$CERT\"\n http-request set-header X %[path,map(\"\\\"/e/a.map\\\"\")] \n use_backend \"%[path,map(${M})]\"\n";
        assert_eq!(found(text), []);
    }

    #[test]
    fn files_beside_a_certificate_follow_the_settings() {
        let read = |text: &str| settings(&[Document::parse(text)]);
        let all = read("defaults\n crt-base x\n");
        assert_eq!((all.beside("/a.crt", "key").as_deref(), all.crt_base), (Some("/a.crt.key"), None));
        let some = read("global\n ssl-load-extra-files key bundle\n ssl-load-extra-del-ext\n");
        assert_eq!(
            (some.beside("/a.crt", "key").as_deref(), some.beside("/a.crt", "ocsp")),
            (Some("/a.key"), None)
        );
        assert_eq!(some.beside("/a.pem", "key").as_deref(), Some("/a.pem.key"));
        assert_eq!(read("global\n ssl-load-extra-files none\n").beside("/a.pem", "key"), None);
    }
}
