//! A text that is read after another one comes out as when it is read for the first time.
//!
//! The second text is put together from parts of the first and of a third, so that much of it is known.
#![no_main]

use haproxy_cfg::Sections;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, Vec<u8>)| {
    let (first, other, picks) = input;
    let before = Sections::parse(first);
    let second = assembled(&before, &Sections::parse(other), &picks);
    let whole = Sections::parse(second.as_str());
    assert_eq!(before.parse_again(second.as_str()), whole);
    let printed: String = whole.parts().iter().map(|part| part.document.to_string()).collect();
    assert_eq!(printed, second);
    for part in whole.parts() {
        assert!(part.document.sections().len() <= 1);
        assert_eq!(whole.part_at(part.start), Some(part));
    }
});

/// The parts that `picks` name, one after the other.
fn assembled(first: &Sections, other: &Sections, picks: &[u8]) -> String {
    let parts: Vec<&str> =
        first.parts().iter().chain(other.parts()).map(|part| part.document.text()).collect();
    let pick = |pick: &u8| parts.get(usize::from(*pick) % parts.len().max(1)).copied();
    picks.iter().take(64).filter_map(pick).collect()
}
