//! What reads documents takes any: what is in force, the advice, and the allow-list for printed values.
#![no_main]

use std::ops::Range;

use haproxy_cfg::{Document, InForce, Source};
use libfuzzer_sys::fuzz_target;
use weir_pools::advice::{Setup, advise};
use weir_pools::places::{self, OutputKind};

fuzz_target!(|input: (&str, &str, Vec<u8>)| {
    let (first, second, marks) = input;
    let printed = ranges(first, &marks);
    for kind in [OutputKind::Haproxy, OutputKind::Lines, OutputKind::Text] {
        for misfit in places::check(first, &printed, kind) {
            assert!(printed.contains(&misfit.span));
        }
    }
    let documents = [first, second].map(Document::parse);
    let branches: Vec<u32> = marks.iter().map(|mark| u32::from(*mark % 4)).collect();
    let template = Source { document: &documents[0], branches: &branches, hole: Some('?') };
    let sources = [template, Source::plain(&documents[1])];
    let all = InForce::read(&sources);
    let sections: usize = documents.iter().map(|document| document.sections().len()).sum();
    assert_eq!(all.sections.len(), sections);
    let setup = Setup { version: None, stats_socket: Some("/a"), reloads_by_command: true, held_for: None };
    for advice in advise(&sources, &setup) {
        let document = &documents[advice.file];
        assert!((1..=document.lines().len()).contains(&advice.line));
    }
});

/// Ranges of whole characters, in order and not overlapping: every other stretch between two marks.
fn ranges(text: &str, marks: &[u8]) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut ends: Vec<usize> = Vec::new();
    for mark in marks {
        at = (at + usize::from(*mark)).min(text.len());
        while !text.is_char_boundary(at) {
            at += 1;
        }
        ends.push(at);
    }
    ends.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect()
}
