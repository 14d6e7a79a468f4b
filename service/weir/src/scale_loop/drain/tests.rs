//! One drain by itself: what it waits for, and for what it gives up.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

fn id(index: u64) -> String {
    format!("a{index}")
}

fn server(index: u64) -> Server {
    Server { backend: "web".into(), name: format!("s{index}") }
}

fn servers(indexes: &[u64]) -> BTreeSet<Server> {
    indexes.iter().map(|index| server(*index)).collect()
}

/// Five instances of which two are wanted, all idle and none of them drained yet.
fn five() -> Sight {
    let instance = |index| Instance { id: id(index), index, ..Instance::default() };
    Sight {
        standing: BTreeSet::new(),
        holding: Holding::InForce,
        now: Instant::now(),
        count: 5,
        wanted: 2,
        may_ask: true,
        fresh: true,
        foreign: false,
        instances: (0..5).map(instance).collect(),
        servers: (0..5).map(|index| (id(index), servers(&[index]))).collect(),
        left: (0..5).map(|index| (id(index), Left { takes_more: true, ..Left::default() })).collect(),
        registered: (0..5).map(id).collect(),
    }
}

/// The same once HAProxy follows the intents.
fn drained() -> Sight {
    Sight { left: BTreeMap::new(), ..five() }
}

/// A drain from five to two whose intents are written.
fn waiting(sight: &Sight) -> Drain {
    let (mut drain, steps) = Drain::begin(sight, PATIENCE, Duration::ZERO);
    assert_eq!(steps, [Step::Note(servers(&[2, 3, 4]))]);
    assert_eq!(drain.noted(sight.now, Ok(())), []);
    drain
}

fn withdrawn(steps: &[Step], of: &[u64], word: &str) {
    let [Step::Strike(struck), Step::End(End::Withdrawn(why))] = steps else { panic!("{steps:?}") };
    assert!(why.contains(word) && *struck == servers(of), "{steps:?}");
}

#[test]
fn nomad_is_asked_once_the_last_session_is_gone_on_every_process() {
    let mut sight = five();
    let mut drain = waiting(&sight);
    assert_eq!(drain.turn(&sight), [], "HAProxy does not follow the intents yet");
    sight = drained();
    sight.left.insert(id(3), Left { sessions: 1, ..Left::default() });
    assert_eq!(drain.turn(&sight), []);
    sight.left.insert(id(3), Left { unknown: true, ..Left::default() });
    assert_eq!(drain.turn(&sight), [], "a process that is silent may have some");
    sight.left.clear();
    sight.fresh = false;
    assert_eq!(drain.turn(&sight), [Step::Look]);
    sight.fresh = true;
    assert_eq!(drain.turn(&sight), [Step::Scale(2)]);
    assert_eq!(drain.turn(&sight), [], "it was asked already");
}

#[test]
fn what_is_tried_is_tried_in_full() {
    let begin = drained();
    let (mut drain, _) = Drain::begin(&begin, PATIENCE, SECOND * 5);
    drain.noted(begin.now, Ok(()));
    let at = |seconds| Sight { now: begin.now + SECOND * seconds, ..begin.clone() };
    assert_eq!(drain.turn(&at(1)), []);
    assert_eq!(drain.emptied, Some(SECOND), "what is learned is how long sessions took");
    assert_eq!(drain.turn(&at(4)), []);
    assert_eq!(drain.turn(&at(5)), [Step::Scale(2)]);
}

#[test]
fn a_session_that_does_not_end_is_waited_for_until_the_deadline() {
    let mut sight = drained();
    sight.left.insert(id(4), Left { sessions: 1, ..Left::default() });
    let mut drain = waiting(&sight);
    sight.now += PATIENCE.saturating_sub(SECOND);
    assert_eq!(drain.turn(&sight), []);
    sight.now += SECOND;
    assert_eq!(drain.turn(&sight), [Step::Scale(2)]);
}

#[test]
fn where_demand_returns_the_instances_come_back() {
    let mut sight = drained();
    let mut drain = waiting(&sight);
    sight.wanted = 4;
    assert_eq!(drain.turn(&sight), [Step::Strike(servers(&[2, 3])), Step::Scale(4)]);

    let mut drain = waiting(&drained());
    (sight.wanted, sight.may_ask) = (3, false);
    assert_eq!(drain.turn(&sight), [Step::Strike(servers(&[2]))]);
    sight.wanted = 2;
    assert_eq!(drain.turn(&sight), [], "what came back is not taken again");
    sight.wanted = 5;
    withdrawn(&drain.turn(&sight), &[3, 4], "needed again");
}

#[test]
fn where_nomad_would_stop_others_it_begins_anew() {
    let mut sight = drained();
    let mut drain = waiting(&sight);
    sight.instances.push(Instance { id: id(9), index: 9, ..Instance::default() });
    withdrawn(&drain.turn(&sight), &[2, 3, 4], "other instances");
    let mut drain = waiting(&drained());
    let deployed = Sight { foreign: true, ..drained() };
    withdrawn(&drain.turn(&deployed), &[2, 3, 4], "deploys");
}

#[test]
fn without_intents_nothing_is_taken_away() {
    let sight = drained();
    let (mut drain, _) = Drain::begin(&sight, PATIENCE, Duration::ZERO);
    withdrawn(&drain.noted(sight.now, Err("Consul is away".into())), &[2, 3, 4], "Consul is away");
}

