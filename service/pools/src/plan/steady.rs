//! Servers that are there and wanted: their state, and whose doing a difference is.
//!
//! A state that differs from the configuration although the configuration did not change was set by a person, and is left so;
//! so are the [numbers](super::numbers).

use super::address::Move;
use super::layout::{Member, Pool};
use super::memory::{Begun, Running};
use super::observed::ObservedServer;
use super::options::{Changeable, ServerOptions};
use super::turn::{Needed, Subject, Target, Turn, View};
use super::wake::WAKE;
use super::{Admin, ByHand, Setting, Wish};

impl Turn<'_> {
    /// Plans for a wanted server that HAProxy has.
    pub(super) fn present(
        &mut self,
        view: &View<'_, '_>,
        member: &Member<'_>,
        server: &ObservedServer,
    ) -> Needed<()> {
        let subject = Subject { backend: view.wanted.name, name: member.name, observed: server };
        let begun = self.situation.memory.server(subject.backend, subject.name);
        let loaded = view.loaded.and_then(|pool| Some((pool, pool.counterpart(member)?)));
        let wish = self.situation.wishes.get(subject.backend, subject.name);
        let theirs = self.set_by_hand(subject);
        let is_nobodys = begun.is_none() && self.situation.is_unsure && theirs.len() < Setting::KINDS;
        let is_as_it_loaded = is_nobodys && !theirs.iter().any(|set| matches!(set, Setting::State(_)));
        let is_disabled_now = |loaded| is_to_be_disabled(view, member, begun, loaded);
        let moved = if server.admin != Admin::Maint && is_disabled_now(loaded.filter(|_| !is_as_it_loaded)) {
            // It serves until it is disabled: not at an address where nobody is.
            Move::None
        } else {
            self.address(view, subject, member, wish.is_none())?
        };
        let is_same = loaded.is_some_and(|(_, was)| was.says_the_same(member));
        let is_settled = begun.is_none() && wish.is_none() && !is_nobodys;
        if is_settled && is_same && matches!(moved, Move::None | Move::Sent) {
            return self.unchanged(view, subject, member);
        }
        let options = view.options(view.wanted, member)?;
        let was = was(view, member, begun, loaded, &options)?;
        // Then the text that it loaded said what it runs.
        let was = if is_nobodys { server.as_loaded(was, &theirs) } else { was };
        let is = options.changeable();
        let running = Running { signature: options.signature(), changeable: server.running(was, is) };
        let target = Target { options: &options, running, moved };
        // What takes it out of traffic comes before what might bring it in for a moment.
        if let Some(wish) = wish.filter(|_| !is.disabled) {
            self.wished(view, subject, wish, target.running)?;
            return self.numbers(view, subject, was, is);
        }
        if is.disabled {
            self.state(view, subject, was.disabled, &target)?;
            return self.numbers(view, subject, was, is);
        }
        self.numbers(view, subject, was, is)?;
        self.state(view, subject, was.disabled, &target)
    }

    /// A server that somebody wishes out of traffic. What a person sets on the runtime API after that stays.
    fn wished(
        &mut self,
        view: &View<'_, '_>,
        subject: Subject<'_>,
        wish: Wish,
        running: Running,
    ) -> Needed<()> {
        let (backend, name, server) = (subject.backend, subject.name, subject.observed);
        let begun = self.situation.memory.server(backend, name);
        let was_reached =
            matches!(begun, Some(Begun::Wished { wish: was, was_reached: true, .. }) if *was == wish);
        let is_reached = server.admin == wish.state();
        let was_reached = was_reached || is_reached;
        self.remember(backend, name, Begun::Wished { wish, was_reached, running });
        if is_reached {
            return Ok(());
        }
        if was_reached {
            self.by_hand(backend, name, Setting::State(server.admin));
            return Ok(());
        }
        if view.must_stay(subject) {
            self.wait_for_others(subject);
            return Ok(());
        }
        self.set_state(backend, name, wish.state(), wish.why())
    }

    /// A server whose line says what it said, with nothing begun.
    fn unchanged(&mut self, view: &View<'_, '_>, subject: Subject<'_>, member: &Member<'_>) -> Needed<()> {
        let Some(changeable) = view.changeable(member) else { return Ok(()) };
        self.numbers(view, subject, changeable, changeable)?;
        let expected = if changeable.disabled { Admin::Maint } else { Admin::Ready };
        if subject.observed.admin != expected {
            self.by_hand(subject.backend, subject.name, Setting::State(subject.observed.admin));
        }
        Ok(())
    }

    fn state(
        &mut self,
        view: &View<'_, '_>,
        subject: Subject<'_>,
        was_disabled: bool,
        target: &Target<'_>,
    ) -> Needed<()> {
        let begun = self.situation.memory.server(subject.backend, subject.name);
        match target.moved {
            Move::Drained => {
                self.await_first_check(subject, target);
                return Ok(());
            }
            Move::Waits => {
                let running = target.running.clone();
                self.remember(subject.backend, subject.name, Begun::Joined { running });
                return Ok(());
            }
            Move::None | Move::Sent => {}
        }
        if target.options.has("disabled") {
            let is_pending = !matches!(begun, None | Some(Begun::Joined { .. }));
            return self.disabled(view, subject, !was_disabled || is_pending, target);
        }
        match begun {
            Some(Begun::Joining { since, was_drained, .. }) => {
                self.progress(view, subject, target, (*since, *was_drained))
            }
            Some(Begun::Leaving { .. }) => match self.taken_out(subject) {
                Some(admin) => self.take_out_again(view, subject, target, admin),
                None => self.progress(view, subject, target, (self.situation.now, false)),
            },
            Some(Begun::Disabling { .. } | Begun::Wished { .. }) => {
                self.progress(view, subject, target, (self.situation.now, false))
            }
            // One that a worker was told of when it started, or that is left from before.
            None if subject.name == WAKE => self.progress(view, subject, target, (self.situation.now, false)),
            Some(Begun::Joined { .. }) | None if was_disabled => {
                self.progress(view, subject, target, (self.situation.now, false))
            }
            Some(Begun::Joined { .. }) | None => {
                self.left_alone(view, subject, target);
                Ok(())
            }
        }
    }

    /// What of the server is known to be set by hand.
    pub(super) fn set_by_hand(&self, subject: Subject<'_>) -> Vec<Setting> {
        let is_its =
            |by_hand: &&ByHand| (&*by_hand.backend, &*by_hand.server) == (subject.backend, subject.name);
        self.situation.memory.by_hand.iter().filter(is_its).map(|by_hand| by_hand.what).collect()
    }

    /// The state in which a person had it before it was critical.
    fn taken_out(&self, subject: Subject<'_>) -> Option<Admin> {
        self.set_by_hand(subject).into_iter().find_map(|set| match set {
            Setting::State(admin) if ![admin, subject.observed.admin].contains(&Admin::Ready) => Some(admin),
            _ => None,
        })
    }

    /// A server that passes again, and that a person had taken out before it was critical: it is theirs again.
    fn take_out_again(
        &mut self,
        view: &View<'_, '_>,
        subject: Subject<'_>,
        target: &Target<'_>,
        admin: Admin,
    ) -> Needed<()> {
        self.by_hand(subject.backend, subject.name, Setting::State(admin));
        self.remember_unless_loaded(view, subject, target);
        if subject.observed.admin == admin {
            return Ok(());
        }
        self.set_state(subject.backend, subject.name, admin, "a person had set it so before it was critical")
    }

    /// A server in its place: what is not ready was set by a person.
    fn left_alone(&mut self, view: &View<'_, '_>, subject: Subject<'_>, target: &Target<'_>) {
        if subject.observed.admin != Admin::Ready {
            self.by_hand(subject.backend, subject.name, Setting::State(subject.observed.admin));
        }
        self.remember_unless_loaded(view, subject, target);
    }

    /// Keeps what a server runs with until the loaded text says it.
    fn remember_unless_loaded(&mut self, view: &View<'_, '_>, subject: Subject<'_>, target: &Target<'_>) {
        let loaded = view.loaded.and_then(|pool| pool.options(pool.server(subject.name)?).ok());
        let running = target.running.clone();
        if self.situation.is_file_behind || loaded.is_none_or(|loaded| Running::with(&loaded) != running) {
            self.remember(subject.backend, subject.name, Begun::Joined { running });
        }
    }

    /// A server that the configuration keeps in maintenance.
    fn disabled(
        &mut self,
        view: &View<'_, '_>,
        subject: Subject<'_>,
        is_change: bool,
        target: &Target<'_>,
    ) -> Needed<()> {
        let (backend, name, server) = (subject.backend, subject.name, subject.observed);
        if server.admin == Admin::Maint || !is_change {
            if server.admin != Admin::Maint {
                self.by_hand(backend, name, Setting::State(server.admin));
            }
            self.remember_unless_loaded(view, subject, target);
            return Ok(());
        }
        self.remember(backend, name, Begun::Disabling { running: target.running.clone() });
        if view.must_stay(subject) {
            self.wait_for_others(subject);
            return Ok(());
        }
        self.set_state(backend, name, Admin::Maint, "the configuration disables it")
    }
}

