//! Means and trends of a few numbers.

/// The mean; 0 of none.
pub(super) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// The slope of the straight line through the points, and how many standard errors it is away from 0.
pub(super) fn slope(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    const FEWEST: usize = 5;
    if points.len() < FEWEST {
        return None;
    }
    let count = points.len() as f64;
    let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let (x, y) = (mean(&xs), mean(&ys));
    let spread: f64 = xs.iter().map(|at| (at - x).powi(2)).sum();
    if spread <= 0.0 {
        return None;
    }
    let slope = points.iter().map(|(at, value)| (at - x) * (value - y)).sum::<f64>() / spread;
    let rest: f64 = points.iter().map(|(at, value)| (value - y - slope * (at - x)).powi(2)).sum();
    let rests: Vec<f64> = points.iter().map(|(at, value)| value - y - slope * (at - x)).collect();
    let error = (rest / (count - 2.0) / spread).sqrt() * repetition(&rests);
    Some((slope, if error > 0.0 { slope / error } else { f64::INFINITY * slope.signum() }))
}

/// By how much the error of a slope is greater where each deviation resembles the one before (by its
/// correlation r, √((1 + r) / (1 − r))): sessions that last longer than the time between two measures are in
/// both, and a jump leaves long runs on either side of the line.
fn repetition(rests: &[f64]) -> f64 {
    let total: f64 = rests.iter().map(|rest| rest * rest).sum();
    let pairs: f64 = rests.windows(2).map(|pair| pair[0] * pair[1]).sum();
    if total <= 0.0 {
        return 1.0;
    }
    let resembles = (pairs / total).clamp(0.0, 0.95);
    ((1.0 + resembles) / (1.0 - resembles)).sqrt()
}

/// By how much the values, which are rates, rise along the points since they began to, where they do so steadily and still:
/// a line that is level first and then rises explains them as well as the best step does, and its rise is no chance.
/// 0 otherwise.
pub(super) fn ramp(points: &[(f64, f64)]) -> f64 {
    /// Standard errors that the rise must be away from 0.
    const SURE: f64 = 2.0;
    /// How much farther from the points than the step the line may be, in variances of one: odds of 5 to 1, as a step that is
    /// taken for a rise costs less than a rise that is taken for a step.
    const ODDS: f64 = 3.0;
    /// So many points must show what was before the rise, as a jump is known by nothing else.
    const LEVEL: usize = 2;
    let bends = (LEVEL..points.len()).filter_map(|bend| bent(points, bend));
    let Some(best) = bends.min_by(|one, other| one.rest.total_cmp(&other.rest)) else { return 0.0 };
    let chance = chance(points);
    let error = best.error.max((chance / best.across).sqrt());
    let is_ramp = best.rest < step(points) + ODDS * chance && best.rest < off(points, chance);
    // What is carried on for seconds is what is likely, less its error.
    if is_ramp && best.rise > SURE * error { best.rise - error } else { 0.0 }
}

/// How far from a line points may be that rise along it: what chance explains, or a small part of the whole rise, as nothing
/// rises in a straight line. A jump of which one part came in one look and the rest in the next is farther.
fn off(points: &[(f64, f64)], chance: f64) -> f64 {
    const BY_CHANCE: f64 = 2.0;
    const CURVED: f64 = 0.05;
    let rates: Vec<f64> = points.iter().map(|(_, rate)| *rate).collect();
    (BY_CHANCE * chance * (rates.len() as f64 - CHOSEN)).max(CURVED * spread(&rates))
}

/// The variance of one rate where what is counted comes at random (Poisson): the rate over its time.
fn chance(points: &[(f64, f64)]) -> f64 {
    let (Some((from, _)), Some((to, _))) = (points.first(), points.last()) else { return 0.0 };
    let apart = (to - from) / (points.len() as f64 - 1.0);
    let (sum, count) = points.iter().fold((0.0, 0.0), |(sum, count), (_, rate)| (sum + rate, count + 1.0));
    sum / count / apart
}

/// The squared distances of the points from the best step, together. The value in which it falls lies anywhere between.
fn step(points: &[(f64, f64)]) -> f64 {
    let ys: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    let steps = (1..ys.len()).map(|at| spread(&ys[..at]) + spread(&ys[at + 1..]));
    steps.fold(f64::INFINITY, f64::min)
}

/// What is chosen of a line that bends: its level, its rise, and where it bends.
const CHOSEN: f64 = 3.0;

/// A line that is level up to a point, and rises from there.
struct Bent {
    rise: f64,
    /// The standard error of the rise.
    error: f64,
    /// The squared distances along the line from the mean, together.
    across: f64,
    /// The squared distances of the points from the line, together.
    rest: f64,
}

/// The best line that bends at one of the points; nothing where too few points tell of it.
fn bent(points: &[(f64, f64)], bend: usize) -> Option<Bent> {
    const FEWEST: usize = 5;
    const RISING: usize = 3;
    if points.len() < FEWEST || bend + RISING >= points.len() {
        return None;
    }
    let (from, _) = points[bend];
    let (xs, ys): (Vec<f64>, Vec<f64>) =
        points.iter().map(|(at, value)| ((at - from).max(0.0), *value)).unzip();
    let (x, y, across) = (mean(&xs), mean(&ys), spread(&xs));
    let pairs = || xs.iter().zip(&ys);
    let rise = pairs().map(|(at, value)| (at - x) * (value - y)).sum::<f64>() / across;
    let rest: f64 = pairs().map(|(at, value)| (value - y - rise * (at - x)).powi(2)).sum();
    let error = (rest / (points.len() as f64 - CHOSEN) / across).sqrt();
    Some(Bent { rise, error, across, rest })
}

/// The squared distances from the mean, together.
fn spread(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_and_noise_is_not() {
        let line: Vec<(f64, f64)> = (0u8..10).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        let (rise, sure) = slope(&line).unwrap();
        assert!((rise - 2.0).abs() < 1e-9 && sure > 100.0);
        let noise: Vec<(f64, f64)> = (0u8..10).map(|x| (f64::from(x), f64::from(x % 3))).collect();
        assert!(slope(&noise).unwrap().1.abs() < 2.0);
        assert_eq!((slope(&line[..4]), mean(&[])), (None, 0.0));
    }

    #[test]
    fn a_ramp_is_no_step_and_no_step_a_ramp() {
        let noise = [9.0, -14.0, 3.0, 17.0, -20.0, 6.0, -4.0, 12.0];
        let points = |of: &dyn Fn(u8) -> f64| -> Vec<(f64, f64)> {
            (0..8).map(|at| (f64::from(at) / 2.0, of(at) + noise[usize::from(at)])).collect()
        };
        let rise = ramp(&points(&|at| 60.0 + 12.0 * f64::from(at)));
        assert!((18.0..30.0).contains(&rise), "24 a second: {rise}");
        for step in 1..8 {
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
