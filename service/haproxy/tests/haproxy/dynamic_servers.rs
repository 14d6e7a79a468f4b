//! What `weir_pools` takes for granted about `add server` and the commands around it, on every HAProxy that there is:
//! the table of options, and the replies.

use std::collections::BTreeMap;
use std::process::Command;

use weir_haproxy::{Capabilities, capabilities, observe};
use weir_pools::plan::{KEYWORDS_UP_TO, Keyword, Reply, keywords};

use crate::rig::{Rig, all};

/// `checked` is there to be tracked. Only addresses where nobody listens: nothing here depends on a check's outcome.
const BACKEND: &str = "    server static 127.0.0.1:9\n    server checked 127.0.0.1:9 check inter 1h\n";

async fn asked(rig: &Rig) -> Capabilities {
    capabilities(&rig.haproxy).await.unwrap()
}

/// The option with arguments that make sense, and with what else it needs.
fn example(keyword: &Keyword) -> String {
    let name = keyword.name;
    match name {
        "agent-check" => format!("{name} agent-port 9"),
        "ssl" | "check-ssl" => format!("{name} verify none"),
        "set-proxy-v2-tlv-fmt" => format!("{name}(0x20) str(x)"),
        _ if keyword.arguments == 0 => name.to_owned(),
        _ => format!("{name} {}", argument(name)),
    }
}

fn argument(name: &str) -> &'static str {
    match name {
        // 3.2 does not take a small number without a unit.
        "agent-inter" | "downinter" | "fastinter" | "inter" | "idle-ping" | "pool-purge-delay"
        | "slowstart" | "tcp-ut" => "3s",
        "addr" | "agent-addr" | "source" => "127.0.0.1",
        "port" | "agent-port" => "9",
        "agent-send" | "cookie" | "namespace" | "tcp-md5sig" | "verifyhost" => "x",
        "alpn" | "check-alpn" | "check-proto" | "npn" | "proto" => "h2",
        "ca-file" | "crl-file" | "crt" => "/nonexistent.pem",
        "cc" => "cubic",
        "check-pool-conn-name" | "check-sni" | "guid" | "healthcheck" => "some",
        "ciphers" => "HIGH",
        "ciphersuites" => "TLS_AES_128_GCM_SHA256",
        "client-sigalgs" | "sigalgs" => "RSA+SHA256",
        "curves" => "P-256",
        "hash-key" => "addr",
        "init-addr" | "verify" => "none",
        "init-state" => "up",
        "ktls" => "on",
        "log-proto" => "octet-count",
        "observe" => "layer4",
        "on-error" => "mark-down",
        "on-marked-down" => "shutdown-sessions",
        "on-marked-up" => "shutdown-backup-sessions",
        "pool-conn-name" | "sni" => "str(x)",
        "proxy-v2-options" => "ssl",
        "redir" => "http://x",
        "resolve-net" => "10.0.0.0/8",
        "resolve-opts" => "allow-dup-ip",
        "resolve-prefer" => "ipv4",
        "resolvers" => "dns",
        "socks4" => "127.0.0.1:9",
        "ssl-max-ver" | "ssl-min-ver" => "TLSv1.2",
        "track" => "web/checked",
        "ws" => "auto",
        _ => "3",
    }
}

/// What `add server` says to the option.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// It is no option, or none of this command.
    NotTaken,
    /// The server is there, with this weight.
    Added(u16),
    /// The file that it names was not loaded.
    NoFile,
}

/// Adds a server with the option, and a weight behind it, and takes it away again.
async fn try_option(rig: &Rig, keyword: &Keyword) -> Answer {
    let option = example(keyword);
    let reply = rig.command(&format!("add server web/new 127.0.0.1:9 {option} weight 7")).await;
    let says = |text: &str| reply.contains(text);
    if says("unknown keyword") || says("option is not accepted for dynamic server") {
        return Answer::NotTaken;
    }
    if says("unable to load /nonexistent.pem") || says("unable to stat SSL certificate '/nonexistent.pem'") {
        return Answer::NoFile;
    }
    assert!(Reply::Registered.accepts(&reply), "`{option}`: {reply}");
    let seen = observe(&rig.haproxy).await.unwrap();
    let weight = seen.servers.iter().find(|server| server.name == "new").unwrap().weight;
    let removed = rig.command("set server web/new state maint;del server web/new").await;
    assert!(Reply::Deleted.accepts(&removed), "`{option}`: {removed}");
    Answer::Added(weight)
}

