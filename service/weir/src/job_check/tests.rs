use axum::Router;
use axum::response::Json;
use axum::routing::post;
use serde_json::json;

use super::*;

fn text(policy: &str, group: &str) -> String {
    format!(
        "job \"web\" {{\n  group \"app\" {{\n    {group}\n    scaling {{\n      min = 2\n      max = 20\n      \
         policy {{\n{policy}\n      }}\n    }}\n  }}\n}}\n"
    )
}

/// The mistakes and the warnings in a file.
async fn found(text: &str, nomad: Option<&Client>) -> (Vec<String>, Vec<String>) {
    let (mistakes, warnings, _) = all(text, nomad).await;
    (mistakes, warnings)
}

/// The mistakes, the warnings, and what was not checked.
async fn all(text: &str, nomad: Option<&Client>) -> (Vec<String>, Vec<String>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.nomad.hcl");
    std::fs::write(&path, text).unwrap();
    let prefix = format!("{}/", dir.path().display());
    let found = check(&path, nomad).await;
    let words = |problems: Vec<Problem>| {
        problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect::<Vec<_>>()
    };
    (words(found.mistakes), words(found.warnings), words(found.unchecked))
}

const GOOD: &str = "check \"load\" {\n source = \"haproxy\"\n strategy \"concurrency\" {}\n}";
const DELAY: &str = "shutdown_delay = \"30s\"";

#[tokio::test]
async fn the_policy_of_the_design_is_fine() {
    assert_eq!(found(&text(GOOD, DELAY), None).await, (vec![], vec![]));
}

#[tokio::test]
async fn mistakes_are_found_where_they_stand() {
    let (mistakes, _) =
        found(&text("check \"load\" {\n sorce = \"haproxy\"\n strategy \"concurrency\" {}\n}", DELAY), None)
            .await;
    assert_eq!(
        mistakes,
        ["web.nomad.hcl:9: check \"load\": unknown key \"sorce\"; did you mean \"source\"?"]
    );
    let (mistakes, _) = found(&text(&format!("cooldwon = \"1m\"\n{GOOD}\n{GOOD}"), DELAY), None).await;
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(
        mistakes.iter().any(|one| one.starts_with("web.nomad.hcl:8: unknown key \"cooldwon\"")),
        "{mistakes:?}"
    );
    assert!(mistakes.iter().any(|one| one.contains("two checks are labelled \"load\"")), "{mistakes:?}");
    let (mistakes, _) = found("job \"web\" {\n", None).await;
    assert!(mistakes.len() == 1 && mistakes[0].contains("this is not HCL"), "{mistakes:?}");
}

#[tokio::test]
async fn a_mistake_of_a_check_has_the_line_of_that_check() {
    let asking = "check \"e\" {\n source = \"prometheus\"\n strategy \"target-value\" {\n target = 1\n }\n}";
    let policy = format!("{GOOD}\ncheck \"c\" {{}}\n{asking}\n{GOOD}");
    let (mistakes, _) = found(&text(&policy, DELAY), None).await;
    let lines: Vec<&str> = mistakes.iter().filter_map(|one| one.get(..30)).collect();
    let expected = [
        "web.nomad.hcl:12: check \"c\": i",
        "web.nomad.hcl:13: check \"e\": q",
        "web.nomad.hcl:19: two checks a",
    ];
    assert_eq!(lines, expected, "{mistakes:?}");
}

#[tokio::test]
async fn a_mistake_has_its_line_whatever_words_it_is_told_in() {
    let policy =
        format!("drain = \"5m\"\nstabilization = \"1m\"\nscale_down {{\n stabilization = \"2m\"\n}}\n{GOOD}");
    let (mistakes, _) = found(&text(&policy, DELAY), None).await;
    assert!(mistakes.len() == 1 && mistakes[0].starts_with("web.nomad.hcl:11: scale_down: "), "{mistakes:?}");
    let period = "rate \"percent\" {\n value = 4\n period = \"1h\"\n}";
    let (mistakes, _) = found(&text(&format!("scale_up {{\n{period}\n}}\n{GOOD}"), DELAY), None).await;
    assert!(mistakes.len() == 1 && mistakes[0].starts_with("web.nomad.hcl:11: scale_up"), "{mistakes:?}");
    let (mistakes, _) = found(&text(&format!("{GOOD}\n{GOOD}\n{GOOD}"), DELAY), None).await;
    let lines: Vec<&str> = mistakes.iter().filter_map(|one| one.get(..17)).collect();
    assert_eq!(lines, ["web.nomad.hcl:12:", "web.nomad.hcl:16:"], "{mistakes:?}");
}

