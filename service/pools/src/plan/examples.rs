//! Single turns by example: what is a command, what is a reload, and why.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use haproxy_cfg::Sections;

use super::*;

pub(super) const BASE: &str = "defaults\n mode http\n timeout server 10s\n default-server inter 2s init-addr last,none\n\
                    frontend f\n bind :80\n default_backend web\n\
                    backend web\n balance leastconn\n default-server check fall 2\n server a 10.0.0.1:80\n";

fn state(address: &str) -> ObservedServer {
    ObservedServer {
        id: 1,
        address: address.parse().ok(),
        weight: 1,
        maxconn: 0,
        admin: Admin::Ready,
        is_down: false,
        check: CheckState::Passed,
        sessions: 0,
        is_backup: false,
    }
}

pub(super) fn running(servers: &[(&str, &str)]) -> Observed {
    let mut observed = Observed::default();
    for (name, address) in servers {
        observed.insert("web", *name, state(address));
    }
    observed
}

/// Two servers at these addresses.
pub(super) fn slots(a: u8, b: u8) -> String {
    let servers = format!("server a 10.0.0.{a}:80\n server b 10.0.0.{b}:80");
    BASE.replace("server a 10.0.0.1:80", &servers)
}

pub(super) fn plan_on(
    version: (u32, u32, u32),
    loaded: &str,
    wanted: &str,
    observed: &Observed,
    memory: &Memory,
) -> Plan {
    plan_with(version, loaded, wanted, observed, memory, Cause::Gone, &Wishes::default())
}

pub(super) fn plan_with(
    version: (u32, u32, u32),
    loaded: &str,
    wanted: &str,
    observed: &Observed,
    memory: &Memory,
    cause: Cause,
    wishes: &Wishes,
) -> Plan {
    let [loaded, wanted] = &[loaded, wanted].map(|text| [Sections::parse(text)]);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let (can, options, cause) = (Can { version }, &Options::default(), &|_| cause);
    let wake = &WakeServers::default();
    plan(&Situation {
        loaded,
        wanted,
        observed,
        memory,
        can,
        options,
        cause,
        wishes,
        wake,
        is_unsure: false,
        is_file_behind: false,
        now,
    })
}

fn plan_of(loaded: &str, wanted: &str) -> Plan {
    plan_on((2, 6, 12), loaded, wanted, &running(&[("a", "10.0.0.1:80")]), &Memory::default())
}

pub(super) fn commands(plan: &Plan) -> Vec<&str> {
    assert_eq!(plan.reload, None);
    plan.steps.iter().map(|step| step.command.as_str()).collect()
}

fn reason(loaded: &str, wanted: &str) -> String {
    let plan = plan_of(loaded, wanted);
    assert_eq!(plan.steps, []);
    plan.reload.map(|reason| reason.to_string()).unwrap_or_default()
}

/// A slot that becomes free: its address is changed where it no longer matters to anybody, and on its way back too.
#[test]
fn a_server_that_is_disabled_serves_at_its_own_address_until_then() {
    let (slot, free) = ("server a 10.0.0.1:80", "server a 0.0.0.0:1 disabled\n server b 10.0.0.2:80");
    let taken = BASE.replace(slot, "server a 10.0.0.3:80\n server b 10.0.0.2:80");
    let loaded = BASE.replace(slot, "server a 10.0.0.1:80\n server b 10.0.0.2:80");
    let wanted = BASE.replace(slot, free);
    let mut observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
    let commands = |plan: &Plan| plan.steps.iter().map(|step| step.command.clone()).collect::<Vec<_>>();
    let next = |wanted: &str, observed: &Observed, memory: &Memory| {
        plan_on((2, 4, 0), &loaded, wanted, observed, memory)
    };
    let first = next(&wanted, &observed, &Memory::default());
    assert_eq!(commands(&first), ["set server web/a state maint"], "{first:?}");
    let set = |observed: &mut Observed, admin, address: &str| {
        let server = observed.pools.get_mut("web").unwrap().get_mut("a").unwrap();
        (server.admin, server.address) = (admin, address.parse().ok());
    };
    set(&mut observed, Admin::Maint, "10.0.0.1:80");
    let second = next(&wanted, &observed, &first.memory);
    assert_eq!(commands(&second), ["set server web/a addr 0.0.0.0 port 1"]);
    set(&mut observed, Admin::Maint, "0.0.0.0:1");
    let third = next(&wanted, &observed, &second.memory);
    assert!(third.settled && third.reload.is_none(), "{third:?}");
    let back = next(&taken, &observed, &third.memory);
    let expected = [
        "set server web/a addr 10.0.0.3 port 80",
        "set server web/a state drain",
        "set server web/a health down",
    ];
    assert_eq!(commands(&back), expected);
}

