//! Whether arrivals rise steadily, or have jumped.
//!
//! In: the rates of the last looks with their times. Out: by how much they rise in a second, or 0. Two explanations are
//! compared: a line that is level first and then rises, and the best step. Deviations are judged by what chance does to
//! counts (Poisson), and a jump is the more likely one where both explain nothing well.

use super::statistics::{FEWEST, Line, mean, spread};

/// What is chosen of a line that bends: its level, its rise, and where it bends.
const CHOSEN: f64 = 3.0;

/// By how much the rates rise in a second along the points since they began to; 0 where they do not rise steadily and still,
/// or by chance.
pub(super) fn ramp(points: &[(f64, f64)]) -> f64 {
    /// Standard errors that the rise must be away from 0.
    const SURE: f64 = 2.0;
    /// How much farther from the points than the step the line may be, in variances of one: only what is a step by 150 to 1 is
    /// taken for one, as a step that is taken for a rise costs less than a rise that is taken for a step.
    const ODDS: f64 = 10.0;
    let (times, rates): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let Some(line) = bent(&times, &rates) else { return 0.0 };
    let chance = chance(&times, &rates);
    let error = line.error(CHOSEN).max((chance / line.across).sqrt());
    let is_ramp = line.rest() < (step(&rates) + ODDS * chance).min(off(&rates, chance));
    if is_ramp && line.rise > SURE * error { line.rise } else { 0.0 }
}

/// The best line that is level up to one of the points, and rises from there.
fn bent(times: &[f64], rates: &[f64]) -> Option<Line> {
    /// So many points must show what was before the rise, as a jump is known by nothing else,
    const LEVEL: usize = 2;
    /// and so many the rise.
    const RISING: usize = 3;
    let bends = LEVEL..times.len().checked_sub(RISING).filter(|_| times.len() >= FEWEST)?;
    let lines = bends.filter_map(|bend| {
        let risen: Vec<f64> = times.iter().map(|at| (at - times[bend]).max(0.0)).collect();
        Line::through(&risen, rates)
    });
    lines.min_by(|one, other| one.rest().total_cmp(&other.rest()))
}

/// The squared distances of the rates from the best step, together. The one in which it falls lies anywhere between.
fn step(rates: &[f64]) -> f64 {
    let steps = (1..rates.len()).map(|at| spread(&rates[..at]) + spread(&rates[at + 1..]));
    steps.fold(f64::INFINITY, f64::min)
}

/// How far from a line rates may be that rise along it: what chance explains, or a small part of the whole rise, as nothing
/// rises in a straight line. A jump of which one part came in one look and the rest in the next is farther.
fn off(rates: &[f64], chance: f64) -> f64 {
    /// As rates spread more where they are high than in the mean.
    const BY_CHANCE: f64 = 3.0;
    const CURVED: f64 = 0.05;
    (BY_CHANCE * chance * (rates.len() as f64 - CHOSEN)).max(CURVED * spread(rates))
}

/// The variance of one rate where what is counted comes at random: the rate over its time.
fn chance(times: &[f64], rates: &[f64]) -> f64 {
    let apart = (times[times.len() - 1] - times[0]) / (times.len() - 1) as f64;
    mean(rates) / apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_no_step_and_no_step_a_ramp() {
        let noise = [9.0, -14.0, 3.0, 17.0, -20.0, 6.0, -4.0, 12.0, -9.0, 1.0, 15.0, -13.0];
        let points = |of: &dyn Fn(u8) -> f64| -> Vec<(f64, f64)> {
            (0..12).map(|at| (f64::from(at) / 2.0, of(at) + noise[usize::from(at)])).collect()
        };
        let rise = ramp(&points(&|at| 60.0 + 12.0 * f64::from(at)));
        assert!((18.0..30.0).contains(&rise), "24 a second: {rise}");
        for step in 1..12 {
            let found = ramp(&points(&|at| if at < step { 60.0 } else { 300.0 }));
            assert!(found.abs() < f64::EPSILON, "{step}: {found}");
            // With the step within a point.
            let found = ramp(&points(&|at| match at.cmp(&step) {
                std::cmp::Ordering::Less => 60.0,
                std::cmp::Ordering::Equal => 180.0,
                std::cmp::Ordering::Greater => 300.0,
            }));
            assert!(found.abs() < f64::EPSILON, "{step}: {found}");
        }
        assert!(ramp(&points(&|_| 200.0)).abs() < f64::EPSILON);
        assert!(ramp(&[(0.0, 1.0), (0.5, 2.0)]).abs() < f64::EPSILON, "too few");
    }
}
