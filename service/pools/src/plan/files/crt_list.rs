//! Commands for a list of certificates (`crt-list`), and for a directory of them, which HAProxy keeps as one.
//!
//! In: the lines that the file shall have, and those that HAProxy has. Out: the certificates that HAProxy must get first, then a
//! [`FileChange`] with the lines that come and those that go. HAProxy adds at the end, while in the file a line may stand anywhere;
//! so the order is looked at: where two lines serve the same name, the first one counts, and the very first line is for whoever
//! asks for no known name. Where that would come out another way than in the file, only a reload does it.

use std::collections::{BTreeMap, BTreeSet};

use super::{FileChange, FileReply, FileStep, Proof, Why, fits, name};

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The certificate's file, as HAProxy names it: with `crt-base` in front.
    pub certificate: String,
    /// What stands between `[` and `]`, each option with its value, sorted: HAProxy shows them in an order of its own.
    pub options: Vec<String>,
    /// The names that it serves, and with `!` those that it does not; empty where the certificate says.
    pub filters: Vec<String>,
}

/// A line as HAProxy has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What it says.
    pub line: Line,
    /// The number by which it is deleted.
    pub number: u32,
}

/// The options without a value.
const FLAGS: [&str; 2] = ["allow-0rtt", "no-ca-names"];
/// The options with one. Those of both lists HAProxy shows again when it is asked for its list; of any other it could not be told
/// whether it changed.
const VALUED: [&str; 11] = [
    "alpn",
    "ca-file",
    "ciphers",
    "ciphersuites",
    "crl-file",
    "curves",
    "ecdhe",
    "npn",
    "ssl-max-ver",
    "ssl-min-ver",
    "verify",
];

/// A list's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateList {
    /// Its lines, in order.
    pub lines: Vec<Line>,
    /// The lines as they are written.
    written: Vec<String>,
}

impl CertificateList {
    /// Reads a file. `crt_base` is what HAProxy puts before names that are not absolute.
    pub fn read(text: &str, crt_base: Option<&str>) -> Result<Self, Why> {
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(Why::Incomplete("its last line has no line feed, so it may be cut off".to_owned()));
        }
        let mut list = Self::default();
        for (at, written) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let line =
                line(written, crt_base).map_err(|why| Why::Reload(format!("line {}: {why}", at + 1)))?;
            if let Some(line) = line {
                list.lines.push(line);
                list.written.push(written.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
        Ok(list)
    }

    /// The list that stands for a directory: its certificates, in order of their names. Hidden files and those that belong to a certificate
    /// do not count.
    pub fn directory(path: &str, files: &BTreeSet<String>) -> Self {
        let belongs = |name: &str| {
            let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix);
            name.starts_with('.') || matches!(suffix, Some("issuer" | "ocsp" | "sctl" | "key"))
        };
        let written: Vec<String> =
            files.iter().filter(|name| !belongs(name)).map(|name| format!("{path}/{name}")).collect();
        let line = |certificate: &String| Line {
            certificate: certificate.clone(),
            options: Vec::new(),
            filters: Vec::new(),
        };
        Self { lines: written.iter().map(line).collect(), written }
    }

    /// The certificates in it that HAProxy does not have.
    pub fn missing(&self, loaded: &BTreeSet<String>) -> BTreeSet<String> {
        let named = self.lines.iter().map(|line| &line.certificate);
        named.filter(|certificate| !loaded.contains(*certificate)).cloned().collect()
    }

    /// What takes HAProxy from its list to this one; `None` where they say the same. `names` are those in HAProxy's certificates,
    /// as far as lines have none of their own.
    pub fn change(
        &self,
        path: &str,
        listed: &[Listed],
        names: &BTreeMap<String, Vec<String>>,
    ) -> Result<Option<FileChange>, Why> {
        let path = name(path)?;
        let (new, gone) = self.difference(listed);
        if listed.first().map(|listed| &listed.line) != self.lines.first() {
            return Err(Why::Reload(
                "another certificate stands first, for those who ask for no known name".to_owned(),
            ));
        }
        let stays =
            listed.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, listed)| &listed.line);
        let then: Vec<&Line> = stays.chain(new.iter().map(|at| &self.lines[*at])).collect();
        self.keeps_order(&then, names)?;
        if new.is_empty() && gone.is_empty() {
            return Ok(None);
        }
        let steps =
            new.iter().map(|at| self.add(path, *at)).chain(gone.iter().map(|at| delete(path, &listed[*at])));
        let mut steps = steps.collect::<Result<Vec<_>, Why>>()?;
        steps.extend(self.unused(&gone, listed).into_iter().map(forget));
        let why = format!("{} lines are new, {} are gone", new.len(), gone.len());
        let proof = Proof::Lines(self.lines.clone());
        Ok(Some(FileChange { path: path.to_owned(), why, steps, undo: Vec::new(), proof }))
    }

    /// Which of these lines are new, and which of HAProxy's are gone.
    fn difference(&self, listed: &[Listed]) -> (Vec<usize>, Vec<usize>) {
        let mut left: BTreeMap<&Line, Vec<usize>> = BTreeMap::new();
        for (at, listed) in listed.iter().enumerate().rev() {
            left.entry(&listed.line).or_default().push(at);
        }
        let mut is_new = |line: &Line| left.get_mut(line).and_then(Vec::pop).is_none();
        let new = (0..self.lines.len()).filter(|at| is_new(&self.lines[*at])).collect();
        let mut gone: Vec<usize> = left.into_values().flatten().collect();
        gone.sort_unstable();
        (new, gone)
    }

    /// Whether each name finds its lines in the same order.
    fn keeps_order(&self, then: &[&Line], names: &BTreeMap<String, Vec<String>>) -> Result<(), Why> {
        let wanted: Vec<&Line> = self.lines.iter().collect();
        if then == wanted {
            return Ok(());
        }
        let (wanted, then) = (by_name(&wanted, names)?, by_name(then, names)?);
        let moved = wanted.iter().find(|(name, lines)| then.get(*name) != Some(lines));
        moved.map_or(Ok(()), |(name, _)| {
            Err(Why::Reload(format!(
                "the order of the lines for {name} changes, and HAProxy adds at the end"
            )))
        })
    }

    fn add(&self, path: &str, at: usize) -> Result<FileStep, Why> {
        let line = &self.lines[at];
        name(&line.certificate)?;
        if !self.written[at].chars().all(|character| character.is_ascii_graphic() || character == ' ') {
            return Err(Why::Reload(format!(
                "the line of {} has characters that do not fit a command",
                line.certificate
            )));
        }
        let step = FileStep::with_payload(
            &format!("add ssl crt-list {path}"),
            self.written[at].clone(),
            FileReply::Success,
        );
        if fits(&step) {
            Ok(step)
        } else {
            Err(Why::Reload(format!("the line of {} is too long", line.certificate)))
        }
    }

    /// Certificates that no line names any more. Other lists may: then HAProxy keeps them.
    fn unused<'l>(&self, gone: &[usize], listed: &'l [Listed]) -> Vec<&'l str> {
        let named: BTreeSet<&str> = self.lines.iter().map(|line| line.certificate.as_str()).collect();
        let left: BTreeSet<&str> = gone.iter().map(|at| listed[*at].line.certificate.as_str()).collect();
        left.into_iter().filter(|certificate| !named.contains(certificate)).collect()
    }
}