#[tokio::test]
async fn keys_of_scaling_that_nomad_does_not_know_are_found() {
    let text = text(GOOD, "scalng {}").replace("policy {", "enabeld = true\npolcy {");
    let (mistakes, _) = found(&text, None).await;
    let said = [
        "web.nomad.hcl:3: unknown key `scalng` in block `group`; did you mean `scaling`?",
        "web.nomad.hcl:7: unknown key `enabeld` in block `scaling`; did you mean `enabled`?",
        "web.nomad.hcl:8: unknown key `polcy` in block `scaling`; did you mean `policy`?",
    ];
    assert_eq!(mistakes, said);
    let known = "enabled = true\ntype = \"horizontal\"\ndynamic \"policy\" {}\npolicy {";
    assert_eq!(found(&self::text(GOOD, DELAY).replace("policy {", known), None).await, (vec![], vec![]));
    let (mistakes, _) = found(&self::text(GOOD, "").replace("policy {", "policy = {}\npolicy {"), None).await;
    assert_eq!(mistakes, ["web.nomad.hcl:7: `policy` is a block: write policy { … } without `=`"]);
}

#[tokio::test]
async fn a_second_policy_is_one_too_many() {
    let text = text(GOOD, DELAY).replace("policy {", "policy {}\npolicy {");
    let (mistakes, _) = found(&text, None).await;
    let second = "web.nomad.hcl:8: a second block `policy` in block `scaling`; there may be one only";
    assert_eq!(mistakes, [second]);
}

#[tokio::test]
async fn bounds_that_are_computed_are_not_taken_for_others() {
    let policy = format!("scale_to_zero = true\nmax_by {{\n per_instance = 5\n budget = 6\n }}\n{GOOD}");
    let text = |bounds: &str, group: &str| {
        text(&policy, &format!("{DELAY}\n{group}")).replace("min = 2\n      max = 20", bounds)
    };
    for bounds in ["min = var.min\nmax = 20", "min = var.min\nmax = var.max", "min = 0\nmax = var.max"] {
        let (mistakes, _, unchecked) = all(&text(bounds, "count = 1"), None).await;
        assert_eq!(mistakes, Vec::<String>::new(), "{bounds}");
        assert!(unchecked.iter().all(|one| one.contains("holds a variable or a function")), "{unchecked:?}");
        assert_eq!(unchecked.len(), bounds.matches("var.").count(), "{unchecked:?}");
    }
    // Nomad takes the count where there is no `min`.
    let (mistakes, _, unchecked) = all(&text("max = 20", "count = var.count"), None).await;
    assert_eq!((mistakes, unchecked.len()), (vec![], 1), "{unchecked:?}");
    let (mistakes, _, unchecked) = all(&text("max = 20", "count = 1"), None).await;
    assert_eq!((mistakes.len(), unchecked.len()), (1, 0), "{mistakes:?}");
}

#[tokio::test]
async fn what_was_not_read_is_not_passed_as_checked() {
    for no_job in ["", "consul {}\n", "scaling {}\n"] {
        let (mistakes, _) = found(no_job, None).await;
        assert!(mistakes.len() == 1 && mistakes[0].contains("there is no block `job`"), "{mistakes:?}");
    }
    let (mistakes, _, unchecked) = all("job \"web\" {}\n", None).await;
    assert!(mistakes.is_empty() && unchecked.len() == 1, "{mistakes:?} {unchecked:?}");
    assert!(unchecked[0].starts_with("web.nomad.hcl: no block `scaling` in a group"), "{unchecked:?}");
    let computed = text(&format!("cooldown = \"${{var.max}}s\"\n{GOOD}"), DELAY);
    let (_, _, unchecked) = all(&computed, None).await;
    assert!(unchecked.len() == 1, "{unchecked:?}");
    assert!(unchecked[0].starts_with("web.nomad.hcl:7: this policy was not checked"), "{unchecked:?}");
    assert_eq!(all(&text(GOOD, DELAY), None).await.2, Vec::<String>::new());
}

