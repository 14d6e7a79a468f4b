//! HAProxy: a pool of servers with `maxconn`, and one queue for what no server has a slot for.
//!
//! In: requests, servers that come up or are drained, ends of requests. Out: which requests start where, and
//! how long each waited. `balance leastconn`; the queue is first come, first served, and nobody gives up.

use std::collections::VecDeque;

use super::moment::Micros;
use super::ranks::Ranks;

/// One pool in one process.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    slots: u32,
    servers: Vec<Server>,
    free: Ranks,
    queue: VecDeque<Request>,
    busy: u64,
    arrived: u64,
}

/// One server of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Server {
    /// Requests at work.
    pub(super) sessions: u32,
    /// Requests since the beginning.
    pub(super) total: u64,
    /// Whether it takes new ones.
    pub(super) up: bool,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) arrived: Micros,
    /// How long it will take.
    pub(super) service: Micros,
}

/// A request that begins now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    pub(super) server: usize,
    pub(super) request: Request,
}

impl Pool {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            slots,
            servers: Vec::new(),
            free: Ranks::new(slots),
            queue: VecDeque::new(),
            busy: 0,
            arrived: 0,
        }
    }

    /// A request arrives. It waits where no server has a slot left.
    pub(super) fn arrive(&mut self, request: Request) -> Option<Begun> {
        self.arrived += 1;
        let server = self.free.least();
        if server.is_none() {
            self.queue.push_back(request);
        }
        server.map(|server| self.begin(server, request))
    }

    /// A server ends a request, and begins the one that waited longest.
    pub(super) fn end(&mut self, server: usize) -> Option<Begun> {
        let Server { sessions, up, .. } = self.servers[server];
        self.servers[server].sessions = sessions - 1;
        self.busy -= 1;
        if up {
            self.free.remove(server, sessions);
            self.free.insert(server, sessions - 1);
            return self.next(server);
        }
        None
    }

    /// A new server, down.
    pub(super) fn add(&mut self) -> usize {
        self.servers.push(Server::default());
        self.servers.len() - 1
    }

    /// A server takes requests from now on: those that wait at once, as many as it has slots.
    pub(super) fn up(&mut self, server: usize) -> Vec<Begun> {
        self.servers[server].up = true;
        self.free.insert(server, self.servers[server].sessions);
        let free = self.slots - self.servers[server].sessions;
        (0..free).map_while(|_| self.next(server)).collect()
    }

    /// A server takes no more requests and finishes those it has.
    pub(super) fn drain(&mut self, server: usize) {
        let drained = &mut self.servers[server];
        if std::mem::take(&mut drained.up) {
            self.free.remove(server, drained.sessions);
        }
    }

    fn next(&mut self, server: usize) -> Option<Begun> {
        self.queue.pop_front().map(|request| self.begin(server, request))
    }

    fn begin(&mut self, server: usize, request: Request) -> Begun {
        let chosen = &mut self.servers[server];
        self.free.remove(server, chosen.sessions);
        chosen.sessions += 1;
        chosen.total += 1;
        self.busy += 1;
        self.free.insert(server, chosen.sessions);
        Begun { server, request }
    }

    pub(super) fn server(&self, server: usize) -> &Server {
        &self.servers[server]
    }

    /// Requests at work, on drained servers too.
    pub(super) fn busy(&self) -> u64 {
        self.busy
    }

    /// Requests that arrived since the beginning.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// What one server can do at once.
    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// Requests that wait, the one that waited longest first.
    pub(super) fn queue(&self) -> &VecDeque<Request> {
        &self.queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: Request = Request { arrived: 0, service: 1 };

    fn pool(servers: usize) -> Pool {
        let mut pool = Pool::new(2);
        for _ in 0..servers {
            let server = pool.add();
            pool.up(server);
        }
        pool
    }

    #[test]
    fn requests_go_where_the_fewest_are_and_wait_when_all_slots_are_taken() {
        let mut pool = pool(2);
        let chosen: Vec<_> = (0..5).map(|_| pool.arrive(REQUEST).map(|begun| begun.server)).collect();
        assert_eq!(chosen, [Some(0), Some(1), Some(0), Some(1), None]);
        assert_eq!((pool.busy(), pool.queue().len()), (4, 1));
        assert_eq!(pool.end(1).map(|begun| begun.server), Some(1));
        assert_eq!((pool.busy(), pool.queue().len()), (4, 0));
    }

    #[test]
    fn a_drained_server_ends_what_it_has_and_a_new_one_takes_what_waits() {
        let mut pool = pool(1);
        for _ in 0..5 {
            pool.arrive(REQUEST);
        }
        pool.drain(0);
        assert!(pool.end(0).is_none());
        let new = pool.add();
        assert_eq!(pool.up(new).len(), 2);
        assert_eq!((pool.busy(), pool.queue().len()), (3, 1));
        pool.end(0);
        assert_eq!(pool.server(0).sessions, 0);
    }
}
