//! What HAProxy's processes are doing: `show stat` of every worker, old ones too.
//!
//! In: where HAProxy is. Out: a [`Reading`]: one sample per worker process that answered, and whether these are all.
//! Old workers can be asked only through the master socket. What is missing is said, never taken for zero. Fails when
//! no worker answers at all.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use weir_scaling::{BackendSample, Sample, ServerSample, ServerState};

use crate::config::Haproxy;
use crate::exchange::SocketError;
use crate::master_socket::{MasterSocket, is_whole};
use crate::process_info::ProcessInfo;
use crate::table::{Row, Table};

/// Backends (2) and servers (4) of all proxies; frontends and listeners are not asked for.
const SHOW_STAT: &str = "show stat -1 6 -1";
/// Workers that are asked at the same time: there may be dozens of old ones, and the master serves ten connections.
const ASKED_AT_ONCE: usize = 4;
/// A reply of so many bytes, some hundred servers, is long.
const LONG: usize = 64 << 10;
/// A master that re-executes itself is not waited for longer: a sample is due every second.
const PATIENCE: Duration = Duration::from_millis(300);

/// An old worker is waited for no longer: one that ends while it is asked may never answer (seen on 3.0.11). Nor is the first word of the
/// one in force, which may be an old one by now (2.9 s of silence seen on 3.2.26).
const OLD: Duration = Duration::from_secs(1);

/// One turn over all workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// One per worker process that answered; the one in force first.
    pub samples: Vec<Sample>,
    /// Whether these are all.
    pub completeness: Completeness,
}

/// Which processes a [`Reading`] lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// None: every worker answered.
    Complete,
    /// Whether there are old workers is not known: there is no master socket, or it did not answer.
    OldWorkersUnknown {
        /// Why, in words.
        reason: String,
    },
    /// These workers live, but did not answer.
    Missed {
        /// Their process IDs.
        pids: Vec<u32>,
        /// Why the last of them did not, in words.
        reason: String,
    },
}

impl Reading {
    /// The process in force.
    pub fn current(&self) -> Option<&Sample> {
        self.samples.iter().find(|sample| !sample.leaving)
    }

    /// Its backends; none where no process is in force.
    pub fn backends(&self) -> &[BackendSample] {
        self.current().map_or(&[], |sample| &sample.backends)
    }
}

/// Asks every worker: all through the master socket, or the one in force through the stats socket where there is no
/// master socket, or it does not answer.
pub async fn sample(haproxy: &Haproxy) -> Result<Reading, SocketError> {
    let Some(master) = haproxy.master() else {
        return current_only(haproxy, "no master_socket is configured".to_owned()).await;
    };
    let old = OLD.min(haproxy.socket_timeout);
    match through_master(&master.patience(PATIENCE), old).await {
        Ok(reading) if !reading.samples.is_empty() => Ok(reading),
        Err(error) if haproxy.stats_socket.is_none() => Err(error),
        Ok(reading) if haproxy.stats_socket.is_none() => Ok(reading),
        Ok(_) => current_only(haproxy, "no worker answered through the master socket".to_owned()).await,
        Err(error) => current_only(haproxy, error.to_string()).await,
    }
}

async fn current_only(haproxy: &Haproxy, reason: String) -> Result<Reading, SocketError> {
    let completeness = Completeness::OldWorkersUnknown { reason };
    let Some(stats) = haproxy.stats() else { return Ok(Reading { samples: Vec::new(), completeness }) };
    let (info, reply) = stats.info_and(SHOW_STAT).await?;
    if !is_whole(&reply) {
        return Err(SocketError::unexpected(stats.path(), SHOW_STAT, "it breaks off", &reply));
    }
    let sample = read(stats.path(), info, reply).await?;
    Ok(Reading { samples: vec![sample], completeness })
}

/// `old`: how long one that is no longer in force may take.
async fn through_master(master: &MasterSocket, old: Duration) -> Result<Reading, SocketError> {
    let processes = master.show_proc().await?;
    let current = processes.current().map(|worker| worker.pid);
    let mut waiting = processes.all().map(|worker| worker.pid).collect::<Vec<_>>().into_iter().enumerate();
    let mut asked = JoinSet::new();
    let mut answers = Vec::new();
    loop {
        while asked.len() < ASKED_AT_ONCE {
            let Some((place, pid)) = waiting.next() else { break };
            let master = master.clone();
            let master = if Some(pid) == current { master.silence(old) } else { master.timeout(old) };
            asked.spawn(async move { (place, pid, ask(&master, pid).await) });
        }
        match asked.join_next().await {
            Some(Ok(answer)) => answers.push(answer),
            Some(Err(_)) => {}
            None => return Ok(reading(answers)),
        }
    }
}

