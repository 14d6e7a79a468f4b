//! Reads one block of a policy key by key.
//!
//! In: a block of Nomad's JSON. Out: values; for what is wrong a stand-in, and a [`Problem`] in the common
//! list, so that all mistakes are told at once.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Problem;
use super::hint::hint;
use crate::blocks::{items, labelled};
use crate::duration::parse_duration;

/// No count is greater: what a u32 can be.
const MOST: f64 = 4_294_967_295.0;

/// Reads one block; what is wrong goes to the common list, and a stand-in is read.
pub(super) struct Reader<'a> {
    pub(super) block: &'a Map<String, Value>,
    pub(super) place: String,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(block: &'a Map<String, Value>, place: &str, problems: &'a mut Vec<Problem>) -> Self {
        Self { block, place: place.to_owned(), problems }
    }

    pub(super) fn inner<'b>(&'b mut self, block: &'b Map<String, Value>, place: String) -> Reader<'b> {
        Reader { block, place, problems: self.problems }
    }

    /// Something is wrong with the block itself.
    pub(super) fn problem(&mut self, message: impl Into<String>) {
        self.problem_of("", message);
    }

    /// Something is wrong with this key or block in it.
    pub(super) fn problem_of(&mut self, key: &str, message: impl Into<String>) {
        self.problem_of_nth(key, 0, message);
    }

    /// Something is wrong with one of several blocks of this name in it.
    pub(super) fn problem_of_nth(&mut self, key: &str, nth: usize, message: impl Into<String>) {
        let (place, key, message) = (self.place.clone(), key.to_owned(), message.into());
        self.problems.push(Problem { place, key, nth, message });
    }

    /// Reports every key that is not known.
    pub(super) fn keys(&mut self, known: &[&str]) {
        let block = self.block;
        for key in block.keys().filter(|key| !known.contains(&key.as_str())) {
            self.problem_of(key, format!("unknown key {key:?}{}", hint(key, known)));
        }
    }

    /// Labelled blocks; what is none is reported.
    pub(super) fn blocks(&mut self, key: &str) -> Vec<(&'a str, &'a Map<String, Value>)> {
        let block = self.block;
        let mut found = Vec::new();
        for entry in block.get(key).map(labelled).unwrap_or_default() {
            match entry {
                Ok(entry) => found.push(entry),
                Err(what) => {
                    self.problem_of(key, format!("{key} {what} is no block: write {key} \"name\" {{ … }}"));
                }
            }
        }
        found
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.block.get(key)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => {
                let message = format!("{key} = {other} is no text: put it in quotes");
                self.problem_of(key, message);
                None
            }
        }
    }

    /// Blocks without a label; what is none is reported.
    pub(super) fn bare_blocks(&mut self, key: &str) -> Vec<&'a Map<String, Value>> {
        let block = self.block;
        let mut found = Vec::new();
        for entry in block.get(key).map(items).unwrap_or_default() {
            match entry.as_object() {
                Some(body) => found.push(body),
                None => self.problem_of(key, format!("{key} = {entry} is no block: write {key} {{ … }}")),
            }
        }
        found
    }

    /// A block that may stand once.
    pub(super) fn bare_block(&mut self, key: &str) -> Option<&'a Map<String, Value>> {
        let blocks = self.bare_blocks(key);
        if blocks.len() > 1 {
            self.problem_of_nth(key, 1, format!("{key} stands {} times and may stand once", blocks.len()));
        }
        blocks.first().copied()
    }

    /// One of some words, by what it means.
    pub(super) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<&str> =
                words.iter().map(|(word, _)| *word).filter(|word| !word.is_empty()).collect();
            self.problem_of(key, format!("{key} = {text:?} is not known{}", hint(&text, &known)));
        }
        found
    }

    /// A duration, or the default.
    pub(super) fn duration(&mut self, key: &str, default: Duration) -> Duration {
        self.some_duration(key).unwrap_or(default)
    }

    /// A duration, where there is one.
    pub(super) fn some_duration(&mut self, key: &str) -> Option<Duration> {
        let value = self.block.get(key).filter(|value| !value.is_null())?;
        let parsed = value.as_str().and_then(parse_duration);
        if parsed.is_none() {
            let message = format!(
                "{key} = {value} is no duration: write it with a unit, such as \"30s\" or \"5m\", up to \"366d\""
            );
            self.problem_of(key, message);
        }
        parsed
    }

    /// A finite number, or a text that is one.
    pub(super) fn number(&mut self, key: &str) -> Option<f64> {
        let value = self.block.get(key)?;
        let number = match value {
            Value::Null => return None,
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number: &f64| number.is_finite());
        if number.is_none() {
            let message = format!("{key} = {value} is no number");
            self.problem_of(key, message);
        }
        number
    }

    /// A whole number that may be negative.
    pub(super) fn signed(&mut self, key: &str) -> Option<i64> {
        let number = self.number(key)?;
        if number.fract() == 0.0 && number.abs() <= MOST {
            #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
            return Some(number as i64);
        }
        self.problem_of(key, format!("{key} = {number}: write a whole number"));
        None
    }

    /// A whole number of at least `least`; `2.0` is one.
    pub(super) fn whole(&mut self, key: &str, least: u64) -> Option<u64> {
        let number = self.number(key)?;
        if number.fract() == 0.0 && number >= least as f64 && number <= MOST {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked just above"
            )]
            return Some(number as u64);
        }
        self.problem_of(key, format!("{key} = {number}: write a whole number, at least {least}"));
        None
    }

    pub(super) fn truth(&mut self, key: &str) -> bool {
        match self.block.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(Value::String(text)) if text == "true" => true,
            Some(Value::String(text)) if text == "false" => false,
            Some(other) => {
                let message = format!("{key} = {other}: write true or false");
                self.problem_of(key, message);
                false
            }
        }
    }
}