/// A slot that another instance takes over waits for its first good check there; the last that serves does not.
#[test]
fn a_server_at_another_address_waits_for_its_first_good_check_there() {
    let (loaded, wanted) = (slots(1, 2), slots(3, 2));
    let mut observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
    let next = |observed: &Observed, memory: &Memory| plan_on((2, 4, 0), &loaded, &wanted, observed, memory);
    let first = next(&observed, &Memory::default());
    let expected = [
        "set server web/a state drain",
        "set server web/a addr 10.0.0.3 port 80",
        "set server web/a health down",
    ];
    assert_eq!(commands(&first), expected);
    assert_eq!(first.waits[0].what, Waiting::FirstCheck);
    let mut set = |check, is_down| {
        let server = observed.pools.get_mut("web").unwrap().get_mut("a").unwrap();
        (server.admin, server.address) = (Admin::Drain, "10.0.0.3:80".parse().ok());
        (server.check, server.is_down) = (check, is_down);
        observed.clone()
    };
    let waiting = next(&set(CheckState::Unknown, true), &first.memory);
    assert_eq!((commands(&waiting), waiting.settled), (vec![], false));
    let mut alone = set(CheckState::Unknown, true);
    alone.pools.get_mut("web").unwrap().get_mut("b").unwrap().is_down = true;
    let alone = next(&alone, &waiting.memory);
    assert_eq!(commands(&alone), ["set server web/a health up", "set server web/a state ready"]);
    let good = next(&set(CheckState::Passed, false), &waiting.memory);
    assert_eq!(commands(&good), ["set server web/a state ready"]);
}

/// Two slots change places: both are known to be good where they go. One of them goes where nobody was: the other holds the pool.
#[test]
fn servers_that_change_places_stay_in_traffic() {
    let observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
    let next = |wanted: &str| plan_on((2, 4, 0), &slots(1, 2), wanted, &observed, &Memory::default());
    let [to_b, to_a] = ["set server web/a addr 10.0.0.2 port 80", "set server web/b addr 10.0.0.1 port 80"];
    assert_eq!(commands(&next(&slots(2, 1))), [to_b, to_a]);
    let shifted = next(&slots(3, 1));
    let expected = [
        "set server web/a state drain",
        "set server web/a addr 10.0.0.3 port 80",
        "set server web/a health down",
        to_a,
    ];
    assert_eq!(commands(&shifted), expected);
}

/// With nobody else in traffic one slot moves, and the other stays at its old address until that one is good.
#[test]
fn not_all_servers_move_at_once() {
    let observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
    let plan = plan_on((2, 4, 0), &slots(1, 2), &slots(3, 4), &observed, &Memory::default());
    assert_eq!(commands(&plan)[1], "set server web/a addr 10.0.0.3 port 80");
    assert!(!commands(&plan).iter().any(|command| command.contains("web/b")), "{plan:?}");
    let stays = |wait: &Wait| wait.server == "b" && wait.what == Waiting::Move;
    assert!(plan.waits.iter().any(stays), "{plan:?}");
}

#[test]
fn nothing_changes_nothing() {
    let wanted = BASE.replace(" server a", "# seen\n\n\tserver  a").replace("mode http", "mode   http # c");
    let plan = plan_of(BASE, &wanted);
    assert_eq!((commands(&plan), plan.settled, plan.look_again), (vec![], true, None));
}

#[test]
fn a_new_server_gets_all_options_and_waits_for_its_check() {
    let wanted = format!("{BASE} server b [2001:db8::1]:80 fall 3 id 9 backup\n");
    let plan = plan_of(BASE, &wanted);
    let expected = [
        "add server web/b [2001:db8::1]:80 id 9 backup check fall 3 inter 2s",
        "enable health web/b",
        "set server web/b state drain",
    ];
    assert_eq!(commands(&plan), expected);
    assert_eq!(plan.waits[0].what, Waiting::FirstCheck);
    assert!(plan.look_again.is_some() && !plan.settled);
}