#[test]
fn the_verdict_tells_what_it_is_of() {
    let unchecked = vec![Problem::new("web.hcl", 7, "this policy was not checked")];
    assert_eq!(Found::default().verdict(), "no problems found");
    assert_eq!(
        Found { unchecked, ..Found::default() }.verdict(),
        "no problems found, but not all was checked"
    );
}

#[tokio::test]
async fn a_deploy_that_cuts_what_scaling_would_not_is_warned_of() {
    let (mistakes, warnings) = found(&text(&format!("drain = \"1m\"\n{GOOD}"), DELAY), None).await;
    assert_eq!(mistakes, Vec::<String>::new());
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("web.nomad.hcl:8: scaling waits 1m for sessions"), "{warnings:?}");
    let (_, warnings) = found(&text(GOOD, ""), None).await;
    assert!(warnings.len() == 1 && warnings[0].contains("a deploy only 0s"), "{warnings:?}");
    let task = "task \"web\" {\n shutdown_delay = \"30s\"\n }";
    assert_eq!(found(&text(GOOD, task), None).await.1, Vec::<String>::new());
    assert_eq!(found(&text(GOOD, "shutdown_delay = var.delay"), None).await.1, Vec::<String>::new());
}

#[tokio::test]
async fn a_deploy_that_leaves_a_group_at_zero_for_good_is_warned_of() {
    let policy = format!("scale_to_zero = true\n{GOOD}");
    let warned = async |group: &str, policy: &str| {
        let group = format!("{DELAY}\n{group}");
        found(&text(policy, &group).replace("min = 2", "min = 0"), None).await
    };
    for group in ["", "count = 0"] {
        let (mistakes, warnings) = warned(group, &policy).await;
        let is_said = warnings.len() == 1 && warnings[0].contains("a deploy sets the count to 0");
        assert!(mistakes.is_empty() && is_said, "{mistakes:?} {warnings:?}");
    }
    for group in ["count = 1", "count = var.count"] {
        assert_eq!(warned(group, &policy).await, (vec![], vec![]), "{group}");
    }
    assert_eq!(warned("", GOOD).await, (vec![], vec![]), "weir never takes it there");
}

/// A Nomad that understands every file as this, or refuses it.
async fn nomad(job: Value, status: u16) -> Client {
    let parse = move || async move { (axum::http::StatusCode::from_u16(status).unwrap(), Json(job)) };
    let app = Router::new().route("/v1/jobs/parse", post(parse));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new(weir_nomad::Options { address, ..weir_nomad::Options::default() }).unwrap()
}

#[tokio::test]
async fn what_is_computed_is_asked_of_nomad() {
    let computed = text(&format!("cooldown = var.cooldown\n{GOOD}"), "shutdown_delay = var.delay");
    assert_eq!(found(&computed, None).await, (vec![], vec![]), "only Nomad can tell");
    let check = json!([{"load": [{"strategy": [{"concurrency": [{}]}]}]}]);
    let scaling = json!({"Min": 2, "Max": 20, "Policy": {"cooldown": "5 minutes", "check": check}});
    let group = json!({"Name": "app", "ShutdownDelay": 1_000_000_000, "Scaling": scaling});
    let (mistakes, _) = found(&computed, Some(&nomad(json!({"TaskGroups": [group]}), 200).await)).await;
    assert!(mistakes.len() == 1 && mistakes[0].starts_with("web.nomad.hcl:8: cooldown"), "{mistakes:?}");
    let refusing = nomad(json!("Failed to parse job: web.hcl:3,5-9: Unsupported argument"), 400).await;
    let (mistakes, _) = found(&computed, Some(&refusing)).await;
    assert!(mistakes.len() == 1 && mistakes[0].contains("Unsupported argument"), "{mistakes:?}");
}
