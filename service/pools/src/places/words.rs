//! What a word that is printed, wholly or in part, may say, by its place on the line. In: the word and its line.
//! Out: its place and why it does not fit there.

use std::net::IpAddr;

use haproxy_cfg::{Address, Host, KEYWORDS, Line, Port, Word};

use super::{Value, characters, options};

/// A word that values are part of.
pub(super) struct Printed<'a> {
    /// Its line, with harmless characters in the values.
    pub(super) line: &'a Line,
    /// Its index on the line.
    pub(super) index: usize,
    /// What HAProxy would see.
    pub(super) value: &'a str,
    /// The values in it, in order.
    pub(super) parts: &'a [Value<'a>],
}

/// Keywords whose second word says what the line does.
const FAMILIES: [&str; 16] = [
    "option",
    "no",
    "default",
    "http-request",
    "http-response",
    "http-after-response",
    "http-check",
    "tcp-request",
    "tcp-response",
    "tcp-check",
    "stats",
    "stick",
    "timeout",
    "email-alert",
    "filter",
    "quic-initial",
];

/// Keywords whose second word is a name.
const NAMED: [&str; 6] = ["acl", "use_backend", "default_backend", "use-server", "use-fcgi-app", "table"];

/// Words with a meaning of their own in conditions, and in headers of sections.
const OPERATORS: [&str; 8] = ["if", "unless", "or", "||", "{", "}", "!", "from"];

impl Printed<'_> {
    /// The word's place, and why it does not fit there.
    pub(super) fn misfit(&self) -> Option<(String, String)> {
        self.general().or_else(|| self.by_keyword())
    }

    /// What holds for a word on any line.
    fn general(&self) -> Option<(String, String)> {
        let keyword = self.line.keyword().unwrap_or_default();
        let word = || "word".to_owned();
        if self.index == 0 {
            Some((
                "first word of a line".to_owned(),
                "a value must not decide what kind of line this is".to_owned(),
            ))
        } else if self.index == 1 && FAMILIES.contains(&keyword) {
            Some((
                format!("second word of `{keyword}`"),
                "a value must not decide what the line does".to_owned(),
            ))
        } else if self.value.is_empty() {
            Some((word(), "the value is empty, and HAProxy reads no further than an empty word".to_owned()))
        } else if OPERATORS.contains(&self.value) {
            Some((word(), format!("`{}` has a meaning of its own there", self.value)))
        } else if self.begins() && self.value.starts_with(['-', '!', '{', '}', '|']) {
            Some((word(), "a word that begins so is a flag or an operator".to_owned()))
        } else {
            None
        }
    }

    /// Whether the word's first character is a value's.
    fn begins(&self) -> bool {
        let first = first_character(self.word());
        self.parts.iter().any(|part| part.span.contains(&first))
    }

    fn word(&self) -> &Word {
        &self.line.words[self.index]
    }

    fn by_keyword(&self) -> Option<(String, String)> {
        let keyword = self.line.keyword()?;
        match (keyword, self.index) {
            ("server" | "peer" | "nameserver" | "mailer" | "server-template", 1) => self.server_name(),
            ("server" | "peer" | "nameserver" | "mailer", 2) | ("server-template", 3) => self.address(),
            ("server-template", 2) => self.count(),
            ("server" | "peer", _) => self.option(3),
            ("server-template", _) => self.option(4),
            ("default-server", _) => self.option(1),
            (_, 1) if KEYWORDS.contains(&keyword) => self.section_name(keyword),
            (_, 1) if NAMED.contains(&keyword) => {
                name(self.value).map(|why| (format!("name in `{keyword}`"), why))
            }
            _ => None,
        }
    }

    fn server_name(&self) -> Option<(String, String)> {
        let reserved = matches!(self.value, "FRONTEND" | "BACKEND");
        let reserved = reserved.then(|| "HAProxy's statistics use this name themselves".to_owned());
        name(self.value).or(reserved).map(|reason| ("name of a server".to_owned(), reason))
    }

    /// Names that begin with `_` or `<` and those in capitals are those of HAProxy's own proxies.
    fn section_name(&self, keyword: &str) -> Option<(String, String)> {
        let internal =
            self.value.starts_with('_') || matches!(self.value, "FRONTEND" | "BACKEND" | "GLOBAL" | "MASTER");
        let internal = internal.then(|| "HAProxy uses such names itself".to_owned());
        name(self.value).or(internal).map(|reason| (format!("name of a `{keyword}` section"), reason))
    }

    fn count(&self) -> Option<(String, String)> {
        let digits = !self.value.is_empty() && self.value.bytes().all(|byte| byte.is_ascii_digit());
        (!digits).then(|| ("count of a server-template".to_owned(), "a whole number is wanted".to_owned()))
    }

    fn option(&self, first: usize) -> Option<(String, String)> {
        options::misfit(&self.line.words[first..], self.index - first, self.value, self.begins())
    }

    fn address(&self) -> Option<(String, String)> {
        let place = "address of a server".to_owned();
        // Where the template itself begins with `unix@` or a path, the kind of address is not a value's choice.
        let own =
            self.parts.first().map_or(0, |part| part.span.start.saturating_sub(self.word().range.start));
        let written = self.value.get(..own).unwrap_or_default();
        if matches!(Address::parse(written).host, Host::Local(_)) {
            return None;
        }
        let address = Address::parse(self.value);
        let prefix = address.family.is_some() && !written.contains('@');
        let prefix = prefix.then(|| "a value must not choose the kind of address".to_owned());
        prefix
            .or_else(|| host(&address.host))
            .or_else(|| port(self.value, &address.port))
            .map(|reason| (place, reason))
    }
}

