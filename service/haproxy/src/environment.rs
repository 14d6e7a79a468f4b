//! Environment variables as HAProxy tells them, and as a file gives them.
//!
//! In: the reply to `show env`, or a file as systemd's `EnvironmentFile` and FreeBSD's `haproxy_env_file` take it. Out: names and values.
//! Lines that are neither are passed over.

/// Names and values, in order; the later one of a name counts.
pub(crate) type Variables = Vec<(String, String)>;

/// What a master says to the one that it becomes. Another process must not take it for its own.
const INTERNAL: [&str; 7] = [
    "HAPROXY_CFGFILES",
    "HAPROXY_LOAD_SUCCESS",
    "HAPROXY_MWORKER_REEXEC",
    "HAPROXY_MWORKER_WAIT_ONLY",
    "HAPROXY_PROCESSES",
    "HAPROXY_STARTUPLOGS_FD",
    "HAPROXY_STARTUP_VERSION",
];

/// Reads the reply to `show env`; `None` where it tells nothing, as without the right to ask. A line that begins no variable
/// goes on with the value before it.
pub(crate) fn told(reply: &str) -> Option<Variables> {
    let mut variables = Variables::new();
    for line in reply.trim_end_matches('\n').split('\n') {
        match (variable(line), variables.last_mut()) {
            (Some((name, value)), _) => variables.push((name.to_owned(), value.to_owned())),
            (None, Some((_, value))) => *value = format!("{value}\n{line}"),
            (None, None) => {}
        }
    }
    variables.retain(|(name, _)| !INTERNAL.contains(&name.as_str()));
    (!variables.is_empty()).then_some(variables)
}

/// Reads lines `NAME=VALUE`, `export NAME='VALUE'`; `#` and `;` begin comments.
pub(crate) fn written(text: &str) -> Variables {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let variables =
        lines.filter_map(|line| variable(line.strip_prefix("export ").unwrap_or(line).trim_start()));
    variables.map(|(name, value)| (name.to_owned(), unquoted(value).to_owned())).collect()
}

fn variable(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (begins && name.chars().all(is_name)).then_some((name, value))
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let inside = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(variables: &Variables) -> Vec<(&str, &str)> {
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[test]
    fn what_haproxy_tells_is_read_without_what_is_its_own() {
        let reply = "OUTER=1\nMULTI=a\nb c\nEMPTY=\nHAPROXY_MWORKER_REEXEC=1\nHAPROXY_MWORKER=1\n\n";
        let variables = told(reply).unwrap();
        assert_eq!(
            pairs(&variables),
            [("OUTER", "1"), ("MULTI", "a\nb c"), ("EMPTY", ""), ("HAPROXY_MWORKER", "1")]
        );
    }

    #[test]
    fn a_refusal_tells_nothing() {
        assert_eq!(told("Permission denied\n\n"), None);
        assert_eq!(told(""), None);
    }

    #[test]
    fn a_file_is_read_as_systemd_and_a_shell_do() {
        let text = "# c\n; c\nA=1\n export B=\"two words\"\nC='x=y'\nnot a variable\nA=2\nD= z \n";
        assert_eq!(
            pairs(&written(text)),
            [("A", "1"), ("B", "two words"), ("C", "x=y"), ("A", "2"), ("D", "z")]
        );
    }
}
