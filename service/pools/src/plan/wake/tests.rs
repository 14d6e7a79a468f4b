//! Single turns with a server that holds requests.

use std::time::{Duration, SystemTime};

use haproxy_cfg::Sections;

use super::super::*;
use super::*;

const AT: &str = "127.0.0.1:40001";

fn server(address: &str, admin: Admin) -> ObservedServer {
    ObservedServer {
        id: 1,
        address: address.parse().ok(),
        weight: 1,
        maxconn: 0,
        admin,
        is_down: false,
        check: CheckState::None,
        sessions: 0,
        is_backup: address == AT,
    }
}

/// One pool `web` in a turn.
struct Pool {
    text: &'static str,
    servers: Vec<(&'static str, ObservedServer)>,
    drained: bool,
    wake: bool,
    memory: Memory,
    version: (u32, u32, u32),
}

impl Pool {
    fn of(text: &'static str, servers: Vec<(&'static str, ObservedServer)>) -> Self {
        Self { text, servers, drained: false, wake: true, memory: Memory::default(), version: (2, 6, 12) }
    }

    fn plan(&self) -> Plan {
        let files = &[Sections::parse(format!("backend web\n{}", self.text))];
        let mut observed = Observed::default();
        for (name, state) in &self.servers {
            observed.insert("web", *name, state.clone());
        }
        let mut wishes = Wishes::default();
        if self.drained {
            wishes.add("web", "a", Wish::Drain);
        }
        let at = Some(("web".to_owned(), AT.parse().unwrap())).filter(|_| self.wake);
        plan(&Situation {
            loaded: files,
            wanted: files,
            observed: &observed,
            memory: &self.memory,
            can: Can { version: self.version },
            options: &Options::default(),
            cause: &|_| Cause::Gone,
            wishes: &wishes,
            wake: &WakeServers::new(at),
            is_unsure: false,
            is_file_behind: false,
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        })
    }

    fn commands(&self) -> Vec<String> {
        let plan = self.plan();
        assert_eq!(plan.reload, None);
        plan.steps.into_iter().map(|step| step.command).collect()
    }

    fn state(&self) -> WakeState {
        self.plan().wakes["web"].state.clone()
    }
}

const A: &str = " server a 10.0.0.1:80\n";

fn last_instance(admin: Admin) -> Pool {
    Pool { drained: true, ..Pool::of(A, vec![("a", server("10.0.0.1:80", admin))]) }
}

#[test]
fn the_last_instance_is_drained_only_when_somebody_holds_its_requests() {
    let mut pool = last_instance(Admin::Ready);
    let commands = pool.commands();
    let id = server_ids([WAKE])[WAKE];
    let options = "backup maxconn 0 maxqueue 0 minconn 0 pool-max-conn 0 weight 1";
    let add = format!("add server web/weir-wake {AT} id {id} {options}");
    assert_eq!(commands, [&add, "set server web/weir-wake state ready"]);
    assert_eq!(pool.state(), WakeState::Coming);
    let again: Vec<String> = pool.plan().wakes["web"].again.iter().map(|step| step.command.clone()).collect();
    assert_eq!(again, commands, "a new worker is told the same");

    pool.memory = pool.plan().memory;
    pool.servers.push((WAKE, server(AT, Admin::Ready)));
    assert_eq!(pool.commands(), ["set server web/a state drain"]);
    assert_eq!(pool.state(), WakeState::InForce);
}

#[test]
fn it_stays_although_no_file_names_it_and_nobody_remembers_it() {
    let pool = Pool::of("", vec![(WAKE, server(AT, Admin::Ready))]);
    assert_eq!((pool.commands(), pool.state()), (vec![], WakeState::InForce));
    assert!(pool.plan().settled && pool.plan().by_hand.is_empty());
    let half = Pool::of("", vec![(WAKE, server(AT, Admin::Maint))]);
    assert_eq!(half.commands(), ["set server web/weir-wake state ready"]);
    let elsewhere = Pool::of("", vec![(WAKE, server("127.0.0.1:40000", Admin::Ready))]);
    assert_eq!(elsewhere.commands()[0], "set server web/weir-wake addr 127.0.0.1 port 40001");
}

#[test]
fn the_first_instance_takes_over_once_it_passed() {
    let held = |text, servers| {
        let mut all = vec![(WAKE, server(AT, Admin::Ready))];
        all.extend(servers);
        Pool::of(text, all)
    };
    let checked = held(" server a 10.0.0.1:80 check\n", vec![]).commands();
    assert_eq!(checked.last().unwrap(), "set server web/a state drain", "requests are held until then");
    let ready = || vec![("a", server("10.0.0.1:80", Admin::Ready))];
    let gone = Pool { wake: false, ..held(A, ready()) };
    assert_eq!(gone.commands(), ["set server web/weir-wake state drain"]);
    let early = Pool { wake: false, ..held(A, vec![("a", server("10.0.0.1:80", Admin::Maint))]) };
    assert_eq!(early.commands(), [""; 0], "nobody serves yet");
    let drained = Pool { wake: false, ..Pool::of("", vec![(WAKE, server(AT, Admin::Drain))]) };
    assert_eq!(drained.commands(), ["set server web/weir-wake state maint", "del server web/weir-wake"]);
}

#[test]
fn a_pool_that_cannot_have_it_says_why_and_is_left_alone() {
    let why = |text, version| {
        let pool = Pool {
            version,
            drained: true,
            ..Pool::of(text, vec![("a", server("10.0.0.1:80", Admin::Drain))])
        };
        assert!(!pool.commands().concat().contains(WAKE), "{text}");
        match pool.state() {
            WakeState::Unfit(why) => why,
            other => panic!("{text}: {other:?}"),
        }
    };
    let new = (2, 6, 12);
    for (text, version, said) in [
        (A, (2, 4, 0), "before HAProxy 2.6"),
        (" balance source\n server a 10.0.0.1:80\n", new, "`hash-type consistent`"),
        (
            " server a 10.0.0.1:80\n server b 10.0.0.2:80 backup disabled\n",
            new,
            "`backup` servers of its own",
        ),
        (" server a 10.0.0.1:80 ssl verify none\n", new, "`ssl` stands on its server lines"),
        (
            " default-server on-marked-up shutdown-backup-sessions\n server a 10.0.0.1:80\n",
            new,
            "on-marked-up",
        ),
        (" default-server cookie x\n server a 10.0.0.1:80\n", new, "`cookie` only by a reload"),
    ] {
        let found = why(text, version);
        assert!(found.contains(said), "{text}: {found}");
    }
    let inherited = " default-server ssl verify none send-proxy-v2\n server a 10.0.0.1:80\n";
    let pool = Pool::of(inherited, vec![("a", server("10.0.0.1:80", Admin::Ready))]);
    assert!(pool.commands()[0].contains("send-proxy-v2 ssl verify none"), "{:?}", pool.commands());
}

#[test]
fn what_haproxy_refuses_is_no_reason_for_a_reload() {
    let mut pool = last_instance(Admin::Ready);
    let first = pool.plan();
    pool.memory = first.memory;
    pool.memory.refuse(&first.steps[0].command, "no such option\n");
    let noted = pool.plan();
    assert_eq!(noted.reload, None);
    pool.memory = noted.memory;
    for _ in 0..3 {
        assert_eq!(pool.state(), WakeState::Unfit("HAProxy does not take it: no such option".to_owned()));
        pool.memory = pool.plan().memory;
    }
    pool.memory.reloaded();
    assert_eq!(pool.state(), WakeState::Coming, "another worker may");
}
