//! The options of a server as HAProxy ends up with them: those of `default-server` first, then the server's own,
//! a later one taking the place of an earlier one, `no-check` the place of `check`.
//!
//! In: words of `default-server` and `server` lines. Out: [`ServerOptions`], to compare two servers by what they mean
//! and to write the list that `add server` wants. A word that is not known is an [`Unknown`]: how many words
//! belong to it is unknown too, so nothing after it can be read.

use std::collections::BTreeMap;

use haproxy_cfg::Word;
use serde::{Deserialize, Serialize};

use super::keywords::{Keyword, keyword};

/// A version of HAProxy as `(major, minor)`.
pub(super) type Branch = (u32, u32);

/// What may differ without another server being meant: there is a command for it.
const CHANGEABLE: [&str; 3] = ["disabled", "maxconn", "weight"];
/// Has no meaning where the address is an IP address.
const RESOLUTION: [&str; 5] = ["init-addr", "resolve-net", "resolve-opts", "resolve-prefer", "resolvers"];

/// An option that is not in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unknown(pub(super) String);

/// What of a server's options can be changed by a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changeable {
    /// 0 to 256.
    pub(super) weight: u32,
    /// 0: no limit.
    pub(super) maxconn: u32,
    /// Whether it is kept in maintenance.
    pub(super) disabled: bool,
}

impl Default for Changeable {
    fn default() -> Self {
        Self { weight: 1, maxconn: 0, disabled: false }
    }
}

impl Changeable {
    /// Reads only these, which is faster than [`ServerOptions::merge`]; `None` where an option is not known.
    pub(super) fn read<'d>(lists: impl IntoIterator<Item = &'d [Word]>) -> Option<Self> {
        let mut read = Self::default();
        for words in lists {
            let mut rest = words;
            while let [first, ..] = rest {
                let known = keyword(&first.value)?;
                read.take(known, rest.get(1));
                rest = &rest[length(known, rest).min(rest.len())..];
            }
        }
        Some(read)
    }

    fn take(&mut self, keyword: &Keyword, argument: Option<&Word>) {
        let number = |default| argument.and_then(|word| word.value.parse().ok()).unwrap_or(default);
        match keyword.name {
            "weight" => self.weight = number(1),
            "maxconn" => self.maxconn = number(0),
            "disabled" => self.disabled = true,
            "enabled" => self.disabled = false,
            _ => {}
        }
    }
}

/// The options of one server, each with its words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServerOptions<'d> {
    /// By what the option sets: `check` and `no-check` set the same.
    set: BTreeMap<&'d str, (&'static Keyword, Vec<&'d str>)>,
}

impl<'d> ServerOptions<'d> {
    /// What `lists` give, one after the other.
    pub(super) fn merge(lists: impl IntoIterator<Item = &'d [Word]>) -> Result<Self, Unknown> {
        let mut options = Self::default();
        lists.into_iter().try_for_each(|words| options.take(words))?;
        Ok(options)
    }

    fn take(&mut self, words: &'d [Word]) -> Result<(), Unknown> {
        let mut rest = words;
        while let [first, ..] = rest {
            let known = keyword(&first.value).ok_or_else(|| Unknown(first.value.to_string()))?;
            let (option, after) = rest.split_at(length(known, rest).min(rest.len()));
            let slot = if known.sets.is_empty() { first.value.as_str() } else { known.sets };
            if known.is_default {
                self.set.remove(slot);
            } else {
                self.set.insert(slot, (known, option.iter().map(|word| word.value.as_str()).collect()));
            }
            rest = after;
        }
        Ok(())
    }

