//! Servers that are there and get another address: slots that are taken, and slots that are taken over.
//!
//! HAProxy keeps its verdict on a server over another address: its last check stays, and the server is up as soon as maintenance ends
//! (measured on 2.6.12 and 3.2.26). But a new address is a new server. So the verdict is taken back by `set server … health down`,
//! which has an effect only outside of maintenance, while it is drained; its first good check there makes it ready. The last that
//! serves stays where it is until another does; where no other is wanted it is in traffic at its new address at once, as after a
//! reload. So is one at the address of another that is good: they change places.

use std::net::SocketAddr;

use super::join::fixed_address;
use super::layout::Member;
use super::observed::CheckState;
use super::turn::{Needed, Subject, Turn, View, path};
use super::{Admin, Reply, Waiting};

/// What became of a server's address in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// It is where it should be, or was sent to where another server of the pool is good: nothing follows.
    None,
    /// It stays where it is until another server serves.
    Waits,
    /// It was sent elsewhere.
    Sent,
    /// It was sent elsewhere, and taken out of traffic until it is found good there.
    Drained,
}

impl Turn<'_> {
    /// Sets the address. `may_wait`: whether a server in traffic may be taken out of it for that.
    pub(super) fn address(
        &mut self,
        view: &View<'_, '_>,
        subject: Subject<'_>,
        member: &Member<'_>,
        may_wait: bool,
    ) -> Needed<Move> {
        let Some(wanted) = address_to_set(view, member)? else { return Ok(Move::None) };
        if subject.observed.address == Some(wanted) {
            return Ok(Move::None);
        }
        if view.is_good_at(wanted) {
            self.send(subject, wanted)?;
            return Ok(Move::None);
        }
        let is_checked = view.wanted.is_on(member, "check") && subject.observed.check != CheckState::None;
        let may_wait = may_wait && is_checked && subject.observed.admin == Admin::Ready;
        if may_wait && view.others_serve(member, &self.moving) {
            self.move_drained(subject, wanted)?;
            return Ok(Move::Drained);
        }
        if may_wait && view.serves(subject.name, subject.observed) && view.others_are_to_serve(member) {
            self.stay(subject, Waiting::Move);
            return Ok(Move::Waits);
        }
        self.send(subject, wanted)?;
        if is_checked && subject.observed.admin == Admin::Drain && !view.is_empty {
            self.forget_verdict(subject.backend, subject.name)?;
        }
        Ok(Move::Sent)
    }

    fn move_drained(&mut self, subject: Subject<'_>, address: SocketAddr) -> Needed<()> {
        self.moving.insert(subject.name.to_owned());
        let why = "its address is to be another one, and its first good check there is still to come";
        self.set_state(subject.backend, subject.name, Admin::Drain, why)?;
        self.send(subject, address)?;
        self.forget_verdict(subject.backend, subject.name)
    }

    fn send(&mut self, subject: Subject<'_>, address: SocketAddr) -> Needed<()> {
        let path = path(subject.backend, subject.name);
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let words = ["set", "server", &path, "addr", &ip, "port", &port];
        self.step(&words, Reply::Changed, "its address is another one")
    }

    /// Makes HAProxy forget what the checks of a drained server said of another address.
    pub(super) fn forget_verdict(&mut self, backend: &str, name: &str) -> Needed<()> {
        let words = ["set", "server", &path(backend, name), "health", "down"];
        self.step(&words, Reply::Empty, "what its checks said was said of another address")
    }
}

/// Where it should be, where a command can send it; `None` where it is so that none needs to.
fn address_to_set(view: &View<'_, '_>, member: &Member<'_>) -> Needed<Option<SocketAddr>> {
    if let Some(address) = fixed_address(member) {
        return Ok(Some(address));
    }
    let was = view.loaded.and_then(|pool| pool.counterpart(member));
    let is_same = was.is_some_and(|was| was.written == member.written);
    let reason = || view.reason(member, "the address is another one, and not an IP address with a port");
    if is_same { Ok(None) } else { Err(reason()) }
}