#[tokio::test]
async fn add_server_takes_what_the_table_says() {
    for rig in Rig::each(BACKEND).await {
        let version = asked(&rig).await.version;
        for keyword in keywords() {
            let wanted = keyword.dynamic_since.is_some_and(|(major, minor)| version.at_least(major, minor));
            let answer = try_option(&rig, keyword).await;
            let told = format!("{version}, `{}`: {answer:?}", keyword.name);
            match answer {
                Answer::NotTaken => assert!(!wanted, "{told}"),
                Answer::NoFile => assert!(wanted, "{told}"),
                // One argument too many, or too few, and the weight would not be read.
                Answer::Added(weight) => {
                    assert_eq!(weight, 7, "{told}");
                    // What is never sent may be taken as well; so may what a later version learned.
                    let later = version.at_least(KEYWORDS_UP_TO.0, KEYWORDS_UP_TO.1 + 1);
                    assert!(wanted || keyword.is_default || later, "{told}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_list_of_3_2_is_what_the_table_says() {
    for rig in Rig::each(BACKEND).await {
        let can = asked(&rig).await;
        assert_eq!(can.add_server_options.is_some(), can.version.at_least(3, 2), "{}", can.version);
        let Some(mut listed) = can.add_server_options else { continue };
        // Stands behind `source ADDRESS` only.
        assert!(listed.remove("usesrc"));
        let taken = |keyword: &&Keyword| {
            keyword.dynamic_since.is_some_and(|(major, minor)| can.version.at_least(major, minor))
        };
        for keyword in keywords().filter(taken) {
            assert!(listed.remove(keyword.name), "{}: `{}` is not listed", can.version, keyword.name);
        }
        if !can.version.at_least(KEYWORDS_UP_TO.0, KEYWORDS_UP_TO.1 + 1) {
            assert!(listed.is_empty(), "{}: not in the table: {listed:?}", can.version);
        }
    }
}

/// The options of a `server` line and how many words each takes, as HAProxy prints them: `+1`, nothing for none.
fn printed_options(rig: &Rig) -> BTreeMap<String, usize> {
    let mut command = Command::new(&rig.haproxy.binary);
    let output = command.args(["-dKcfg", "-q", "-c", "-f"]).arg(&rig.haproxy.config[0]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let options = text.lines().filter_map(|line| line.trim().strip_prefix("server <name> <addr> "));
    let read = |option: &str| {
        let (name, arguments) = option.split_once(' ').unwrap_or((option, "0"));
        (name.to_owned(), arguments.trim_start_matches(['+', '-']).parse().unwrap())
    };
    options.map(read).collect()
}

#[test]
fn every_option_of_a_server_is_in_the_table() {
    for binary in all() {
        let rig = Rig::of(binary);
        rig.write("", BACKEND);
        let mut printed = printed_options(&rig);
        assert!(printed.len() > 90, "{:?}: {printed:?}", rig.haproxy.binary);
        printed.remove("usesrc");
        // Its name has an argument in parentheses, which is not counted.
        printed.remove("set-proxy-v2-tlv-fmt");
        for keyword in keywords() {
            let arguments = printed.remove(keyword.name);
            assert!(arguments.is_none_or(|count| count == keyword.arguments), "`{}`", keyword.name);
        }
        assert!(printed.is_empty(), "{:?}: not in the table: {printed:?}", rig.haproxy.binary);
    }
}

/// Commands in their order, and what each is answered: by success, or, with `None`, by a refusal that no [`Reply`]
/// takes for one.
const DIALOGUE: [(&str, Option<Reply>); 31] = [
    (
        "add server web/new 127.0.0.1:9 id 77 check inter 1h agent-check agent-port 9 agent-inter 1h",
        Some(Reply::Registered),
    ),
    ("add server web/new 127.0.0.1:9", None),
    ("add server web/other 127.0.0.1:9 id 77", None),
    ("add server none/new 127.0.0.1:9", None),
    ("add server web/other 127.0.0.1:9 shiny", None),
    ("enable health web/new", Some(Reply::Empty)),
    ("enable health web/static", None),
    ("enable health web/none", None),
    ("enable agent web/new", Some(Reply::Empty)),
    ("disable agent web/new", Some(Reply::Empty)),
    ("set server web/new state drain", Some(Reply::Empty)),
    ("set server web/new state ready", Some(Reply::Empty)),
    ("set server web/new state shiny", None),
    ("set server web/none state ready", None),
    ("set server web/new health down", Some(Reply::Empty)),
    ("set server web/new weight 7", Some(Reply::Empty)),
    ("set server web/new weight 257", None),
    ("set server web/none weight 7", None),
    ("set maxconn server web/new 9", Some(Reply::Empty)),
    ("set maxconn server web/none 9", None),
    ("set server web/new addr 127.0.0.1 port 9", Some(Reply::Changed)),
    ("set server web/new addr 127.0.0.2 port 9", Some(Reply::Changed)),
    ("set server web/new addr 127.0.0.2 port 10", Some(Reply::Changed)),
    ("set server web/new addr ::1 port 11", Some(Reply::Changed)),
    ("set server web/new addr nonsense port 11", None),
    ("set server web/none addr ::1 port 11", None),
    ("del server web/new", None),
    ("shutdown sessions server web/new", Some(Reply::Empty)),
    ("set server web/new state maint", Some(Reply::Empty)),
    ("del server web/new", Some(Reply::Deleted)),
    ("del server web/new", None),
];

#[tokio::test]
async fn replies_are_what_they_are_matched_with() {
    for rig in Rig::each(BACKEND).await {
        let version = asked(&rig).await.version;
        for (command, expected) in DIALOGUE {
            let reply = rig.command(command).await;
            let all = [Reply::Empty, Reply::Registered, Reply::Deleted, Reply::Changed];
            let accepted: Vec<Reply> = all.into_iter().filter(|kind| kind.accepts(&reply)).collect();
            assert_eq!(accepted, Vec::from_iter(expected), "{version}, `{command}`: {reply}");
        }
    }
}

#[tokio::test]
async fn waiting_tells_whether_a_server_can_be_removed() {
    for rig in Rig::each(BACKEND).await {
        let can = asked(&rig).await;
        assert_eq!(can.wait_removable, can.version.at_least(3, 0), "{}", can.version);
        if !can.wait_removable {
            continue;
        }
        rig.command("set server web/checked state maint").await;
        for (server, answer) in [("checked", "Done."), ("static", "Failed."), ("none", "Failed.")] {
            let reply = rig.command(&format!("wait 10s srv-removable web/{server}")).await;
            assert!(reply.starts_with(answer), "{}, {server}: {reply}", can.version);
        }
    }
}
