//! What reads documents takes any: the allow-list for printed values, and the plan.
#![no_main]

use std::ops::Range;
use std::time::SystemTime;

use haproxy_cfg::Document;
use libfuzzer_sys::fuzz_target;
use weir_pools::places::{self, OutputKind};
use weir_pools::plan::{Can, Memory, Observed, Options, plan};

fuzz_target!(|input: (&str, &str, Vec<u8>)| {
    let (first, second, marks) = input;
    let printed = ranges(first, &marks);
    for kind in [OutputKind::Haproxy, OutputKind::Lines, OutputKind::Text] {
        for misfit in places::check(first, &printed, kind) {
            assert!(printed.contains(&misfit.span));
        }
    }
    let [loaded, wanted] = [first, second].map(|text| [Document::parse(text)]);
    let can = Can { version: (2, 6, 12) };
    let _ = plan(
        &loaded,
        &wanted,
        &Observed::default(),
        &Memory::default(),
        &can,
        &Options::default(),
        SystemTime::UNIX_EPOCH,
    );
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
