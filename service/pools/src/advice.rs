//! What an HAProxy's configuration lacks so that pools change, and reloads happen, without anybody noticing.
//!
//! In: the configuration in load order, templates as outlines, and how weir reaches HAProxy. Out: [`Advice`], each with its place,
//! the measured reason and what to write. Nothing fails. Nothing is said where it is not certain: about lines in `.if` blocks,
//! about what the environment or a printed value decides, and where something was undone on purpose (`no option …`).
//!
//! All figures were measured on HAProxy 2.6.12 (and 3.2.26 where it behaves otherwise), over the loopback interface: 50 reloads
//! in 20 s at 2,000 requests/s; 20 reloads with 50 tunnels each; 1,200 requests in 6 s after a reload, with one of two servers
//! dead and `inter 2s fall 2`.

mod changes;
mod given;
mod hold;
mod process;
mod reload;

use std::time::Duration;

use haproxy_cfg::{Holding, InForce, Source};

/// How weir reaches HAProxy, and which it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Setup<'a> {
    /// HAProxy's major and minor version, where it is known.
    pub version: Option<(u32, u32)>,
    /// The stats socket that weir sends commands to.
    pub stats_socket: Option<&'a str>,
    /// Whether reloads go through a command and not through a master process.
    pub reloads_by_command: bool,
    /// How long weir holds a request of a group at zero; `None` where it holds none.
    pub held_for: Option<Duration>,
}

/// One thing to better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// Which source, from 0.
    pub file: usize,
    /// The line in its document, from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// The section, such as `backend web`; empty where there is none.
    pub section: String,
    /// What is the matter, why it matters, and what to do.
    pub text: String,
}

/// Everything to better in one HAProxy's configuration, in order of files and lines.
pub fn advise(sources: &[Source<'_>], setup: &Setup<'_>) -> Vec<Advice> {
    let all = InForce::read(sources);
    let mut advice = process::advise(&all, setup);
    advice.extend(reload::advise(&all, setup));
    advice.extend(changes::advise(&all, setup));
    advice.extend(hold::advise(&all, setup));
    advice.sort_by_key(|advice| (advice.file, advice.line));
    advice
}

impl Advice {
    fn of(holding: &Holding<'_>, line: usize, text: impl Into<String>) -> Self {
        Self { file: holding.file, line, section: holding.title(), text: text.into() }
    }
}

impl Setup<'_> {
    /// Whether it may be a version before this one.
    fn may_be_before(&self, major: u32, minor: u32) -> bool {
        self.version.is_none_or(|version| version < (major, minor))
    }
}

impl std::fmt::Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.section.is_empty() {
            write!(f, "{}: ", self.section)?;
        }
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