async fn ask(master: &MasterSocket, pid: u32) -> Result<Sample, SocketError> {
    let (info, reply) = master.info_and(pid, SHOW_STAT).await?;
    read(master.path(), info, reply).await
}

/// Reads a long reply aside: thousands of servers take milliseconds in which others would have to wait.
async fn read(path: &Path, info: ProcessInfo, reply: String) -> Result<Sample, SocketError> {
    if reply.len() < LONG {
        return to_sample(path, &info, &reply);
    }
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || to_sample(&owned, &info, &reply));
    let cut_off = |_| SocketError::unexpected(path, SHOW_STAT, "reading it was cut off", "");
    reading.await.map_err(cut_off)?
}

/// Puts the answers in the master's order. A worker that ended meanwhile has no sessions left: it is not missed.
fn reading(mut answers: Vec<(usize, u32, Result<Sample, SocketError>)>) -> Reading {
    answers.sort_by_key(|(place, ..)| *place);
    let (mut samples, mut pids, mut reason) = (Vec::new(), Vec::new(), String::new());
    for (_, pid, answer) in answers {
        match answer {
            Ok(sample) => samples.push(sample),
            Err(SocketError::NoSuchWorker { .. }) => {}
            Err(error) => {
                pids.push(pid);
                reason = error.to_string();
            }
        }
    }
    let all = pids.is_empty();
    let completeness = if all { Completeness::Complete } else { Completeness::Missed { pids, reason } };
    Reading { samples, completeness }
}

fn to_sample(path: &Path, info: &ProcessInfo, reply: &str) -> Result<Sample, SocketError> {
    let problem = || SocketError::unexpected(path, SHOW_STAT, "no statistics in it", reply);
    let backends = statistics(reply).ok_or_else(problem)?;
    Ok(Sample { at: SystemTime::now(), process: info.process(), leaving: info.stopping, backends })
}

/// The columns that are read, and those without which it is no statistics.
const COLUMNS: [&str; 20] = [
    "pxname",
    "svname",
    "type",
    "status",
    "scur",
    "qcur",
    "slim",
    "stot",
    "bck",
    "addr",
    "lastchg",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
    "req_tot",
    "eresp",
    "srv_abrt",
];
const NEEDED: [&str; 4] = ["pxname", "svname", "scur", "status"];

/// Reads `show stat` by its column names; `None` when the text has no such header. Columns may come in any order, and
/// unknown ones are passed over.
pub fn statistics(csv: &str) -> Option<Vec<BackendSample>> {
    let table = Table::csv(csv, &COLUMNS).filter(|table| table.has(&NEEDED))?;
    let mut backends: Vec<BackendSample> = Vec::new();
    let mut servers: Vec<ServerSample> = Vec::new();
    let mut interim = Interim::default();
    // HAProxy prints a proxy's servers before its own row.
    table.each(|row| match kind(row) {
        Kind::Server => {
            interim.note(row);
            servers.push(server(row));
        }
        Kind::Backend => {
            let mut backend = backend(row, std::mem::take(&mut servers));
            std::mem::take(&mut interim).take_from(&mut backend);
            backends.push(backend);
        }
        Kind::Other => {}
    });
    Some(backends)
}

enum Kind {
    Backend,
    Server,
    Other,
}

/// The `type` column, or where there is none the name that is reserved for the row of the backend.
fn kind(row: &Row<'_>) -> Kind {
    match (row.text("type"), row.text("svname")) {
        ("1", _) | ("", "BACKEND") => Kind::Backend,
        ("0" | "3", _) | ("", "FRONTEND") => Kind::Other,
        _ => Kind::Server,
    }
}

/// Tells tunnels from interim responses. A server counts a response when its head comes: 101 as `hrsp_1xx`, but also 100 and 103,
/// which another one follows. (Tried on 2.6.12, 3.0.11 and 3.2.26.)
#[derive(Default)]
struct Interim {
    /// Whether there are more responses than sessions that can have had one.
    is_seen: bool,
    /// For each server, how many of its sessions had no final response, and did not fail.
    unanswered: Vec<u64>,
}

