//! What HAProxy prints when it checks a configuration.
//!
//! In: its standard error, and which file stands for which. Out: [`Message`]s with severity, file and line, naming the
//! files as the user does. A text that is not in HAProxy's form is kept as a notice.

use std::path::{Path, PathBuf};

use crate::load_order::Loaded;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How bad it is.
    pub severity: Severity,
    /// The file it is about, by the name the user knows.
    pub file: Option<PathBuf>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// HAProxy's own words, without the severity and the process ID.
    pub text: String,
}

/// The word in front of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// For information.
    Notice,
    /// It works, but.
    Warning,
    /// It does not work.
    Alert,
}

/// The messages in `stderr`; `files` are those that HAProxy was given.
pub(crate) fn messages(stderr: &str, files: &[Loaded]) -> Vec<Message> {
    let mut found: Vec<Message> = Vec::new();
    for line in stderr.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        match (headed(line), found.last_mut()) {
            (Some((severity, text)), _) => found.push(plain(severity, text)),
            (None, Some(last)) if line.starts_with([' ', '\t']) => {
                last.text.push('\n');
                last.text += line.trim_start().trim_start_matches("| ");
            }
            _ => found.push(plain(Severity::Notice, line)),
        }
    }
    found.retain(|message| !is_banner(&message.text));
    found.iter().map(|message| placed(message, files)).collect()
}

/// The text with the names of candidates replaced by those of their targets.
pub(crate) fn in_the_users_names(text: &str, files: &[Loaded]) -> String {
    let replaced = files.iter().filter(|file| file.path != file.stands_for);
    replaced.fold(text.to_owned(), |text, file| {
        text.replace(&*file.path.to_string_lossy(), &file.stands_for.to_string_lossy())
    })
}

fn plain(severity: Severity, text: &str) -> Message {
    Message { severity, file: None, line: None, text: text.to_owned() }
}

/// Splits "[ALERT]    (123) : config : …"; 2.2 has a date before the process ID.
fn headed(line: &str) -> Option<(Severity, &str)> {
    let (word, rest) = line.strip_prefix('[')?.split_once(']')?;
    let severity = match word {
        "ALERT" | "EMERG" | "CRIT" => Severity::Alert,
        "WARNING" => Severity::Warning,
        "NOTICE" | "INFO" | "DIAG" | "DEBUG" => Severity::Notice,
        _ => return None,
    };
    let (_, text) = rest.split_once(") : ").unwrap_or(("", rest.trim_start_matches([' ', ':'])));
    Some((severity, text))
}

/// What HAProxy prints about itself before the first error.
fn is_banner(text: &str) -> bool {
    text.starts_with("haproxy version is ") || text.starts_with("path to executable is ")
}

fn placed(message: &Message, files: &[Loaded]) -> Message {
    let (file, line) = place(&message.text, files).unzip();
    Message { severity: message.severity, file, line, text: in_the_users_names(&message.text, files) }
}

/// The first `[FILE:LINE` or `at FILE:LINE`: of a file that was given, so that no name confuses it, or else of any.
fn place(text: &str, files: &[Loaded]) -> Option<(PathBuf, usize)> {
    let known = files.iter().filter_map(|file| {
        let (at, line) = numbered(text, &file.path)?;
        Some((at, file.stands_for.clone(), line))
    });
    let first = known.min_by_key(|(at, ..)| *at).map(|(_, file, line)| (file, line));
    first.or_else(|| bracketed(text))
}

/// Where `FILE:LINE` stands in the text, and the line.
fn numbered(text: &str, file: &Path) -> Option<(usize, usize)> {
    let name = format!("{}:", file.display());
    text.match_indices(&name).find_map(|(at, _)| {
        let begins = text[..at].chars().next_back().is_none_or(|before| " [('\"".contains(before));
        begins.then(|| Some((at, leading_number(&text[at + name.len()..])?)))?
    })
}

fn bracketed(text: &str) -> Option<(PathBuf, usize)> {
    let inside = text.split_once('[')?.1;
    let (file, line) = inside.split_once(']')?.0.rsplit_once(':')?;
    Some((file.into(), leading_number(line)?))
}

fn leading_number(text: &str) -> Option<usize> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<Loaded> {
        let loaded =
            |path: &str, stands_for: &str| Loaded { path: path.into(), stands_for: stands_for.into() };
        vec![
            loaded("/e/00.cfg", "/e/00.cfg"),
            loaded("/e/.h.cfg.weir-candidate", "/e/h.cfg"),
            loaded("/s [a] : b", "/s [a] : b"),
        ]
    }

    #[test]
    fn reads_what_2_6_prints() {
        let text = "\
[NOTICE]   (18464) : haproxy version is 2.6.12-1+deb12u4
[NOTICE]   (18464) : path to executable is /usr/sbin/haproxy
[WARNING]  (18464) : config : missing timeouts for frontend 'f'.
   | While not properly invalid, you will certainly encounter various problems
   | with such a configuration.
[ALERT]    (18464) : config : parsing [/e/.h.cfg.weir-candidate:14] : unknown keyword 'bogus' in 'backend' section
[ALERT]    (18464) : config : Error(s) found in configuration file : /e/.h.cfg.weir-candidate
";
        let found = messages(text, &files());
        assert_eq!(
            found.iter().map(|m| m.severity).collect::<Vec<_>>(),
            [Severity::Warning, Severity::Alert, Severity::Alert]
        );
        assert!(found[0].text.ends_with("problems\nwith such a configuration."), "{:?}", found[0]);
        assert_eq!((found[1].file.as_deref(), found[1].line), (Some(Path::new("/e/h.cfg")), Some(14)));
        assert_eq!(
            found[1].text,
            "config : parsing [/e/h.cfg:14] : unknown keyword 'bogus' in 'backend' section"
        );
        assert_eq!(found[2].text, "config : Error(s) found in configuration file : /e/h.cfg");
    }

    #[test]
    fn places_are_found_in_other_forms() {
        let at = |text: &str| {
            let found = messages(text, &files()).remove(0);
            (found.file.map(|file| file.display().to_string()), found.line)
        };
        let old = at("[ALERT] 326/001122 (99) : parsing [/e/00.cfg:3] : unknown keyword 'x'");
        assert_eq!(old, (Some("/e/00.cfg".into()), Some(3)));
        let strange = at("[ALERT] (9) : config : parsing [/s [a] : b:7] : error");
        assert_eq!(strange, (Some("/s [a] : b".into()), Some(7)));
        let elsewhere = at("[ALERT] (9) : parsing [/maps/x.map:12]: invalid");
        assert_eq!(elsewhere, (Some("/maps/x.map".into()), Some(12)));
        let spoken = at("[WARNING] (9) : proxy 'x' declared at /e/.h.cfg.weir-candidate:5 has no server");
        assert_eq!(spoken, (Some("/e/h.cfg".into()), Some(5)));
        assert_eq!(at("[ALERT] (9) : config : Fatal errors found in configuration."), (None, None));
        assert_eq!(at("sh: 1: something else"), (None, None));
    }
}
