//! The weight and the limit of a server: set where the configuration changed them.
//!
//! A number that differs from the configuration although the configuration did not change was set by a person, and is left so.

use super::join::is_dynamic;
use super::memory::Change;
use super::observed::ObservedServer;
use super::options::Changeable;
use super::turn::{Needed, Subject, Turn, View, path};
use super::{Reply, Setting};

/// A number of a server: what the two texts say, and what runs.
struct Number {
    name: &'static str,
    was: u32,
    wanted: u32,
    observed: u32,
}

impl Turn<'_> {
    /// Sets the weight and the limit of a wanted server where they differ.
    pub(super) fn numbers(
        &mut self,
        view: &View<'_, '_>,
        subject: Subject<'_>,
        was: Changeable,
        is: Changeable,
    ) -> Needed<()> {
        let ObservedServer { weight, maxconn, .. } = *subject.observed;
        if weight != is.weight {
            let number = Number { name: "weight", was: was.weight, wanted: is.weight, observed: weight };
            let fixed = is_dynamic(&view.wanted.settings).err();
            let reason =
                |why| view.pool_reason(format!("the weight of `{}` changed, and {why}", subject.name));
            match fixed.filter(|_| was.weight != is.weight) {
                Some(why) => return Err(reason(why)),
                None => self.number(view, subject, &number)?,
            }
        }
        if maxconn != is.maxconn {
            let number = Number { name: "maxconn", was: was.maxconn, wanted: is.maxconn, observed: maxconn };
            self.number(view, subject, &number)?;
        }
        Ok(())
    }

    /// Sets the number if the configuration changed it, and a person did not since.
    fn number(&mut self, view: &View<'_, '_>, subject: Subject<'_>, number: &Number) -> Needed<()> {
        let key = format!("{} {}", subject.name, number.name);
        let sent = self.situation.memory.setting(subject.backend, &key);
        let is_sent = sent.is_some_and(|sent| [sent.from, sent.to].contains(&number.observed));
        if number.observed != number.was && !is_sent {
            self.number_by_hand(subject, number);
            return Ok(());
        }
        let change = Change { from: number.observed, to: number.wanted };
        self.plan.memory.put_setting(subject.backend, key, change);
        if number.name == "weight" && number.wanted == 0 && view.must_stay(subject) {
            self.wait_for_others(subject);
            return Ok(());
        }
        let (path, value) = (path(subject.backend, subject.name), number.wanted.to_string());
        let why = format!("its {} is {}", number.name, number.observed);
        match number.name {
            "weight" => self.step(&["set", "server", &path, "weight", &value], Reply::Empty, &why),
            _ => self.step(&["set", "maxconn", "server", &path, &value], Reply::Empty, &why),
        }
    }

    fn number_by_hand(&mut self, subject: Subject<'_>, number: &Number) {
        let what = match number.name {
            "weight" => Setting::Weight(number.observed),
            _ => Setting::Maxconn(number.observed),
        };
        self.by_hand(subject.backend, subject.name, what);
    }
}