impl Interim {
    fn note(&mut self, row: &Row<'_>) {
        const FINAL: [&str; 5] = ["hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];
        if row.count("hrsp_1xx") == 0 {
            self.unanswered.push(0);
            return;
        }
        // A session without a response counts once as an error (2.6) or twice (3.0, 3.2); one whose body was cut counts too.
        let failed = row.count("eresp").saturating_sub(row.count("srv_abrt")) / 2;
        let sessions = row.count("stot").saturating_sub(failed);
        let answered: u64 = FINAL.iter().map(|column| row.count(column)).sum();
        self.is_seen |= row.count("req_tot") > sessions;
        self.unanswered.push(sessions.saturating_sub(answered));
    }

    /// Where there are interim responses, no more sessions became tunnels than had no final one; and none did while none ended.
    fn take_from(self, backend: &mut BackendSample) {
        if !self.is_seen {
            return;
        }
        for (server, unanswered) in backend.servers.iter_mut().zip(self.unanswered) {
            let most = if backend.tunnels_ended == 0 { 0 } else { unanswered };
            server.tunnels_begun = server.tunnels_begun.min(most);
        }
    }
}

fn backend(row: &Row<'_>, servers: Vec<ServerSample>) -> BackendSample {
    BackendSample {
        name: row.text("pxname").to_owned(),
        sessions: row.count("scur"),
        queue: row.count("qcur") + servers.iter().map(|server| server.queue).sum::<u64>(),
        // Not `req_tot`: a backend counts a request there when it ends, so that a queue hides what arrives.
        requests: row.count("stot"),
        errors: row.count("hrsp_5xx"),
        tunnels_ended: row.count("hrsp_1xx"),
        servers,
    }
}

fn server(row: &Row<'_>) -> ServerSample {
    ServerSample {
        name: row.text("svname").to_owned(),
        address: row.text("addr").parse().ok(),
        state: state(row.text("status")),
        sessions: row.count("scur"),
        queue: row.count("qcur"),
        maxconn: row.number("slim").filter(|&maxconn| maxconn > 0),
        total: row.count("stot"),
        tunnels_begun: row.count("hrsp_1xx"),
        tunnels: 0,
        backup: row.count("bck") > 0,
        unchanged_for: row.number("lastchg"),
    }
}

/// The `status` column: a word, then perhaps "1/2" (checks passed of those needed) or a reason in brackets. NOLB is
/// what `disable-on-404` does: no new sessions. A word that is not known does not count as serving.
fn state(status: &str) -> ServerState {
    match status.split([' ', '(']).next().unwrap_or("") {
        "UP" => ServerState::Up,
        "no" => ServerState::NoCheck,
        "DRAIN" | "NOLB" => ServerState::Drain,
        "MAINT" => ServerState::Maint,
        _ => ServerState::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CSV: &str = "\
# pxname,svname,qcur,scur,slim,stot,status,bck,type,hrsp_5xx,req_tot,last_chk,addr,mode,lastchg,
f,FRONTEND,,4,200,9,OPEN,,0,0,9,,,http,,
web,a:1,1,2,2,15,UP 1/2,0,2,0,15,\"said \"\"no\"\",
then, well, yes\",127.0.0.1:28111,http,57,
web,b,0,0,,0,no check,1,2,0,0,,[::1]:28112,http,,
web,BACKEND,18,21,20,48,UP,1,1,3,47,,,http,57,
db,u,0,1,,7,MAINT (via web/b),0,2,,,,unix,tcp,0,
db,BACKEND,0,1,20,8,DOWN,0,1,,0,,,tcp,9,

";

    #[test]
    fn each_field_has_its_source() {
        let backends = statistics(CSV).unwrap();
        let [web, db] = &backends[..] else { panic!("{backends:?}") };
        assert_eq!((web.sessions, web.queue, web.requests, web.errors), (21, 19, 48, 3));
        assert_eq!((db.sessions, db.queue, db.requests, db.errors), (1, 0, 8, 0));
        let [a, b] = &web.servers[..] else { panic!("{web:?}") };
        assert_eq!((a.sessions, a.queue, a.maxconn, a.total, a.backup), (2, 1, Some(2), 15, false));
        assert_eq!((a.state, a.address), (ServerState::Up, Some("127.0.0.1:28111".parse().unwrap())));
        assert_eq!((a.unchanged_for, b.unchanged_for), (Some(57), None));
        assert_eq!((b.state, b.maxconn, b.backup), (ServerState::NoCheck, None, true));
        assert_eq!((db.servers[0].state, db.servers[0].address), (ServerState::Maint, None));
    }

    /// Two servers and their backend, as 2.6.12, 3.0.11 and 3.2.26 show them alike.
    fn begun_and_ended(a: &str, b: &str, backend: &str) -> (Vec<u64>, u64) {
        let header = "# pxname,svname,scur,stot,hrsp_1xx,hrsp_2xx,req_tot,eresp,status,type,";
        let csv = format!("{header}\nweb,a,{a},UP,2,\nweb,b,{b},UP,2,\nweb,BACKEND,{backend},UP,1,\n");
        let web = statistics(&csv).unwrap().remove(0);
        (web.servers.iter().map(|server| server.tunnels_begun).collect(), web.tunnels_ended)
    }

    #[test]
    fn tunnels_are_told_from_interim_responses() {
        let seen = [
            ("six are open", "3,5,3,2,5,0", "3,5,3,2,5,0", "6,10,0,4,4,0", (vec![3, 3], 0)),
            ("three are", "1,5,3,2,5,0", "2,5,3,2,5,0", "3,10,3,4,7,0", (vec![3, 3], 3)),
            ("100 and 103", "0,3,3,3,6,0", "0,3,3,3,6,0", "0,6,0,6,6,0", (vec![0, 0], 0)),
            ("no more than are unanswered", "2,6,5,4,9,0", "1,4,3,2,5,0", "3,10,1,6,7,0", (vec![2, 2], 1)),
            ("some are awaited", "2,9,7,6,13,0", "0,3,3,3,6,0", "2,12,0,9,9,0", (vec![0, 0], 0)),
            ("100, and five that failed", "0,5,2,2,4,3", "0,5,3,3,6,2", "0,10,0,5,5,5", (vec![0, 0], 0)),
            ("failed alone, on 3.2", "2,5,2,1,3,4", "0,5,1,2,3,4", "2,10,1,4,7,8", (vec![2, 1], 1)),
        ];
        for (what, a, b, backend, expected) in seen {
            assert_eq!(begun_and_ended(a, b, backend), expected, "{what}");
        }
    }

    #[test]
    fn every_status_word_has_a_state() {
        let words = [
            ("UP", ServerState::Up),
            ("UP 2/3", ServerState::Up),
            ("no check", ServerState::NoCheck),
            ("DOWN", ServerState::Down),
            ("DOWN 1/2", ServerState::Down),
            ("DOWN (agent)", ServerState::Down),
            ("MAINT", ServerState::Maint),
            ("MAINT (resolution)", ServerState::Maint),
            ("DRAIN", ServerState::Drain),
            ("DRAIN 1/2", ServerState::Drain),
            ("NOLB", ServerState::Drain),
            ("NOLB 1/2", ServerState::Drain),
            ("SOMETHING NEW", ServerState::Down),
        ];
        for (status, expected) in words {
            assert_eq!(state(status), expected, "{status}");
        }
    }

    #[test]
    fn another_answer_is_none() {
        assert_eq!(statistics("Permission denied\n"), None);
        assert_eq!(statistics("# be_id be_name srv_id\n"), None);
        assert_eq!(statistics("# pxname,svname,scur,status,\n\n"), Some(Vec::new()));
    }

    /// The table with its columns in another order and unknown ones between them.
    fn rearranged(order: &[usize]) -> String {
        let table = Table::csv(CSV, &COLUMNS).unwrap();
        let names = CSV[2..].lines().next().unwrap().trim_end_matches(',').split(',').collect::<Vec<_>>();
        let names: Vec<&str> =
            order.iter().map(|&at| names.get(at).copied().unwrap_or("brand_new")).collect();
        let mut text = format!("# {},\n", names.join(","));
        table.each(|row| {
            for name in &names {
                text += "\"";
                text += &row.text(name).replace('"', "\"\"");
                text += "\",";
            }
            text.push('\n');
        });
        text
    }

    proptest! {
        #[test]
        fn the_order_of_columns_does_not_matter(order in Just((0..17).collect::<Vec<usize>>()).prop_shuffle()) {
            prop_assert_eq!(statistics(&rearranged(&order)), statistics(CSV));
        }
    }
}
