//! Whose doing a difference is, by example.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use haproxy_cfg::Sections;

use crate::plan::examples::{BASE, commands, plan_on, plan_with, running, slots};
use crate::plan::*;

#[test]
fn a_new_worker_is_told_what_people_set_and_who_is_down() {
    let mut observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
    let servers = observed.pools.get_mut("web").unwrap();
    servers.get_mut("a").unwrap().admin = Admin::Maint;
    servers.get_mut("b").unwrap().is_down = true;
    let wanted = format!("{BASE} server b 10.0.0.2:80\n");
    let mut memory = plan_on((2, 6, 12), &wanted, &wanted, &observed, &Memory::default()).memory;
    memory.reloaded();
    let mut wishes = Wishes::default();
    wishes.add("web", "b", Wish::Maint);
    let commands: Vec<String> =
        restore(&memory, &observed, &wishes, &BTreeMap::new()).into_iter().map(|step| step.command).collect();
    let expected =
        ["set server web/b health down", "set server web/b state maint", "set server web/a state maint"];
    assert_eq!(commands, expected);
}

/// Weight 1 and ready in the text; the worker has server `a` in maintenance, and `b` with another weight.
fn touched_by_hand() -> (String, Observed) {
    let mut observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
    let servers = observed.pools.get_mut("web").unwrap();
    servers.get_mut("a").unwrap().admin = Admin::Maint;
    servers.get_mut("b").unwrap().weight = 7;
    (format!("{BASE} server b 10.0.0.2:80\n"), observed)
}

#[test]
fn what_people_set_before_a_reload_is_known_with_its_reason() {
    let (loaded, observed) = touched_by_hand();
    let wanted = loaded.replace("timeout server 10s", "timeout server 20s");
    let elsewhere = ByHand { backend: "web".into(), server: "c".into(), what: Setting::State(Admin::Drain) };
    let mut memory = Memory::default();
    memory.by_hand.push(elsewhere.clone());
    let first = plan_on((2, 6, 12), &loaded, &wanted, &observed, &memory);
    assert!(first.reload.is_some());
    let set = |server: &str, what| ByHand { backend: "web".into(), server: server.into(), what };
    let both = [set("a", Setting::State(Admin::Maint)), set("b", Setting::Weight(7))];
    assert_eq!(
        first.memory.by_hand,
        [&both[..], &[elsewhere]].concat(),
        "one that was added is not in the text"
    );
    // What weir has sent itself is nobody's.
    memory = Memory::default();
    memory.put_setting("web", "b weight".into(), memory::Change { from: 1, to: 7 });
    let second = plan_on((2, 6, 12), &loaded, &wanted, &observed, &memory);
    assert_eq!(second.memory.by_hand, [set("a", Setting::State(Admin::Maint))]);
}

/// The plan for a text that the worker has loaded, or the one before it.
fn plan_unsure(text: &str, observed: &Observed, memory: &Memory, is_unsure: bool) -> Plan {
    let files = [Sections::parse(text)];
    plan(&Situation {
        loaded: &files,
        wanted: &files,
        observed,
        memory,
        can: Can { version: (2, 6, 12) },
        options: &Options::default(),
        cause: &|_| Cause::Gone,
        wishes: &Wishes::default(),
        wake: &WakeServers::default(),
        is_unsure,
        is_file_behind: false,
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
    })
}

#[test]
fn what_a_worker_may_have_loaded_so_is_nobodys() {
    let (text, observed) = touched_by_hand();
    let sure = plan_unsure(&text, &observed, &Memory::default(), false);
    assert_eq!((commands(&sure), sure.by_hand.len()), (vec![], 2));
    let unsure = plan_unsure(&text, &observed, &Memory::default(), true);
    assert_eq!(unsure.by_hand, []);
    assert!(commands(&unsure).contains(&"set server web/b weight 1"), "{unsure:?}");
    let is_brought_in = |command: &&str| command.starts_with("set server web/a state ");
    assert!(commands(&unsure).iter().any(is_brought_in), "{unsure:?}");
    let mut known = Memory::default();
    known.by_hand.clone_from(&sure.by_hand);
    let unsure = plan_unsure(&text, &observed, &known, true);
    assert_eq!((commands(&unsure), &unsure.by_hand), (vec![], &sure.by_hand));
}

#[test]
fn a_slot_that_was_freed_in_the_other_text_is_taken_out_at_its_own_address() {
    let text = format!("{} server b 10.0.0.2:80\n", BASE.replace("10.0.0.1:80", "0.0.0.0:1 disabled"));
    let observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
    let unsure = plan_unsure(&text, &observed, &Memory::default(), true);
    assert_eq!(commands(&unsure), ["set server web/a state maint"]);
    assert_eq!(unsure.by_hand, []);
}

