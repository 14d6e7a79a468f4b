//! Means and trends of a few numbers.

/// The mean; 0 of none.
pub(super) fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Fewer points than this tell nothing of a line.
pub(super) const FEWEST: usize = 5;

/// The straight line through points by least squares.
pub(super) struct Line {
    /// By how much the values rise along it.
    pub(super) rise: f64,
    /// The squared distances along it from the mean, together.
    pub(super) across: f64,
    /// How far each value is from it.
    pub(super) rests: Vec<f64>,
}

impl Line {
    /// The line through `(xs, ys)`; nothing where too few points tell of it.
    pub(super) fn through(xs: &[f64], ys: &[f64]) -> Option<Self> {
        let (x, y, across) = (mean(xs), mean(ys), spread(xs));
        if xs.len() < FEWEST || across <= 0.0 {
            return None;
        }
        let pairs = || xs.iter().zip(ys);
        let rise = pairs().map(|(at, value)| (at - x) * (value - y)).sum::<f64>() / across;
        let rests = pairs().map(|(at, value)| value - y - rise * (at - x)).collect();
        Some(Self { rise, across, rests })
    }

    /// The squared distances of the values from it, together.
    pub(super) fn rest(&self) -> f64 {
        self.rests.iter().map(|rest| rest * rest).sum()
    }

    /// The standard error of the rise, where so much was chosen to fit the points.
    pub(super) fn error(&self, chosen: f64) -> f64 {
        (self.rest() / (self.rests.len() as f64 - chosen) / self.across).sqrt()
    }
}

/// The slope of the straight line through the points, and how many standard errors it is away from 0.
pub(super) fn slope(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    /// A line has a level and a rise.
    const CHOSEN: f64 = 2.0;
    let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
    let line = Line::through(&xs, &ys)?;
    let error = line.error(CHOSEN) * repetition(&line.rests);
    Some((line.rise, if error > 0.0 { line.rise / error } else { f64::INFINITY * line.rise.signum() }))
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

/// The squared distances from the mean, together.
pub(super) fn spread(values: &[f64]) -> f64 {
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
}
