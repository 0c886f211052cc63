//! How fast a job goes and how long it will take, from when its steps were told.

use encaustic_protocol::{Progress, Stage};

use crate::amount;

/// The steps of a job as they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// The first step that was told, and when, in seconds: it is not counted, as compiling shaders is part of it.
    first: Option<(u32, f64)>,
    /// The newest.
    last: Option<(Progress, f64)>,
}

impl Pace {
    /// Takes in that something is done at `now`, in seconds on any clock.
    pub fn mark(&mut self, progress: Progress, now: f64) {
        if progress.stage == Stage::Denoise && progress.done > 0 && self.first.is_none() {
            self.first = Some((progress.done, now));
        }
        self.last = Some((progress, now));
    }

    /// Steps in a second, once two have come.
    pub fn rate(&self) -> Option<f64> {
        let (first, began) = self.first?;
        let (progress, now) = self.last?;
        let is_known = progress.stage == Stage::Denoise && progress.done > first && now > began;
        is_known.then(|| f64::from(progress.done - first) / (now - began))
    }

    /// Seconds until the last step, as seen at `now`.
    pub fn left(&self, now: f64) -> Option<f64> {
        let (progress, at) = self.last?;
        let whole = f64::from(progress.of.saturating_sub(progress.done)) / self.rate()?;
        Some((whole - (now - at)).max(0.0))
    }

    /// The part that is done, from 0 to 1; `None` while that is not known.
    pub fn part(&self) -> Option<f64> {
        // The picture is nearly there when it is decoded; how long that takes nobody knows.
        const DENOISE: f64 = 0.94;
        let (Progress { stage, done, of }, _) = self.last?;
        let part = f64::from(done.min(of)) / f64::from(of.max(1));
        match stage {
            Stage::Text => None,
            Stage::Denoise => Some(part * DENOISE),
            Stage::Decode => Some(DENOISE + part * (1.0 - DENOISE)),
        }
    }

    /// What is being done, in words: `Step 4 of 20`.
    pub fn stage(&self) -> String {
        let Some((Progress { stage, done, of }, _)) = self.last else { return "Starting".to_owned() };
        match stage {
            Stage::Text => "Starting".to_owned(),
            Stage::Denoise if done < of => format!("Step {done} of {of}"),
            // The last step is followed by the first decode, which is not told until it is done.
            Stage::Denoise => "Finishing the picture".to_owned(),
            Stage::Decode => format!("Picture {done} of {of}"),
        }
    }

    /// Speed and time left, in words: `1.3 it/s, 12 s left`.
    pub fn speed(&self, now: f64) -> Option<String> {
        let rate = amount::rate(self.rate()?);
        match self.left(now) {
            Some(left) if left >= 1.0 => Some(format!("{rate}, {} left", amount::seconds(left))),
            _ => Some(rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(done: u32) -> Progress {
        Progress { stage: Stage::Denoise, done, of: 20 }
    }

    #[test]
    fn the_first_step_does_not_count() {
        let mut pace = Pace::default();
        pace.mark(Progress { stage: Stage::Text, done: 1, of: 1 }, 0.0);
        assert_eq!((pace.rate(), pace.part(), pace.stage().as_str()), (None, None, "Starting"));
        pace.mark(step(1), 30.0);
        assert_eq!((pace.rate(), pace.left(30.0)), (None, None));
        pace.mark(step(2), 32.0);
        pace.mark(step(3), 34.0);
        assert_eq!((pace.rate(), pace.left(34.0), pace.left(44.0)), (Some(0.5), Some(34.0), Some(24.0)));
        assert_eq!(pace.stage(), "Step 3 of 20");
        assert_eq!(pace.speed(34.0).as_deref(), Some("2.0 s/it, 34 s left"));
        assert_eq!(pace.speed(1000.0).as_deref(), Some("2.0 s/it"));
    }

    #[test]
    fn fast_steps_are_told_per_second() {
        let mut pace = Pace::default();
        pace.mark(step(1), 0.0);
        pace.mark(step(5), 1.0);
        assert_eq!(pace.speed(1.0).as_deref(), Some("4.0 it/s, 4 s left"));
    }

    #[test]
    fn decoding_comes_after_the_last_step() {
        let mut pace = Pace::default();
        pace.mark(step(20), 1.0);
        assert_eq!(pace.stage(), "Finishing the picture");
        let before = pace.part();
        pace.mark(Progress { stage: Stage::Decode, done: 1, of: 1 }, 2.0);
        assert!(pace.part() > before && pace.part() <= Some(1.0));
        assert_eq!((pace.rate(), pace.speed(2.0)), (None, None));
    }
}