/// Whether the configuration disables it now. One that it disabled before, and that is in traffic, is so by a person.
fn is_to_be_disabled(
    view: &View<'_, '_>,
    member: &Member<'_>,
    begun: Option<&Begun>,
    loaded: Option<(&Pool<'_>, &Member<'_>)>,
) -> bool {
    // Most are not, and then the words of what was loaded need not be gone through.
    if view.changeable(member).is_none_or(|wanted| !wanted.disabled) {
        return false;
    }
    match begun {
        None => loaded.is_none_or(|(pool, was)| !pool.is_on(was, "disabled")),
        Some(Begun::Joined { running }) => !running.changeable.disabled,
        Some(_) => true,
    }
}

impl ObservedServer {
    /// What a text says by which it runs so, but for what is known to be `set` by hand: of that, what it `was`. None drains a server.
    pub(super) fn as_loaded(&self, was: Changeable, set: &[Setting]) -> Changeable {
        let mut loaded =
            Changeable { weight: self.weight, maxconn: self.maxconn, disabled: self.admin == Admin::Maint };
        for what in set {
            match what {
                Setting::State(_) => loaded.disabled = was.disabled,
                Setting::Weight(_) => loaded.weight = was.weight,
                Setting::Maxconn(_) => loaded.maxconn = was.maxconn,
            }
        }
        loaded
    }

