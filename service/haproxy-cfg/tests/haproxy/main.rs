//! The crate against the real HAProxy and its own texts: words and faults of generated lines, what sections
//! inherit, and every configuration that its packages install.
//!
//! `WEIR_TEST_HAPROXY` names another HAProxy than the one on PATH. What is not installed is said as `skipped: …` on stderr.

#[cfg(test)]
mod inheritance;
#[cfg(test)]
mod installed;
#[cfg(test)]
mod words;

/// Says on the real stderr, which the test harness does not swallow, that a test was skipped.
#[cfg(test)]
fn skipped(what: &str) {
    use std::io::Write as _;
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "skipped: no {what}: {test}");
}
