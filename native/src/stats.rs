//! Times, summed up.

use serde::Serialize;

/// What a row of times comes to, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many there are.
    pub count: usize,
    /// Their sum.
    pub total: f64,
    /// The middle one; of an even count the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Summary {
    /// Sums up; `None` of nothing.
    pub fn of(seconds: &[f64]) -> Option<Self> {
        let mut sorted = seconds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let half = sorted.len() / 2;
        let upper = *sorted.get(half)?;
        let median = if sorted.len().is_multiple_of(2) { f64::midpoint(*sorted.get(half - 1)?, upper) } else { upper };
        Some(Self { count: sorted.len(), total: sorted.iter().sum(), median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_up() {
        for (row, expected) in [
            (&[][..], None),
            (&[2.0][..], Some((1, 2.0, 2.0, 2.0, 2.0))),
            (&[3.0, 1.0], Some((2, 4.0, 2.0, 1.0, 3.0))),
            (&[9.0, 1.0, 2.0], Some((3, 12.0, 2.0, 1.0, 9.0))),
            (&[4.0, 1.0, 3.0, 2.0], Some((4, 10.0, 2.5, 1.0, 4.0))),
        ] {
            let found = Summary::of(row).map(|s| (s.count, s.total, s.median, s.min, s.max));
            assert_eq!(found, expected, "{row:?}");
        }
    }
}
