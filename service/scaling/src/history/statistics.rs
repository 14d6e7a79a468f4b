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

/// By how much the values rise along the points, where they do so steadily: a straight line fits them better than the
/// best step does, and its slope is no chance. 0 otherwise.
pub(super) fn ramp(points: &[(f64, f64)]) -> f64 {
    /// Standard errors that a slope must be away from 0.
    const SURE: f64 = 2.0;
    let Some((rise, _)) = slope(points).filter(|(rise, sure)| *rise > 0.0 && *sure > SURE) else {
        return 0.0;
    };
    let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let (x, y) = (mean(&xs), mean(&ys));
    let line: f64 = points.iter().map(|(at, value)| (value - y - rise * (at - x)).powi(2)).sum();
    // The value in which the step falls lies anywhere between.
    let steps = (1..ys.len()).map(|at| spread(&ys[..at]) + spread(&ys[at + 1..]));
    if steps.fold(f64::INFINITY, f64::min) * 0.8 > line { rise } else { 0.0 }
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