    /// What it runs with: what is wanted, as far as that is in force.
    fn running(&self, was: Changeable, is: Changeable) -> Changeable {
        Changeable {
            weight: if self.weight == is.weight { is.weight } else { was.weight },
            maxconn: if self.maxconn == is.maxconn { is.maxconn } else { was.maxconn },
            disabled: is.disabled,
        }
    }
}

/// What commands can change, as it was; a reload, where the server runs with other options than it should.
fn was(
    view: &View<'_, '_>,
    member: &Member<'_>,
    begun: Option<&Begun>,
    loaded: Option<(&Pool<'_>, &Member<'_>)>,
    options: &ServerOptions<'_>,
) -> Needed<Changeable> {
    if let Some(running) = begun.and_then(Begun::running) {
        let is_same = running.signature == options.signature();
        let reason = || view.reason(member, "it runs with other options, and only a reload changes them");
        return if is_same { Ok(running.changeable) } else { Err(reason()) };
    }
    if loaded.is_none() && member.name == WAKE {
        // No file names it, and whoever added it, its name is weir's.
        return Ok(options.changeable());
    }
    let Some((pool, was)) = loaded else {
        return Err(
            view.reason(member, "HAProxy has it with options that weir does not know: somebody added it")
        );
    };
    let unknown = |_| view.reason(was, "it had an option that weir does not know");
    let was = pool.options(was).map_err(unknown)?;
    let changed =
        |option| view.reason(member, format!("its `{option}` changed, and only a reload changes that"));
    was.difference(options).map_or_else(|| Ok(was.changeable()), |option| Err(changed(option)))
}
