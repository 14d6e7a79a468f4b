//! Servers by how many sessions they have, so that the one with the fewest is found at once.

/// Servers that may take a request, by their sessions. All operations take constant time for a given
/// `maxconn`.
#[derive(Debug, Clone)]
pub(super) struct Ranks {
    /// The servers with so many sessions each.
    by_sessions: Vec<Vec<usize>>,
    /// Where each server stands in its list.
    places: Vec<usize>,
}

impl Ranks {
    /// For servers of so many slots.
    pub(super) fn new(slots: u32) -> Self {
        Self { by_sessions: vec![Vec::new(); slots as usize], places: Vec::new() }
    }

    /// Puts a server in; one with all slots taken is left out.
    pub(super) fn insert(&mut self, server: usize, sessions: u32) {
        let Some(list) = self.by_sessions.get_mut(sessions as usize) else { return };
        if self.places.len() <= server {
            self.places.resize(server + 1, 0);
        }
        self.places[server] = list.len();
        list.push(server);
    }

    /// Takes a server out that was put in with so many sessions.
    pub(super) fn remove(&mut self, server: usize, sessions: u32) {
        let Some(list) = self.by_sessions.get_mut(sessions as usize) else { return };
        let place = self.places[server];
        list.swap_remove(place);
        if let Some(&moved) = list.get(place) {
            self.places[moved] = place;
        }
    }

    /// The server with the fewest sessions that has a slot left.
    pub(super) fn least(&self) -> Option<usize> {
        self.by_sessions.iter().find_map(|list| list.first().copied())
    }
}