#[test]
fn what_is_not_known_to_be_set_by_hand_is_nobodys_beside_what_is() {
    let (text, observed) = touched_by_hand();
    let weight = ByHand { backend: "web".into(), server: "a".into(), what: Setting::Weight(7) };
    let mut observed = observed;
    observed.pools.get_mut("web").unwrap().get_mut("a").unwrap().weight = 7;
    let mut known = Memory::default();
    known.by_hand.push(weight.clone());
    let unsure = plan_unsure(&text, &observed, &known, true);
    assert_eq!(unsure.by_hand, [weight]);
    let is_brought_in = |command: &&str| command.starts_with("set server web/a state ");
    assert!(commands(&unsure).iter().any(is_brought_in), "{unsure:?}");
}

/// Who takes an instance out to restart it makes it critical.
#[test]
fn what_a_person_set_outlives_that_the_server_is_critical_for_a_while() {
    let both = slots(1, 2);
    let without = BASE.replace("server a 10.0.0.1:80", "server b 10.0.0.2:80");
    let turn = |loaded: &str, wanted: &str, observed: &Observed, memory: &Memory| {
        plan_with((2, 6, 12), loaded, wanted, observed, memory, Cause::Critical, &Wishes::default())
    };
    for (admin, commands_then, commands_later) in [
        (Admin::Maint, &[][..], &[][..]),
        (Admin::Drain, &["set server web/a state maint"], &["set server web/a state drain"]),
    ] {
        let mut observed = running(&[("a", "10.0.0.1:80"), ("b", "10.0.0.2:80")]);
        let set = |observed: &mut Observed, admin| {
            let server = observed.pools.get_mut("web").unwrap().get_mut("a").unwrap();
            (server.admin, server.weight) = (admin, 7);
        };
        set(&mut observed, admin);
        let first = turn(&both, &both, &observed, &Memory::default());
        let what = [Setting::State(admin), Setting::Weight(7)];
        assert!(first.by_hand.len() == 2 && first.by_hand.iter().all(|by_hand| what.contains(&by_hand.what)));
        let critical = turn(&both, &without, &observed, &first.memory);
        assert_eq!(commands(&critical), commands_then);
        set(&mut observed, Admin::Maint);
        // The file follows meanwhile, or does not.
        for loaded in [&both, &without] {
            let lasts = turn(loaded, &without, &observed, &critical.memory);
            assert_eq!(commands(&lasts), [""; 0]);
            let passes = turn(loaded, &both, &observed, &lasts.memory);
            assert_eq!(commands(&passes), commands_later);
            let mut observed = observed.clone();
            set(&mut observed, admin);
            let after = turn(loaded, &both, &observed, &passes.memory);
            assert_eq!((commands(&after), after.by_hand.len()), (vec![], 2), "{after:?}");
            set(&mut observed, Admin::Ready);
            let theirs = turn(loaded, &both, &observed, &after.memory);
            assert_eq!((commands(&theirs), theirs.by_hand.len()), (vec![], 1), "{theirs:?}");
        }
        // Who takes it back meanwhile has it back.
        set(&mut observed, Admin::Ready);
        let taken_back = turn(&both, &without, &observed, &critical.memory);
        assert_eq!(commands(&taken_back), ["set server web/a state maint"]);
        assert!(taken_back.by_hand.iter().all(|by_hand| matches!(by_hand.what, Setting::Weight(7))));
    }
}

/// At the old worker, while it is replaced by one that was told what was known before.
#[test]
fn what_a_person_takes_back_is_undone_at_who_was_told_it() {
    let (text, observed) = touched_by_hand();
    let mut memory = plan_on((2, 6, 12), &text, &text, &observed, &Memory::default()).memory;
    let told = memory.by_hand().to_vec();
    memory.reloaded();
    memory.by_hand.clear();
    for ByHand { backend, server, what } in &told {
        memory.undo(backend, server, *what, SystemTime::UNIX_EPOCH);
    }
    let plan = plan_on((2, 6, 12), &text, &text, &observed, &memory);
    assert_eq!(plan.by_hand, []);
    assert!(commands(&plan).contains(&"set server web/b weight 1"), "{plan:?}");
    assert!(commands(&plan).iter().any(|command| command.starts_with("set server web/a state ")), "{plan:?}");
    let again: Vec<String> = set_again(&told).into_iter().map(|step| step.command).collect();
    assert_eq!(again, ["set server web/a state maint", "set server web/b weight 7"]);
}
