//! How fast something comes, and how long that will take.

use std::collections::VecDeque;

/// Over how many seconds a speed is measured: long enough to be calm, short enough to be true.
const SPAN: f64 = 8.0;

/// How fast bytes come.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// When how many were there, over the last [`SPAN`].
    seen: VecDeque<(f64, u64)>,
}

impl Pace {
    /// At `now` (seconds of any clock) there are so many bytes. Fewer than before means that something else has begun.
    pub fn see(&mut self, now: f64, bytes: u64) {
        if self.seen.back().is_some_and(|(_, last)| bytes < *last) {
            self.seen.clear();
        }
        self.seen.push_back((now, bytes));
        while self.seen.len() > 2 && self.seen.front().is_some_and(|(at, _)| now - at > SPAN) {
            self.seen.pop_front();
        }
    }

    /// Bytes per second, when enough has been seen to tell.
    pub fn speed(&self) -> Option<f64> {
        let ((begun, first), (now, last)) = (self.seen.front()?, self.seen.back()?);
        let (time, came) = (now - begun, last - first);
        (time >= 0.5 && came > 0).then(|| came as f64 / time)
    }

    /// Seconds until there are `of` bytes.
    pub fn left(&self, of: u64) -> Option<f64> {
        let (_, there) = self.seen.back()?;
        Some(of.saturating_sub(*there) as f64 / self.speed()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_that_of_the_last_seconds() {
        let mut pace = Pace::default();
        assert_eq!((pace.speed(), pace.left(100)), (None, None));
        pace.see(0.0, 0);
        pace.see(1.0, 1000);
        assert_eq!(pace.left(3000), Some(2.0));
        (2..=20_u32).for_each(|second| pace.see(f64::from(second), 1000 + u64::from(second) * 10));
        assert_eq!(pace.speed(), Some(10.0));
        pace.see(21.0, 5);
        assert_eq!(pace.speed(), None, "another file has begun");
    }
}