    /// Whether the option is on, or has a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.set.contains_key(name)
    }

    /// The option's number; `None` where it is not given or not a number.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.set.get(name).and_then(|(_, words)| words.get(1)?.parse().ok())
    }

    /// What commands can change of it.
    pub(super) fn changeable(&self) -> Changeable {
        let number = |name, default| self.number(name).unwrap_or(default);
        Changeable {
            weight: number("weight", 1),
            maxconn: number("maxconn", 0),
            disabled: self.has("disabled"),
        }
    }

    /// Everything that makes it another server when it changes, as one text.
    pub(super) fn signature(&self) -> String {
        self.words(|slot| !CHANGEABLE.contains(&slot)).join(" ")
    }

    /// The first option by which `other` is another server.
    pub(super) fn difference(&self, other: &Self) -> Option<&'d str> {
        let differs = |slot: &&'d str| self.set.get(slot) != other.set.get(slot);
        let slots = self.set.keys().chain(other.set.keys()).copied();
        slots.filter(|slot| !CHANGEABLE.contains(slot)).find(differs)
    }

    /// The first of `slots` in which `other` has something else.
    pub(super) fn difference_in(&self, other: &Self, slots: &[&'static str]) -> Option<&'static str> {
        slots.iter().copied().find(|slot| self.set.get(slot) != other.set.get(slot))
    }

    /// The first option that `add server` of this branch refuses, for a server whose address is an IP address.
    pub(super) fn refused(&self, branch: Branch) -> Option<&'d str> {
        let known = self.set.iter().filter(|(slot, _)| !RESOLUTION.contains(slot) && **slot != "id");
        let mut refused =
            known.filter(|(_, (keyword, _))| keyword.dynamic_since.is_none_or(|since| since > branch));
        refused.next().map(|(_, (_, words))| words[0])
    }

    /// The words for `add server`: without `id` and `disabled`, which are not for this list, and without resolution.
    pub(super) fn to_add(&self) -> Vec<&'d str> {
        self.words(|slot| !RESOLUTION.contains(&slot) && !matches!(slot, "id" | "disabled"))
    }

    fn words(&self, keep: impl Fn(&str) -> bool) -> Vec<&'d str> {
        let kept = self.set.iter().filter(|(slot, _)| keep(slot));
        kept.flat_map(|(_, (_, words))| words.iter().copied()).collect()
    }
}

/// How many words the option at the start of `rest` has. `source` takes pairs after its address.
fn length(keyword: &Keyword, rest: &[Word]) -> usize {
    let mut length = 1 + keyword.arguments;
    if keyword.name == "source" {
        while rest.get(length).is_some_and(|word| matches!(word.value.as_str(), "usesrc" | "interface")) {
            length += 2;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use haproxy_cfg::{Line, lex};

    fn lines(text: &str) -> Vec<Line> {
        lex(text)
    }

    fn merged(lines: &[Line]) -> Result<ServerOptions<'_>, Unknown> {
        ServerOptions::merge(lines.iter().map(|line| line.words.as_slice()))
    }

    #[test]
    fn a_later_option_takes_the_place_of_an_earlier_one() {
        let lists =
            lines("check inter 2s weight 3 ssl verify none stick\nno-check inter 500ms weight 7 backup\n");
        let options = merged(&lists).unwrap();
        assert_eq!(options.to_add().join(" "), "backup inter 500ms ssl verify none weight 7");
        assert_eq!(options.signature(), "backup inter 500ms ssl verify none");
        assert_eq!(options.number("weight"), Some(7));
        assert!(!options.has("check"));
    }

    #[test]
    fn order_and_what_commands_can_change_make_no_other_server() {
        let [a, b] = [lines("check inter 2s weight 3\n"), lines("inter 2s check maxconn 9 disabled\n")];
        let [a, b] = [merged(&a).unwrap(), merged(&b).unwrap()];
        assert_eq!(a.difference(&b), None);
        assert_eq!(a.signature(), b.signature());
        let other = lines("check inter 3s\n");
        assert_eq!(a.difference(&merged(&other).unwrap()), Some("inter"));
    }

    #[test]
    fn what_add_server_refuses_depends_on_the_version() {
        let cookie = lines("check cookie a init-addr last,none resolvers dns id 7\n");
        let cookie = merged(&cookie).unwrap();
        assert_eq!((cookie.refused((2, 6)), cookie.refused((3, 0))), (Some("cookie"), None));
        assert_eq!(cookie.to_add().join(" "), "check cookie a");
        for refused in ["redir http://a", "socks4 10.0.0.1:1", "tcp-ut 3s", "non-stick", "max-reuse 3"] {
            let words = lines(&format!("{refused}\n"));
            assert!(merged(&words).unwrap().refused((3, 2)).is_some(), "{refused}");
        }
    }

    #[test]
    fn an_unknown_option_is_named() {
        assert_eq!(merged(&lines("check shiny 3\n")), Err(Unknown("shiny".into())));
        let source = lines("source 10.0.0.1 usesrc clientip interface eth0 check\n");
        assert!(merged(&source).unwrap().has("check"));
        let tlv = lines("set-proxy-v2-tlv-fmt(0x20) %[fc_pp_tlv(0x20)] check\n");
        assert!(merged(&tlv).unwrap().has("check"));
    }
}
