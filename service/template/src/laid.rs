//! The text of a whole template, laid out of its elements' parts, and again where some of them changed.

use std::ops::Range;
use std::sync::Arc;

use crate::chunks::Whole;

/// The text, and where the parts in it begin.
#[derive(Debug, Clone)]
pub(crate) struct Laid {
    pub(crate) text: Arc<str>,
    /// Ranges of the text that were printed from values.
    pub(crate) printed: Arc<[Range<usize>]>,
    /// Of each element, where its part begins: in the text, and among what is printed.
    begins: Vec<(usize, usize)>,
}

impl Default for Laid {
    /// Without any element.
    fn default() -> Self {
        Self { text: "".into(), printed: Arc::default(), begins: Vec::new() }
    }
}

impl Laid {
    /// Lays the `elements` again, each as `add` gives it; what stands around them stays. The first time it is all of them.
    pub(crate) fn lay(&mut self, elements: Range<usize>, add: impl Fn(usize, &mut Whole)) {
        if elements.is_empty() {
            return;
        }
        let (from, to) = (self.begin(elements.start), self.begin(elements.end));
        let mut middle = Whole::default();
        let mut begins = Vec::with_capacity(elements.len());
        for element in elements.clone() {
            begins.push((from.0 + middle.text.len(), from.1 + middle.printed.len()));
            add(element, &mut middle);
        }
        let end = (from.0 + middle.text.len(), from.1 + middle.printed.len());
        self.printed = self.printed_with(&middle.printed, (from, to), end.0);
        self.text = [&self.text[..from.0], &middle.text, &self.text[to.0..]].concat().into();
        for begin in self.begins.iter_mut().skip(elements.end) {
            *begin = (begin.0 - to.0 + end.0, begin.1 - to.1 + end.1);
        }
        let known = self.begins.len();
        self.begins.splice(elements.start.min(known)..elements.end.min(known), begins);
    }

    /// Where an element begins; the end, where there is none yet.
    fn begin(&self, element: usize) -> (usize, usize) {
        self.begins.get(element).copied().unwrap_or((self.text.len(), self.printed.len()))
    }

    /// What is printed, with these ranges in the place of those between two elements. What stands behind them begins at
    /// `end` now.
    fn printed_with(
        &self,
        middle: &[Range<usize>],
        (from, to): ((usize, usize), (usize, usize)),
        end: usize,
    ) -> Arc<[Range<usize>]> {
        let (head, tail) = (&self.printed[..from.1], &self.printed[to.1..]);
        let mut printed = Vec::with_capacity(head.len() + middle.len() + tail.len());
        printed.extend_from_slice(head);
        printed.extend(middle.iter().map(|range| range.start + from.0..range.end + from.0));
        printed.extend(tail.iter().map(|range| range.start - to.0 + end..range.end - to.0 + end));
        printed.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A part with text before what is printed in it.
    fn part() -> impl Strategy<Value = (String, Option<String>)> {
        ("[a-b]{0,2}", prop::option::of("[x-z]{0,2}"))
    }

    fn add((text, value): &(String, Option<String>), whole: &mut Whole) {
        whole.text.push_str(text);
        if let Some(value) = value {
            whole.printed.push(whole.text.len()..whole.text.len() + value.len());
            whole.text.push_str(value);
        }
    }

    proptest! {
        #[test]
        fn what_is_laid_again_is_as_laid_at_once(
            mut parts in prop::collection::vec(part(), 1..6),
            later in prop::collection::vec((0..6_usize, 0..6_usize, prop::collection::vec(part(), 6)), 0..4),
        ) {
            let mut laid = Laid::default();
            laid.lay(0..parts.len(), |element, whole| add(&parts[element], whole));
            for (from, count, news) in later {
                let from = from.min(parts.len());
                let elements = from..(from + count).min(parts.len());
                parts[elements.clone()].clone_from_slice(&news[..elements.len()]);
                laid.lay(elements, |element, whole| add(&parts[element], whole));
                let mut whole = Whole::default();
                for part in &parts {
                    add(part, &mut whole);
                }
                prop_assert_eq!((&*laid.text, &*laid.printed), (&*whole.text, &*whole.printed));
            }
        }
    }
}