#[test]
fn what_is_refused_is_asked_again_and_given_up_in_the_end() {
    let mut sight = drained();
    let mut drain = waiting(&sight);
    assert_eq!(drain.turn(&sight), [Step::Scale(2)]);
    drain.scaled(sight.now, false);
    sight.may_ask = false;
    assert_eq!(drain.turn(&sight), []);
    sight.may_ask = true;
    assert_eq!(drain.turn(&sight), [Step::Scale(2)]);
    drain.scaled(sight.now, false);
    sight.now += PATIENCE + LATE;
    withdrawn(&drain.turn(&sight), &[2, 3, 4], "in time");
    assert!(lasting(PATIENCE) > PATIENCE + LATE, "the intents last as long as they may be needed");
}

#[test]
fn intents_stay_until_consul_lists_the_stopped_ones_no_more() {
    let mut sight = drained();
    let mut drain = waiting(&sight);
    drain.turn(&sight);
    drain.scaled(sight.now, true);
    sight.count = 2;
    for one in &mut sight.instances[2..] {
        one.state = InstanceState::Ending;
    }
    assert_eq!(drain.turn(&sight), []);
    sight.registered = BTreeSet::from([id(0), id(1)]);
    assert_eq!(drain.turn(&sight), [Step::Strike(servers(&[2, 3, 4])), Step::End(End::Stopped)]);
}

#[test]
fn what_nomad_did_not_stop_serves_again() {
    let mut sight = drained();
    let mut drain = waiting(&sight);
    drain.turn(&sight);
    drain.scaled(sight.now, true);
    sight.count = 2;
    sight.instances.retain(|one| one.index > 1);
    sight.now += STOPPING;
    let spared = End::Spared(vec![id(2), id(3), id(4)]);
    assert_eq!(drain.turn(&sight), [Step::Strike(servers(&[2, 3, 4])), Step::End(spared)]);
}

#[test]
fn a_count_that_somebody_else_set_is_taken_for_the_scale() {
    let mut sight = drained();
    let mut drain = waiting(&sight);
    drain.turn(&sight);
    // Nomad took it, and its answer was lost.
    drain.scaled(sight.now, false);
    (sight.count, sight.registered) = (2, BTreeSet::new());
    sight.instances.truncate(2);
    assert_eq!(drain.turn(&sight), []);
    assert_eq!(drain.turn(&sight).last(), Some(&Step::End(End::Stopped)));
}

#[test]
fn instances_without_a_server_need_no_drain() {
    let sight = Sight { servers: BTreeMap::new(), ..drained() };
    let (drain, steps) = Drain::begin(&sight, PATIENCE, Duration::ZERO);
    assert_eq!((steps, drain.victims.len()), (vec![Step::Scale(2)], 3));
}

/// The last one of which nothing is left to do, on the way to zero.
fn last(holding: Holding) -> Sight {
    let five = five();
    Sight { instances: five.instances[..1].to_vec(), count: 1, wanted: 0, holding, ..five }
}

#[test]
fn the_last_one_is_drained_once_every_load_balancer_holds_what_comes() {
    let mut sight = last(Holding::Coming("lb2 does not yet".into()));
    let (mut drain, steps) = Drain::begin(&sight, PATIENCE, Duration::ZERO);
    assert_eq!((steps, drain.turn(&sight)), (vec![], vec![]));
    sight.holding = Holding::InForce;
    assert_eq!(drain.turn(&sight), [Step::Note(servers(&[0]))]);
    assert_eq!(drain.noted(sight.now, Ok(())), []);
    sight.left.clear();
    assert_eq!(drain.turn(&sight), [Step::Scale(0)]);
    drain.scaled(sight.now, true);
    (sight.count, sight.instances, sight.registered) = (0, Vec::new(), BTreeSet::new());
    sight.standing = servers(&[0]);
    assert_eq!(drain.turn(&sight), [], "HAProxy would give it sessions again");
    sight.standing.clear();
    assert_eq!(drain.turn(&sight), [Step::Strike(servers(&[0])), Step::End(End::Stopped)]);
}

#[test]
fn where_requests_would_not_be_held_the_last_one_stays() {
    let (mut drain, _) =
        Drain::begin(&last(Holding::Coming("lb2 does not yet".into())), PATIENCE, Duration::ZERO);
    let unfit = last(Holding::Unfit("lb2 cannot".into()));
    let given_up = [Step::Strike(servers(&[0])), Step::End(End::Unheld("lb2 cannot".into()))];
    assert_eq!(drain.turn(&unfit), given_up);
    drain.stage = Stage::Waiting { deadline: unfit.now + PATIENCE };
    assert_eq!(drain.turn(&unfit), given_up, "one that came meanwhile");
    drain.stage = Stage::Preparing { since: unfit.now };
    let mut slow = last(Holding::Coming("lb2 does not yet".into()));
    slow.now += PREPARING;
    assert_eq!(drain.turn(&slow), [Step::End(End::Unheld("after 10s lb2 does not yet".into()))]);
    let needed = Sight { wanted: 1, ..last(Holding::InForce) };
    withdrawn(&drain.turn(&needed), &[0], "needed again");
}

#[test]
fn the_last_one_stays_while_nobody_knows_which_pools_it_is_in() {
    let mut sight = Sight { servers: BTreeMap::new(), left: BTreeMap::new(), ..last(Holding::InForce) };
    let (mut drain, steps) = Drain::begin(&sight, PATIENCE, Duration::ZERO);
    assert_eq!((steps, drain.turn(&sight)), (vec![], vec![]));
    sight.servers = BTreeMap::from([(id(0), servers(&[0]))]);
    let mut found = drain.clone();
    assert_eq!(found.turn(&sight), [], "whether it is held was not asked for these");
    assert_eq!(found.turn(&sight), [Step::Note(servers(&[0]))]);
    (sight.servers, sight.now) = (BTreeMap::new(), sight.now + PREPARING);
    let steps = drain.turn(&sight);
    let is_given_up = matches!(&steps[..], [Step::End(End::Unheld(why))] if why.contains("in which pools"));
    assert!(is_given_up, "{steps:?}");
}
