//! Which of several changes HAProxy refuses, by halves.
//!
//! In: how many changes there are, and the verdicts. Out: which of them to put in force for the next verdict, and in the end
//! the culprits. Pure. Nothing but the whole is known to be refused at first. A culprit is the last of the shortest beginning that is
//! refused: without it everything before it is accepted. So of two that do not get along (two servers of one name) the later one is found.

/// A search among `count` changes of which all together are refused.
#[derive(Debug)]
pub(super) struct Bisect {
    count: usize,
    culprits: Vec<usize>,
    stage: Stage,
    /// Verdicts that may still be asked for.
    left: usize,
}

#[derive(Debug)]
enum Stage {
    /// Whether it is accepted without any of the changes.
    Nothing,
    /// Whether the beginning up to the middle is: that up to `accepted` is, that up to `refused` is not.
    Beginning { accepted: usize, refused: usize },
    /// Whether all but the culprits are; everything before `known` is.
    Rest { known: usize },
}

/// What a verdict leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next question.
    Ask,
    /// These are refused, each by itself or with what stands before it. There may be more where many are.
    Found(Vec<usize>),
    /// The cause is not among the changes.
    Elsewhere,
}

impl Bisect {
    /// The search asks at most 2 log2 `count` + 3 times, which is enough to find two culprits.
    pub(super) fn new(count: usize) -> Self {
        let halvings = count.next_power_of_two().trailing_zeros() as usize;
        Self { count, culprits: Vec::new(), stage: Stage::Nothing, left: 2 * halvings + 3 }
    }

    /// Whether the change is in force in the question.
    pub(super) fn is_in_force(&self, change: usize) -> bool {
        let before = match self.stage {
            Stage::Nothing => 0,
            Stage::Beginning { accepted, refused } => middle(accepted, refused),
            Stage::Rest { .. } => self.count,
        };
        change < before && !self.culprits.contains(&change)
    }

    /// Takes the verdict on the question.
    pub(super) fn answer(&mut self, is_accepted: bool) -> Next {
        self.left = self.left.saturating_sub(1);
        match (&self.stage, is_accepted) {
            (Stage::Nothing, false) => Next::Elsewhere,
            (Stage::Nothing, true) => self.halve(0, self.count),
            (Stage::Beginning { accepted, refused }, true) => {
                self.halve(middle(*accepted, *refused), *refused)
            }
            (Stage::Beginning { accepted, refused }, false) => {
                self.halve(*accepted, middle(*accepted, *refused))
            }
            (Stage::Rest { .. }, true) => self.found(),
            (Stage::Rest { known }, false) => self.halve(*known, self.count),
        }
    }

    fn halve(&mut self, accepted: usize, refused: usize) -> Next {
        if refused > accepted + 1 {
            self.stage = Stage::Beginning { accepted, refused };
            return self.ask();
        }
        self.culprits.push(accepted);
        if refused == self.count {
            return self.found();
        }
        self.stage = Stage::Rest { known: refused };
        self.ask()
    }

    fn ask(&mut self) -> Next {
        match (self.left, self.culprits.is_empty()) {
            (0, false) => self.found(),
            (0, true) => Next::Elsewhere,
            _ => Next::Ask,
        }
    }

    fn found(&mut self) -> Next {
        Next::Found(std::mem::take(&mut self.culprits))
    }
}

fn middle(accepted: usize, refused: usize) -> usize {
    usize::midpoint(accepted, refused)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Searches where the verdict is `accepts`: what was found, and how often it was asked.
    fn search(count: usize, accepts: impl Fn(&BTreeSet<usize>) -> bool) -> (Next, usize) {
        let mut bisect = Bisect::new(count);
        for asked in 1.. {
            let in_force = (0..count).filter(|change| bisect.is_in_force(*change)).collect();
            match bisect.answer(accepts(&in_force)) {
                Next::Ask => {}
                end => return (end, asked),
            }
        }
        unreachable!("the search is bounded")
    }

    fn bound(count: usize) -> usize {
        2 * count.next_power_of_two().trailing_zeros() as usize + 3
    }

    #[test]
    fn a_cause_that_is_elsewhere_is_told_at_once() {
        assert_eq!(search(1000, |_| false), (Next::Elsewhere, 1));
    }

    #[test]
    fn of_two_that_do_not_get_along_the_later_one_is_found() {
        let (found, _) = search(16, |all| !(all.contains(&3) && all.contains(&9)));
        assert_eq!(found, Next::Found(vec![9]));
    }

    proptest! {
        #[test]
        fn one_or_two_culprits_are_found_and_nobody_else(
            (count, culprits) in (1_usize..300).prop_flat_map(|count| {
                (Just(count), prop::collection::btree_set(0..count, 1..=count.min(2)))
            }),
        ) {
            let (found, asked) = search(count, |all| all.is_disjoint(&culprits));
            prop_assert_eq!(found, Next::Found(culprits.into_iter().collect()));
            prop_assert!(asked <= bound(count), "{} > {}", asked, bound(count));
        }

        /// However many there are: rounds of bounded searches find all of them, and never an innocent.
        #[test]
        fn rounds_find_all_culprits(
            (count, culprits) in (1_usize..60).prop_flat_map(|count| {
                (Just(count), prop::collection::btree_set(0..count, 1..=count))
            }),
        ) {
            let mut rest: Vec<usize> = (0..count).collect();
            let mut found = BTreeSet::new();
            while rest.iter().any(|change| culprits.contains(change)) {
                let (next, asked) = search(rest.len(), |all| all.iter().all(|at| !culprits.contains(&rest[*at])));
                let Next::Found(now) = next else { panic!("{next:?}") };
                prop_assert!(asked <= bound(rest.len()));
                let now: BTreeSet<usize> = now.into_iter().map(|at| rest[at]).collect();
                prop_assert!(!now.is_empty() && now.is_subset(&culprits));
                rest.retain(|change| !now.contains(change));
                found.extend(now);
            }
            prop_assert_eq!(found, culprits);
        }

        /// Whatever the verdicts, the search ends in time.
        #[test]
        fn any_verdicts_end_it(count in 1_usize..100, verdicts in prop::collection::vec(any::<bool>(), 40)) {
            let verdicts = std::cell::RefCell::new(verdicts.into_iter());
            let (_, asked) = search(count, |_| verdicts.borrow_mut().next().unwrap_or(false));
            prop_assert!(asked <= bound(count));
        }
    }
}
