use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn said(arguments: &[&str]) -> Result<String, String> {
    let line =
        Line::try_parse_from([&["simulate"], arguments].concat()).map_err(|error| error.to_string())?;
    simulate(&line.options).map_err(|error| format!("{error:#}"))
}

#[test]
fn a_trace_becomes_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("t.csv"), "time,value\n0,600\n60,6000\n120,600\n").unwrap();
    let out = at("report.html");
    let said = said(&["--trace", &at("t.csv"), "--against", "hpa,kpa,target-value", "--out", &out]).unwrap();
    assert_eq!(said.lines().count(), 5, "{said}");
    assert!(said.starts_with("Weir: concurrency"), "{said}");
    assert!(std::fs::read_to_string(out).unwrap().contains("target-value"));
}

#[test]
fn what_cannot_be_is_said_with_what_can() {
    let out = ["--out", "/dev/null"];
    let fault = |arguments: &[&str]| said(&[arguments, &out].concat()).unwrap_err();
    assert!(fault(&["--shape", "circle"]).contains("choose one of step, sawtooth"));
    let against = fault(&["--shape", "on-off", "--against", "magic"]);
    assert!(against.contains("choose from hpa, kpa, target-value"), "{against}");
    assert!(fault(&["--trace", "/nowhere.csv"]).starts_with("/nowhere.csv: cannot be read"));
    assert!(fault(&[]).contains("--trace"));
}
