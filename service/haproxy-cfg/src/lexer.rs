//! Cuts a text into lines and each line into words. In: any text. Out: lines that cover it without a gap.
//!
//! Nothing fails: what HAProxy refuses is a fault of its line, and the next line is read on. No line is continued on the next:
//! a backslash at its end stands for itself (tried on 2.6, 3.0 and 3.2; the manual knows no continuation either).

use crate::line::{Fault, FaultKind, Line, Word};
use crate::scan::Scan;

/// The lines of `text`, in order; printed one after the other, they are the text again.
pub fn lex(text: &str) -> Vec<Line> {
    let mut start = 0;
    let pieces = text.split_inclusive('\n').enumerate();
    let line = |(index, piece): (usize, &str)| {
        let line = lex_line(text, start, piece, index + 1);
        start += piece.len();
        line
    };
    pieces.map(line).collect()
}

fn lex_line(text: &str, start: usize, piece: &str, number: usize) -> Line {
    let range = start..start + piece.len();
    let content = piece.strip_suffix('\n');
    let stop = start + content.unwrap_or(piece).len();
    let scanned = Scan::new(text, start..stop).run();
    let truncated = content.is_none().then_some((stop, FaultKind::MissingLineFeed));
    let fault = scanned.fault.or(truncated);
    let fault = fault.map(|(at, kind)| Fault { line: number, column: at - start + 1, kind });
    let (words, comment) = (scanned.words, scanned.comment);
    let is_plain = comment.is_none() && fault.is_none() && words.iter().all(Word::is_plain);
    Line { number, range, words, comment, fault, is_plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Quote;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        lex(text).into_iter().flat_map(|line| line.words).map(|word| word.value.into()).collect()
    }

    fn fault(text: &str) -> Option<(usize, FaultKind)> {
        lex(text).remove(0).fault.map(|fault| (fault.column, fault.kind))
    }

    #[test]
    fn words_end_at_white_space_as_in_haproxy() {
        assert_eq!(
            words(" server\ta \u{b}10.0.0.1:80\u{c}check \r weight 3\n"),
            ["server", "a", "10.0.0.1:80", "check", "weight", "3"]
        );
        assert_eq!(
            words("server a\r10.0.0.1:80\n"),
            ["server", "a"],
            "a CR right after a word ends the line"
        );
        assert_eq!(words("mode http\r\n"), ["mode", "http"]);
    }

    #[test]
    fn quotes_and_escapes_resolve_as_in_haproxy() {
        assert_eq!(words(r#"a "b c"'d "e' f\ g \"h"#), ["a", "b cd \"e", "f g", "\"h"]);
        assert_eq!(words(r"a\#b a#b"), ["a#b", "a"]);
        assert_eq!(words(r#"'\n' "\n" \n \z \$ "\$""#), ["\\n", "\n", "\n", "\\z", "\\$", "$"]);
        assert_eq!(words(r"\x41\x7A \xe9 a\x00b"), ["Az", "\u{fffd}", "a"]);
        assert_eq!(words(r#"server "" ''"#), ["server", "", ""]);
    }

    #[test]
    fn variables_are_marked_in_double_quotes_only() {
        let line = lex(r#"a $HOME "$HOME/x" "${A-it's "b" c}d" '$X' "\$X""#).remove(0);
        let marked: Vec<(&str, bool)> =
            line.words.iter().map(|w| (w.value.as_str(), w.environment)).collect();
        assert_eq!(
            marked,
            [
                ("a", false),
                ("$HOME", false),
                ("$HOME/x", true),
                ("${A-it's \"b\" c}d", true),
                ("$X", false),
                ("$X", false)
            ]
        );
    }

    #[test]
    fn faults_name_their_place_and_do_not_stop_the_rest() {
        assert_eq!(fault("server 'a b\n"), Some((8, FaultKind::UnclosedQuote)));
        assert_eq!(fault("a \\x4\n"), Some((3, FaultKind::BadHexEscape)));
        assert_eq!(fault("a \"$1\"\n"), Some((4, FaultKind::BadVariable)));
        assert_eq!(fault("a \"$.\n"), Some((4, FaultKind::BadVariable)));
        assert_eq!(fault("a \"${.}\"\n"), Some((4, FaultKind::BadVariable)));
        assert_eq!(fault("a \"${.LINE}\"\n"), None);
        assert_eq!(fault("a \"${A\n"), Some((4, FaultKind::UnclosedVariable)));
        assert_eq!(fault("a b\0c\n"), Some((4, FaultKind::Nul)));
        assert_eq!(fault("a"), Some((2, FaultKind::MissingLineFeed)));
        let lines = lex("a 'b\nc d\n");
        assert_eq!((lines[1].number, lines[1].word(1), &lines[1].fault), (2, Some("d"), &None));
    }

    #[test]
    fn a_fault_inside_a_character_ends_with_it() {
        for text in ["\"\\x8\u{385}", "\"$\u{385}", "\"${\u{385}", "\"${A[\u{385}"] {
            let line = lex(text).remove(0);
            let word = &line.words[0];
            let ranges =
                word.quoted().iter().map(|part| &part.inner).chain(word.substitutions()).chain([&word.range]);
            for range in ranges {
                assert!(text.get(range.clone()).is_some(), "{text:?} {range:?}");
            }
        }
    }

    #[test]
    fn sixty_four_words_fit_but_no_white_space_after_them() {
        let full = vec!["w"; 64].join(" ");
        assert_eq!(fault(&format!("{full}\n")), None);
        assert_eq!(fault(&format!("{full}# c\n")), None);
        assert_eq!(fault(&format!("{full} \n")), Some((128, FaultKind::TooManyWords)));
        assert_eq!(fault(&format!("{full} w\n")), Some((128, FaultKind::TooManyWords)));
    }

    #[test]
    fn the_quoting_at_an_offset_is_known() {
        let line = lex("a \"b\" 'c' # \"d\"\n").remove(0);
        let quotes: Vec<_> = (0..12).map(|offset| line.quote_at(offset)).collect();
        let [none, double, single] = [Quote::None, Quote::Double, Quote::Single].map(Some);
        let expected = [none, none, none, double, double, none, none, single, single, none, none, None];
        assert_eq!(quotes, expected);
    }

    #[test]
    fn a_line_that_begins_with_an_empty_word_is_empty_to_haproxy() {
        assert_eq!(lex("\"\" server a 10.0.0.1:80\n")[0].keyword(), None);
    }

    proptest! {
        #[test]
        fn lines_cover_the_text_and_words_lie_in_order(text in r#"([ -~\r\n\t\x0b\x00é]|["'\\$#{}x \né])*"#) {
            let mut next = 0;
            for line in lex(&text) {
                prop_assert_eq!(line.range.start, next);
                next = line.range.end;
                let mut at = line.range.start;
                for word in &line.words {
                    prop_assert!(at <= word.range.start && word.range.start < word.range.end);
                    prop_assert!(text.get(word.range.clone()).is_some());
                    prop_assert!(!word.is_plain() || word.value == text[word.range.clone()]);
                    let parts = word.quoted().iter().map(|part| &part.inner).chain(word.substitutions());
                    prop_assert!(parts.into_iter().all(|part| text.get(part.clone()).is_some()));
                    at = word.range.end;
                }
                prop_assert!(at <= line.comment.unwrap_or(line.range.end));
            }
            prop_assert_eq!(next, text.len());
        }

        #[test]
        fn arbitrary_text_is_read(text in any::<String>(), offset in 0usize..64) {
            for line in lex(&text) {
                let _ = (line.quote_at(offset), line.word_at(offset), line.keyword());
            }
        }
    }
}
