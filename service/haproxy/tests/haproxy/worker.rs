//! Commands reach the process that they are for, or none, on every HAProxy that there is.

use std::collections::BTreeSet;

use weir_haproxy::{AdminState, Haproxy, Look, ObservedServer, Reached, StatsSocket, Told, reload, sample};
use weir_scaling::Process;

use crate::rig::Rig;

const BACKEND: &str = "    server a 127.0.0.1:9\n    server b 127.0.0.1:9\n";

fn web() -> Look {
    Look::Backends(BTreeSet::from(["web".to_owned()]))
}

/// Has the process take a server out of traffic, and another one where HAProxy answered nothing to that.
async fn takes_out(stats: &StatsSocket, worker: Process) -> Reached {
    let state = |server: &str| format!("set server web/{server} state maint");
    let then = |replies: &[String]| {
        if replies.iter().all(|reply| reply.trim().is_empty()) { vec![state("b")] } else { Vec::new() }
    };
    stats.line().await.unwrap().tell_on(worker, &[state("a")], &then, &web()).await.unwrap()
}

fn out_of_traffic(told: &Told) -> Vec<&str> {
    let is_out = |server: &&ObservedServer| server.admin_state != AdminState::default();
    told.servers.iter().filter(is_out).map(|server| server.name.as_str()).collect()
}

#[tokio::test]
async fn after_a_reload_the_new_worker_is_not_told_what_was_meant_for_the_old_one() {
    for rig in Rig::each(BACKEND).await {
        let stats = rig.haproxy.stats().unwrap();
        let old = stats.show_info().await.unwrap().process();
        let new = reload(&rig.haproxy).await.unwrap().process.unwrap();
        assert_ne!(old.pid, new.pid);

        let reached = takes_out(&stats, old).await;
        assert!(matches!(&reached, Reached::Another(info) if info.process() == new), "{reached:?}");
        let commands = ["set server web/a state maint".to_owned()];
        let reached = stats.line().await.unwrap().tell(old, &commands, &web()).await.unwrap();
        assert!(matches!(&reached, Reached::Another(info) if info.process() == new), "{reached:?}");
        let (mut line, told) = stats.look(&web()).await.unwrap();
        assert_eq!((told.info.process(), out_of_traffic(&told)), (new, vec![]));

        let Reached::Meant(told) = line.tell(new, &commands, &web()).await.unwrap() else { panic!() };
        assert_eq!((told.replies, told.servers.len()), (vec![String::new()], 2));
        let Reached::Meant(told) = takes_out(&stats, new).await else { panic!() };
        assert_eq!((told.replies.len(), out_of_traffic(&told)), (2, vec!["a", "b"]));
        assert_eq!(told.backends.len(), 1);
    }
}

/// They are read in parts, with pauses.
#[tokio::test]
async fn thousands_of_servers_are_read_whole() {
    const COUNT: usize = 4_000;
    let server = |n| format!("    server s{n} 127.0.0.1:9 disabled\n");
    let backend = (0..COUNT).map(server).collect::<Vec<_>>().concat();
    for rig in Rig::each(&backend).await {
        let stats_only = Haproxy { master_socket: None, ..rig.haproxy.clone() };
        for haproxy in [&rig.haproxy, &stats_only] {
            let reading = sample(haproxy).await.unwrap();
            let servers = reading.backends().iter().map(|backend| backend.servers.len());
            assert_eq!(servers.collect::<Vec<_>>(), [COUNT]);
        }
        let (_, told) = rig.haproxy.stats().unwrap().look(&Look::All).await.unwrap();
        assert_eq!((told.servers.len(), told.backends[0].servers.len()), (COUNT, COUNT));
    }
}

/// HAProxy 2.6 takes no more of them while nobody takes its answers.
#[tokio::test]
async fn thousands_of_commands_are_answered() {
    const COUNT: usize = 12_000;
    for rig in Rig::each(BACKEND).await {
        let stats = rig.haproxy.stats().unwrap();
        let worker = stats.show_info().await.unwrap().process();
        let commands = vec!["set server web/a weight 100".to_owned(); COUNT];
        let reached = stats.line().await.unwrap().tell(worker, &commands, &web()).await.unwrap();
        let Reached::Meant(told) = reached else { panic!() };
        assert_eq!((told.replies.len(), told.servers.len()), (COUNT, 2));
    }
}