/// Reads HAProxy's answer to `show ssl crt-list -n`. `None` where it is none.
pub fn listed(reply: &str) -> Option<Vec<Listed>> {
    let mut lines = reply.lines();
    lines.next()?.strip_prefix("# ")?;
    lines
        .map(|line| line.replace('\0', ""))
        .filter(|line| !line.is_empty())
        .map(|line| listed_line(&line))
        .collect()
}

fn listed_line(text: &str) -> Option<Listed> {
    let (numbered, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (certificate, number) = numbered.rsplit_once(':')?;
    Some(Listed { line: line(&format!("{certificate} {rest}"), None).ok()??, number: number.parse().ok()? })
}

/// Reads a line; nothing where there is nothing on it.
fn line(text: &str, crt_base: Option<&str>) -> Result<Option<Line>, String> {
    let (before, within, after) = parts(text)?;
    let mut words = before.split_ascii_whitespace();
    let Some(file) = words.next() else { return Ok(None) };
    let filters: Vec<String> = words.chain(after.split_ascii_whitespace()).map(str::to_owned).collect();
    let certificate = match crt_base {
        Some(base) if !file.starts_with('/') => format!("{base}/{file}"),
        _ => file.to_owned(),
    };
    Ok(Some(Line { certificate, options: options(within)?, filters }))
}

/// What stands before the options, the options, and what follows.
fn parts(text: &str) -> Result<(&str, &str, &str), String> {
    let Some((before, rest)) = text.split_once('[') else { return Ok((text, "", "")) };
    let (within, after) = rest.split_once(']').ok_or("`[` is not closed")?;
    if before.split_ascii_whitespace().count() > 1 || after.contains(['[', ']']) {
        return Err("names stand before the options, or there are two lists of options".to_owned());
    }
    Ok((before, within, after))
}

fn options(text: &str) -> Result<Vec<String>, String> {
    let (mut options, mut words) = (Vec::new(), text.split_ascii_whitespace());
    while let Some(keyword) = words.next() {
        let value = if FLAGS.contains(&keyword) { None } else { words.next() };
        match value {
            Some(value) if keyword.ends_with("-file") && !value.starts_with('/') => {
                return Err(format!("`{keyword} {value}` is no absolute path"));
            }
            Some(value) if VALUED.contains(&keyword) => options.push(format!("{keyword} {value}")),
            None if FLAGS.contains(&keyword) => options.push(keyword.to_owned()),
            _ => return Err(format!("of the option `{keyword}` HAProxy does not say whether it has it")),
        }
    }
    options.sort();
    Ok(options)
}

/// Which lines serve a name, in their order.
fn by_name<'l>(
    lines: &[&'l Line],
    names: &'l BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, Vec<&'l Line>>, Why> {
    let mut found: BTreeMap<String, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        let own = if line.filters.is_empty() { names.get(&line.certificate) } else { Some(&line.filters) };
        let own =
            own.ok_or_else(|| Why::Reload(format!("the names in {} are not known", line.certificate)))?;
        for name in own.iter().filter(|name| !name.starts_with('!')) {
            found.entry(name.to_ascii_lowercase()).or_default().push(line);
        }
    }
    Ok(found)
}

fn delete(path: &str, listed: &Listed) -> Result<FileStep, Why> {
    let certificate = name(&listed.line.certificate)?;
    let reply = FileReply::line(format!("Entry '{certificate}' deleted in crtlist '{path}'!"));
    Ok(FileStep::new(format!("del ssl crt-list {path} {certificate}:{}", listed.number), reply))
}

fn forget(certificate: &str) -> FileStep {
    let deleted = format!("Certificate '{certificate}' deleted!");
    let used = format!("Can't remove the certificate: certificate '{certificate}' in use, can't be deleted!");
    FileStep::new(format!("del ssl cert {certificate}"), FileReply::Exactly(vec![deleted, used]))
}