/// Whoever sets it ready by hand gets it checked: `add server` alone leaves it at "no check" then (tried on 2.6.12, 3.0.11 and
/// 3.2.26).
#[test]
fn a_new_server_that_is_disabled_is_checked_once_it_is_ready() {
    let plan = plan_of(BASE, &format!("{BASE} server b 10.0.0.2:80 id 9 disabled\n"));
    let add = "add server web/b 10.0.0.2:80 id 9 check fall 2 inter 2s";
    assert_eq!(commands(&plan), [add, "enable health web/b"]);
}

#[test]
fn in_an_empty_pool_a_new_server_is_ready_at_once() {
    let plan = plan_on((2, 6, 12), BASE, BASE, &Observed::default(), &Memory::default());
    let id = crate::server_ids(["a"])["a"];
    let add = format!("add server web/a 10.0.0.1:80 id {id} check fall 2 inter 2s");
    assert_eq!(commands(&plan), [add.as_str(), "enable health web/a", "set server web/a state ready"]);
}

#[test]
fn a_derived_id_avoids_those_that_are_taken() {
    let wanted = format!("{BASE} server b 10.0.0.2:80 no-check\n");
    let id = crate::server_ids(["b"])["b"];
    let mut observed = running(&[("a", "10.0.0.1:80")]);
    observed.pools.get_mut("web").unwrap().get_mut("a").unwrap().id = id;
    let plan = plan_on((2, 6, 12), BASE, &wanted, &observed, &Memory::default());
    let add = format!("add server web/b 10.0.0.2:80 id {} fall 2 inter 2s", id + 1);
    assert_eq!(commands(&plan), [add.as_str(), "set server web/b state ready"]);
}

#[test]
fn numbers_and_addresses_are_set() {
    let wanted = BASE.replace("10.0.0.1:80", "10.0.0.9:81 weight 7 maxconn 20");
    let expected = [
        "set server web/a addr 10.0.0.9 port 81",
        "set server web/a weight 7",
        "set maxconn server web/a 20",
    ];
    assert_eq!(commands(&plan_of(BASE, &wanted)), expected);
}

#[test]
fn what_a_person_set_is_named_and_left() {
    let mut observed = running(&[("a", "10.0.0.1:80")]);
    let server = observed.pools.get_mut("web").unwrap().get_mut("a").unwrap();
    (server.admin, server.weight) = (Admin::Maint, 3);
    let plan = plan_on((2, 6, 12), BASE, BASE, &observed, &Memory::default());
    assert_eq!((commands(&plan), plan.settled), (vec![], true));
    let what: Vec<Setting> = plan.by_hand.iter().map(|by| by.what).collect();
    assert_eq!(what, [Setting::Weight(3), Setting::State(Admin::Maint)]);
}

