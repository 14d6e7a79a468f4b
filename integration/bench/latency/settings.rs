//! What is measured, from the environment.

use std::env::var;

/// Services beside the probe's, and instances of each.
pub(crate) type Size = (usize, usize);

/// What the environment asks for.
pub(crate) struct Settings {
    pub(crate) sizes: Vec<Size>,
    pub(crate) runs: usize,
    /// Changes in a run.
    pub(crate) changes: usize,
    /// Changes over which the CPU time is measured.
    pub(crate) cost_changes: usize,
    parts: String,
    programs: String,
}

impl Settings {
    pub(crate) fn read() -> Self {
        Self {
            sizes: sizes(&text("WEIR_BENCH_SIZES", "10x10,100x10,1000x5")),
            runs: number("WEIR_BENCH_RUNS", 3),
            changes: number("WEIR_BENCH_CHANGES", 30),
            cost_changes: number("WEIR_BENCH_COST_CHANGES", 300),
            parts: text("WEIR_BENCH_PARTS", "latency,cost,look,burst"),
            programs: text("WEIR_BENCH_PROGRAMS", "floor,bare,weir,consul-template"),
        }
    }

    pub(crate) fn has_part(&self, part: &str) -> bool {
        self.parts.split(',').any(|asked| asked.trim() == part)
    }

    pub(crate) fn has_program(&self, program: &str) -> bool {
        self.programs.split(',').any(|asked| asked.trim() == program)
    }
}

fn text(name: &str, default: &str) -> String {
    var(name).unwrap_or_else(|_| default.to_owned())
}

fn number(name: &str, default: usize) -> usize {
    var(name).map_or(default, |text| text.parse().expect("the variable is a number"))
}

fn sizes(text: &str) -> Vec<Size> {
    let parse = |size: &str| -> Option<Size> {
        let (services, instances) = size.trim().split_once('x')?;
        Some((services.parse().ok()?, instances.parse().ok()?))
    };
    text.split(',').map(|size| parse(size).expect("WEIR_BENCH_SIZES is like 10x10,100x5")).collect()
}
