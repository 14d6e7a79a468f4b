//! A gate against real connections.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weir_pools::intents::Intent;

use super::*;
use crate::pool_loop::Door;

const LONG: Duration = Duration::from_secs(20);

struct Rig {
    gate: Gate,
    tally: Arc<Tally>,
    said: mpsc::UnboundedReceiver<String>,
}

async fn rig(most: usize, deadline: Duration) -> Rig {
    let places = Arc::new(Semaphore::new(most));
    let bounds = Bounds { address: Ipv4Addr::LOCALHOST.into(), deadline, places };
    let (tally, (say, said)) = (Arc::<Tally>::default(), mpsc::unbounded_channel());
    let say = move |why| drop(say.send(why));
    let gate = Gate::open(&bounds, tally.clone(), say, CancellationToken::new()).await.unwrap();
    Rig { gate, tally, said }
}

/// Answers each line with the line.
async fn instance() -> Door {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    Door { at, most: 0 }
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("in time");
}

async fn ends(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await.expect("in time");
    read.is_err() || rest.is_empty()
}

#[tokio::test]
async fn what_was_sent_before_an_instance_came_reaches_it_and_is_answered() {
    let rig = rig(9, LONG).await;
    let mut stream = TcpStream::connect(rig.gate.address()).await.unwrap();
    stream.write_all(b"anybody?").await.unwrap();
    until(|| rig.tally.waiting(Instant::now()) == 1).await;
    rig.gate.lead_to(vec![instance().await]);
    let mut answer = [0; 8];
    tokio::time::timeout(LONG, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"anybody?");
    assert_eq!((rig.tally.waiting(Instant::now()), rig.tally.counts().passed), (0, 1));
    drop(rig.gate);
    stream.write_all(b"go on").await.unwrap();
    tokio::time::timeout(LONG, stream.read_exact(&mut answer[..5])).await.unwrap().unwrap();
    assert_eq!(&answer[..5], b"go on", "a closed gate cuts nobody");
}

#[tokio::test]
async fn one_too_many_is_refused_at_once_and_one_that_waits_too_long_is_closed() {
    let mut rig = rig(1, Duration::from_millis(300)).await;
    let mut first = TcpStream::connect(rig.gate.address()).await.unwrap();
    until(|| rig.tally.counts().held == 1).await;
    let mut second = TcpStream::connect(rig.gate.address()).await.unwrap();
    assert!(ends(&mut second).await && ends(&mut first).await);
    until(|| rig.tally.counts().held == 0).await;
    assert_eq!((rig.tally.counts().refused, rig.tally.counts().expired), (1, 1));
    assert_eq!(rig.said.recv().await.unwrap(), "more came than `max_connections`");
}

#[tokio::test]
async fn one_that_leaves_makes_room_although_it_had_sent_something() {
    let rig = rig(1, LONG).await;
    let mut first = TcpStream::connect(rig.gate.address()).await.unwrap();
    first.write_all(b"never read").await.unwrap();
    until(|| rig.tally.counts().held == 1).await;
    drop(first);
    until(|| rig.tally.counts().held == 0).await;
    assert_eq!(
        (rig.tally.counts().expired, rig.tally.waiting(Instant::now())),
        (0, 1),
        "it asked a moment ago"
    );
}

#[tokio::test]
async fn an_instance_that_does_not_answer_yet_is_tried_again() {
    let rig = rig(1, LONG).await;
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = closed.local_addr().unwrap();
    drop(closed);
    rig.gate.lead_to(vec![Door { at, most: 4 }]);
    let mut stream = TcpStream::connect(rig.gate.address()).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    until(|| rig.tally.counts().held == 1).await;
    rig.gate.lead_to(vec![instance().await]);
    let mut answer = [0; 1];
    tokio::time::timeout(LONG, stream.read_exact(&mut answer)).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_instance_that_refuses_keeps_nobody_from_one_that_answers() {
    let rig = rig(1, LONG).await;
    // Nobody listens on port 1, and it comes first.
    let refuses = Door { at: (Ipv4Addr::LOCALHOST, 1).into(), most: 4 };
    let mut stream = TcpStream::connect(rig.gate.address()).await.unwrap();
    rig.gate.lead_to(vec![refuses, instance().await]);
    stream.write_all(b"x").await.unwrap();
    let mut answer = [0; 1];
    tokio::time::timeout(LONG, stream.read_exact(&mut answer)).await.unwrap().unwrap();
}

#[test]
fn only_what_is_wished_of_the_server_that_holds_counts() {
    let mut intents = Intents::default();
    let wish = |wish| Intent {
        wish,
        reason: String::new(),
        owner: "scaler:web/app".into(),
        since: std::time::SystemTime::UNIX_EPOCH,
        until: None,
    };
    intents.insert("web", WAKE, wish(Wish::Wake));
    intents.insert("api", WAKE, wish(Wish::Maint));
    intents.insert("db", "a", wish(Wish::Wake));
    assert_eq!(wished(&intents), BTreeSet::from(["web".to_owned()]));
}
