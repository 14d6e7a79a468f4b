//! Any text prints as it was, its lines cover it, its words lie in order, and everything in it can be looked at.
#![no_main]

use haproxy_cfg::{Address, Document, Line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let document = Document::parse(text);
    assert_eq!(document.to_string(), text);
    let mut end = 0;
    for (index, line) in document.lines().iter().enumerate() {
        assert_eq!((line.range.start, line.number), (end, index + 1));
        end = line.range.end;
        look_at(text, line);
        assert_eq!(document.line_at(line.range.start), Some(line));
    }
    assert_eq!(end, text.len());
    let in_sections: usize = document.sections().iter().map(|section| section.lines.len()).sum();
    assert_eq!(document.preamble().len() + in_sections, document.lines().len());
    for pool in document.pools() {
        assert!(pool.section.is_pool());
        for template in &pool.templates {
            let _ = (template.numbers(), template.declares(text));
        }
        for server in &pool.servers {
            assert!(pool.server(server.name).is_some());
            let _ = (server.address.socket_addr(), server.option("id"));
        }
    }
});

fn look_at(text: &str, line: &Line) {
    let mut at = line.range.start;
    for word in &line.words {
        assert!(
            at <= word.range.start && word.range.start < word.range.end && word.range.end <= line.range.end
        );
        assert!(text.get(word.range.clone()).is_some());
        assert!(!word.is_plain() || word.value == text[word.range.clone()]);
        at = word.range.end;
        let address = Address::parse(&word.value);
        assert!(address.socket_addr().is_none() || address.ip().is_some());
        for part in word.quoted() {
            assert!(text.get(part.inner.clone()).is_some());
        }
        for part in word.substitutions() {
            assert!(word.range.start <= part.start && part.end <= word.range.end);
            assert!(text.get(part.clone()).is_some());
        }
    }
    for offset in line.range.clone() {
        let _ = (line.quote_at(offset), line.word_at(offset));
    }
    if let Some(fault) = &line.fault {
        assert!(fault.column >= 1 && fault.line == line.number && !fault.to_string().is_empty());
    }
}