/// Where the first character of a word's value stands: past quotes, and past pairs of quotes with nothing in them.
fn first_character(word: &Word) -> usize {
    let mut at = word.range.start;
    for part in word.quoted() {
        if part.inner.start != at + 1 {
            break;
        }
        if !part.inner.is_empty() {
            return part.inner.start;
        }
        at = part.inner.end + 1;
    }
    at
}

fn name(value: &str) -> Option<String> {
    let unfit = value.chars().find(|character| !characters::is_name(*character));
    let unfit =
        unfit.map(|found| format!("`{found}` does not fit a name; letters, digits and `_` `.` `:` `-` do"));
    let empty = value.is_empty().then(|| "the name is empty".to_owned());
    empty.or(unfit)
}

fn host(host: &Host) -> Option<String> {
    match host {
        Host::Ip(ip) if is_unspecified(*ip) => {
            Some("the unspecified address stands for the client's target".into())
        }
        Host::Ip(_) => None,
        Host::Name(name) if is_host_name(name) => None,
        Host::Name(_) => Some("neither an IP address nor a host name".into()),
        Host::Transparent => Some("without an address HAProxy connects to the client's target".into()),
        Host::Local(_) => Some("not an address on the network".into()),
    }
}

fn is_unspecified(ip: IpAddr) -> bool {
    ip.to_canonical().is_unspecified()
}

/// A host name; not one that the C library takes for an IP address (`0`, `127.1`, `0x7f.1`), so not one whose last
/// label begins with a digit.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let edges = label.starts_with(|c: char| c.is_ascii_alphanumeric()) && !label.ends_with('-');
        edges
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
            && label.len() <= 63
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(label) && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn port(written: &str, port: &Port) -> Option<String> {
    match port {
        Port::Number(0) | Port::Absent => {
            Some("without a port HAProxy uses the client's; 1 to 65535 is wanted".into())
        }
        Port::Number(number) if written.ends_with(&format!(":{number}")) => None,
        Port::Number(_) | Port::Offset(_) | Port::Invalid(_) => {
            Some("a port from 1 to 65535 is wanted".into())
        }
    }
}