#[test]
fn other_lines_need_a_reload_that_names_them() {
    let cases = [
        (
            "timeout server 10s",
            "timeout server 9s",
            "defaults, line 3, `timeout server 9s`: it was `timeout server 10s`",
        ),
        (" bind :80\n", "", "frontend f, line 6, `bind :80`: the line is gone"),
        (" bind :80\n", " bind :80\n bind :81\n", "frontend f, line 7, `bind :81`: the line is new"),
        ("frontend f", "frontend g", "frontend f, line 5, `frontend f`: the section is gone"),
        (
            "check fall 2",
            "check fall 3",
            "backend web, line 10, `default-server check fall 3`: it was `default-server check fall 2`",
        ),
        (
            "10.0.0.1:80",
            "10.0.0.1:80 rise 9",
            "pool web, line 11, `server a 10.0.0.1:80`: its `rise` changed, and only a reload changes that",
        ),
        (
            "10.0.0.1:80",
            "web.example:80",
            "pool web, line 11, `server a web.example:80`: the address is another one, and not an IP address with a port",
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(reason(BASE, &BASE.replace(old, new)), expected);
    }
    let more = format!("{BASE}backend new\n");
    assert_eq!(reason(BASE, &more), "backend new, line 12, `backend new`: the section is new");
    assert_eq!(reason(&more, BASE), "backend new, line 12, `backend new`: the section is gone");
}

#[test]
fn a_name_that_stands_twice_in_a_pool_is_named_where_it_stands_again() {
    for more in [0, 20] {
        let other = |n| format!(" server o{n} 10.0.1.{n}:80\n");
        let others: Vec<String> = (0..more).map(other).collect();
        let again = format!("{BASE}{} server a 10.0.0.9:80\n", others.concat());
        let expected = format!(
            "backend web, line {}, `server a 10.0.0.9:80`: the pool has a server of that name already, and HAProxy \
             refuses it twice",
            12 + more
        );
        assert_eq!(reason(BASE, &again), expected);
    }
}

#[test]
fn what_add_server_does_not_take_needs_a_reload() {
    let add = |line: &str| reason(BASE, &format!("{BASE} server b {line}\n"));
    assert!(
        add("10.0.0.2:80 cookie b").ends_with("HAProxy 2.6 takes a server with `cookie` only by a reload")
    );
    assert!(add("web.example:80").contains("only with an IP address"));
    assert!(add("10.0.0.2:80 shiny 3").contains("`shiny` is not an option that weir knows"));
    assert!(add("10.0.0.2:80 sni str(a;b)").contains("characters"));
    let cookie = format!("{BASE} server b 10.0.0.2:80 cookie b\n");
    let observed = running(&[("a", "10.0.0.1:80")]);
    assert!(plan_on((3, 0, 0), BASE, &cookie, &observed, &Memory::default()).reload.is_none());
    assert!(plan_on((2, 4, 0), BASE, BASE, &Observed::default(), &Memory::default()).reload.is_some());
}

#[test]
fn only_dynamic_algorithms_take_servers_and_weights() {
    for (balance, is_dynamic) in [
        ("roundrobin", true),
        ("random(2)", true),
        ("first", true),
        ("source", false),
        ("static-rr", false),
        ("uri\n hash-type consistent", true),
        ("hdr(host)\n hash-type map-based", false),
        ("unheard-of", false),
    ] {
        let base = BASE.replace("leastconn", balance);
        let more = format!("{base} server b 10.0.0.2:80\n");
        assert_eq!(plan_of(&base, &more).reload.is_none(), is_dynamic, "{balance}");
        let weight = base.replace("10.0.0.1:80", "10.0.0.1:80 weight 3");
        assert_eq!(plan_of(&base, &weight).reload.is_none(), is_dynamic, "{balance}");
    }
    let inherited =
        BASE.replace(" balance leastconn\n", "").replace("mode http", "mode http\n balance source");
    assert!(reason(&inherited, &format!("{inherited} server b 10.0.0.2:80\n")).contains("balance source"));
}

#[test]
fn named_defaults_and_default_server_hold_by_place() {
    let base = "defaults one\n default-server weight 5\ndefaults two from one\n default-server backup\n\
                defaults last\nbackend web from two\n server a 10.0.0.1:80\n default-server maxconn 3\n";
    let mut observed = running(&[("a", "10.0.0.1:80")]);
    let server = observed.pools.get_mut("web").unwrap().get_mut("a").unwrap();
    (server.weight, server.is_backup) = (5, true);
    let wanted = format!("{base} server b 10.0.0.2:80 id 8\n");
    let plan = plan_on((2, 6, 12), base, &wanted, &observed, &Memory::default());
    let add = "add server web/b 10.0.0.2:80 id 8 backup maxconn 3 weight 5";
    assert_eq!(commands(&plan), [add, "set server web/b state ready"]);
}

#[test]
fn servers_in_conditions_and_templates_are_left_alone() {
    let text =
        format!("{BASE} .if defined(X)\n server x 10.0.0.5:80\n .endif\n server-template t 2 10.0.0.6:80\n");
    let observed =
        running(&[("a", "10.0.0.1:80"), ("x", "10.0.0.5:80"), ("t1", "10.0.0.6:80"), ("t2", "10.0.0.7:80")]);
    let plan = plan_on((2, 6, 12), &text, &text, &observed, &Memory::default());
    assert_eq!((commands(&plan), plan.settled), (vec![], true));
    assert!(reason(&text, &text.replace("10.0.0.5", "10.0.0.8")).contains("server x 10.0.0.8:80"));
    assert!(reason(&text, &text.replace("t 2", "t 3")).contains("server-template t 3"));
}

#[test]
fn a_dead_server_is_not_drained_and_a_kept_one_waits() {
    let wanted = format!("{BASE} server b 10.0.0.2:80\n");
    let mut observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80"), ("c", "10.0.0.3:80")]);
    observed.pools.get_mut("web").unwrap().get_mut("b").unwrap().check = CheckState::Failed;
    let plan = plan_on((2, 6, 12), &wanted, BASE, &observed, &Memory::default());
    let expected = ["set server web/b state maint", "del server web/b", "set server web/c state drain"];
    assert_eq!(commands(&plan), expected);
    observed.pools.get_mut("web").unwrap().get_mut("a").unwrap().is_down = true;
    let plan = plan_on((2, 6, 12), &wanted, BASE, &observed, &Memory::default());
    assert_eq!(commands(&plan), ["set server web/b state maint", "del server web/b"]);
    assert_eq!((plan.waits[0].server.as_str(), plan.waits[0].what), ("c", Waiting::Others));
}

#[test]
fn the_only_server_leaves_in_the_same_turn_if_the_new_one_was_taken() {
    let pool = |server: &str| format!("backend web\n balance leastconn\n server {server}\n");
    let (before, after) = (pool("a 10.0.0.1:80"), pool("b 10.0.0.2:80"));
    let observed = running(&[("a", "10.0.0.1:80")]);
    let plan = plan_on((2, 6, 12), &before, &after, &observed, &Memory::default());
    let [.., added, ready, drained] = &plan.steps[..] else { panic!("{plan:?}") };
    assert_eq!(drained.command, "set server web/a state drain");
    assert!(drained.is_conditional && drained.depends_on(added) && drained.depends_on(ready));
    // With a check to wait for it stays.
    let checked = pool("b 10.0.0.2:80 check");
    let plan = plan_on((2, 6, 12), &before, &checked, &observed, &Memory::default());
    assert!(!commands(&plan).iter().any(|command| command.contains("web/a")), "{plan:?}");
    assert!(plan.waits.iter().any(|wait| wait.what == Waiting::Others), "{plan:?}");
}

#[test]
fn before_3_0_dynamic_cookies_are_made_anew_for_a_new_server() {
    let with = |pool: &str, server: &str| format!("backend web\n{pool} server a 10.0.0.1:80\n{server}");
    let observed = running(&[("a", "10.0.0.1:80")]);
    let told = |version, pool: &str| {
        let wanted = with(pool, " server b 10.0.0.2:80\n");
        let plan = plan_on(version, &with(pool, ""), &wanted, &observed, &Memory::default());
        assert_eq!(plan.reload, None);
        commands(&plan).contains(&"enable dynamic-cookie backend web")
    };
    let dynamic = " cookie SRV insert dynamic\n dynamic-cookie-key k\n";
    assert!(told((2, 6, 12), dynamic) && !told((3, 0, 0), dynamic));
    assert!(!told((2, 6, 12), " cookie SRV insert indirect\n"));
}

#[test]
fn a_refused_command_is_a_reload_next_time() {
    let wanted = format!("{BASE} server b 10.0.0.2:80 id 9\n");
    let observed = running(&[("a", "10.0.0.1:80")]);
    let mut memory = plan_of(BASE, &wanted).memory;
    memory.refuse("add server web/b 10.0.0.2:80 id 9 check fall 2 inter 2s", "no room\n");
    let plan = plan_on((2, 6, 12), BASE, &wanted, &observed, &memory);
    assert!(plan.reload.unwrap().to_string().ends_with("inter 2s`: no room"));
    let mut memory = Memory::default();
    let turns = (0..9).take_while(|_| {
        let plan = plan_on((2, 6, 12), BASE, &wanted, &observed, &memory);
        memory = plan.memory;
        plan.reload.is_none()
    });
    assert_eq!(turns.count(), 3, "without an answer it is tried three times");
}

#[test]
fn five_thousand_servers_are_planned_for() {
    let mut base = String::from("defaults\n mode http\n default-server check inter 2s\n");
    let mut observed = Observed::default();
    for pool in 0..1000 {
        let _ = writeln!(base, "backend p{pool}\n balance leastconn");
        for n in 0..5 {
            let name = format!("10.{}.{}.{n}:8080", pool / 250, pool % 250);
            let _ = writeln!(base, " server {name} {name} maxconn 20 weight 1 fall 2 rise 2 # no comment");
            let server = ObservedServer { maxconn: 20, ..state(&name) };
            observed.insert(format!("p{pool}"), name, server);
        }
    }
    let wanted = format!("{base} server b 10.9.9.9:80\n");
    let plan = plan_on((2, 6, 12), &base, &wanted, &observed, &Memory::default());
    assert_eq!(commands(&plan).len(), 3);
}

#[test]
fn why_a_server_leaves_decides_how() {
    let wanted = format!("{BASE} server b 10.0.0.2:80\n");
    let mut observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
    observed.pools.get_mut("web").unwrap().get_mut("b").unwrap().sessions = 2;
    let leave = |observed: &Observed, cause| {
        let memory = Memory::default();
        plan_with((2, 6, 12), &wanted, BASE, observed, &memory, cause, &Wishes::default())
    };
    for (cause, command, waiting) in [
        (Cause::Gone, "set server web/b state drain", Waiting::Sessions(2)),
        (Cause::Maintenance, "set server web/b state drain", Waiting::Sessions(2)),
        (Cause::Critical, "set server web/b state maint", Waiting::Passing),
        (Cause::Unreachable, "set server web/b state maint", Waiting::Sessions(2)),
    ] {
        let plan = leave(&observed, cause);
        assert_eq!((commands(&plan), plan.waits[0].what), (vec![command], waiting), "{cause:?}");
    }
    let b = observed.pools.get_mut("web").unwrap().get_mut("b").unwrap();
    (b.admin, b.sessions) = (Admin::Maint, 0);
    assert_eq!(
        commands(&leave(&observed, Cause::Critical)),
        [""; 0],
        "it is kept for the time when it passes"
    );
    assert_eq!(commands(&leave(&observed, Cause::Gone)), ["del server web/b"]);
}

/// What is only out for a while needs no deletion, which HAProxy may not be able to do without a reload.
#[test]
fn one_that_is_critical_is_no_reload_where_one_that_is_gone_is() {
    let both = slots(1, 2);
    let one = both.replace(" server b 10.0.0.2:80\n", "");
    let mut observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
    for (version, both, one) in [
        ((2, 4, 0), both.clone(), one.clone()),
        ((3, 2, 0), both.replace("leastconn", "source"), one.replace("leastconn", "source")),
    ] {
        let leave =
            |cause| plan_with(version, &both, &one, &observed, &Memory::default(), cause, &Wishes::default());
        assert!(leave(Cause::Gone).reload.is_some());
        let out = leave(Cause::Critical);
        assert_eq!(commands(&out), ["set server web/b state maint"]);
        observed.pools.get_mut("web").unwrap().get_mut("b").unwrap().admin = Admin::Maint;
        let back = plan_on(version, &one, &both, &observed, &out.memory);
        assert_eq!(commands(&back), ["set server web/b state drain"], "its check is asked first");
        observed.pools.get_mut("web").unwrap().get_mut("b").unwrap().admin = Admin::Ready;
    }
}

#[test]
fn a_wish_is_fulfilled_once_and_its_end_brings_the_server_back() {
    let mut observed = running(&[("a", "10.0.0.1:80")]);
    let mut wishes = Wishes::default();
    wishes.add("web", "a", Wish::Drain);
    let turn = |observed: &Observed, memory: &Memory, wishes: &Wishes| {
        plan_with((2, 6, 12), BASE, BASE, observed, memory, Cause::Gone, wishes)
    };
    let plan = turn(&observed, &Memory::default(), &wishes);
    assert_eq!(commands(&plan), ["set server web/a state drain"]);
    let mut set = |admin| observed.pools.get_mut("web").unwrap().get_mut("a").unwrap().admin = admin;
    set(Admin::Drain);
    let drained = turn(&observed, &plan.memory, &wishes);
    assert_eq!((commands(&drained), drained.settled), (vec![], true));
    let ended = turn(&observed, &drained.memory, &Wishes::default());
    assert_eq!(commands(&ended), ["set server web/a state ready"]);
    let mut set = |admin| observed.pools.get_mut("web").unwrap().get_mut("a").unwrap().admin = admin;
    set(Admin::Ready);
    let touched = turn(&observed, &drained.memory, &wishes);
    assert_eq!(commands(&touched), [""; 0], "a person set it ready after that");
    assert_eq!(touched.by_hand[0].what, Setting::State(Admin::Ready));
}
