//! A fixed piece of work, and how long its parts take: what `?bench` shows in the page, and what `benches/browser/` prints.
//!
//! The same picture is made twice. The first time includes what a browser does once, mostly compiling kernels; the second is
//! what every further picture takes. Whoever runs it tells what the worker says and when; nothing here knows a clock.

use std::fmt;

use encaustic_protocol::{Change, Request, Stage};
use serde::{Deserialize, Serialize};

use crate::message::LoadSeconds;

/// What is made, twice.
pub fn request() -> Request {
    Request {
        prompt: "a red circle above a blue square".to_owned(),
        seed: Some(1),
        width: Some(128),
        height: Some(128),
        steps: Some(25),
        cfg: Some(3.0),
        ..Request::default()
    }
}

/// Listens to a job.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    begun: f64,
    text: Option<f64>,
    steps: Vec<f64>,
    decoded: Option<f64>,
    ended: Option<f64>,
}

impl Stopwatch {
    /// Of a job that is submitted now; all times are in seconds, from whenever.
    pub fn new(now: f64) -> Self {
        Self { begun: now, text: None, steps: Vec::new(), decoded: None, ended: None }
    }

    /// Something has happened to the job.
    pub fn hear(&mut self, now: f64, change: &Change) {
        match change {
            Change::Progress(progress) => match progress.stage {
                Stage::Text => self.text = Some(now),
                Stage::Denoise => self.steps.push(now),
                Stage::Decode => self.decoded = Some(now),
            },
            Change::Finished(_) => self.ended = Some(now),
            _ => {}
        }
    }

    /// How long its parts took; `None` as long as it is not finished.
    pub fn times(&self) -> Option<Times> {
        let (text, last, ended) = (self.text?, *self.steps.last()?, self.ended?);
        let starts = [text].into_iter().chain(self.steps.iter().copied());
        let lengths: Vec<f64> = starts.zip(&self.steps).map(|(start, end)| end - start).collect();
        let first_step = *lengths.first()?;
        let mut others: Vec<f64> = lengths.into_iter().skip(1).collect();
        others.sort_by(f64::total_cmp);
        let step = others.get(others.len() / 2).copied().unwrap_or(first_step);
        let decoded = self.decoded.unwrap_or(ended);
        Some(Times { text: text - self.begun, first_step, step, vae: decoded - last, total: ended - self.begun })
    }
}

/// Seconds that the parts of a picture took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// From the order to the encoded prompt.
    pub text: f64,
    /// The first step.
    pub first_step: f64,
    /// The median of the others.
    pub step: f64,
    /// Turning latents into a picture.
    pub vae: f64,
    /// From the order to the picture.
    pub total: f64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Loading the model.
    pub load: LoadSeconds,
    /// The first picture.
    pub cold: Times,
    /// The second.
    pub warm: Times,
}

impl Report {
    /// The rows of a table: what, the first time, the second time.
    pub fn rows(&self) -> [(&'static str, f64, f64); 5] {
        let Self { cold, warm, .. } = self;
        [
            ("text", cold.text, warm.text),
            ("first step", cold.first_step, warm.first_step),
            ("step", cold.step, warm.step),
            ("VAE", cold.vae, warm.vae),
            ("picture", cold.total, warm.total),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadSeconds { files, device, model } = self.load;
        writeln!(f, "load: files {files:.1} s, device {device:.1} s, weights {model:.1} s")?;
        writeln!(f, "{:<12}{:>9}{:>9}", "seconds", "first", "second")?;
        for (name, cold, warm) in self.rows() {
            writeln!(f, "{name:<12}{cold:>9.2}{warm:>9.2}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use encaustic_protocol::Progress;

    use super::*;

    fn progress(stage: Stage, done: u32) -> Change {
        Change::Progress(Progress { stage, done, of: 3 })
    }

    #[test]
    fn parts_of_a_job_are_told_apart() {
        let mut watch = Stopwatch::new(10.0);
        assert_eq!(watch.times(), None);
        watch.hear(10.0, &Change::Queued { ahead: 0 });
        watch.hear(10.0, &Change::Started);
        watch.hear(11.0, &progress(Stage::Text, 1));
        for (done, now) in [(1, 15.0), (2, 16.0), (3, 17.5), (4, 20.0)] {
            watch.hear(now, &progress(Stage::Denoise, done));
        }
        watch.hear(22.0, &progress(Stage::Decode, 1));
        assert_eq!(watch.times(), None);
        watch.hear(22.5, &Change::Finished(Vec::new()));
        let times = Times { text: 1.0, first_step: 4.0, step: 1.5, vae: 2.0, total: 12.5 };
        assert_eq!(watch.times(), Some(times));
        let report = Report { load: LoadSeconds::default(), cold: times, warm: Times { total: 9.0, ..times } };
        let text = report.to_string();
        assert!(text.contains("picture         12.50     9.00"), "{text}");
        assert_eq!(serde_json::from_str::<Report>(&serde_json::to_string(&report).unwrap()).unwrap(), report);
    }

    #[test]
    fn a_single_step_is_its_own_median() {
        let mut watch = Stopwatch::new(0.0);
        watch.hear(1.0, &progress(Stage::Text, 1));
        watch.hear(3.0, &progress(Stage::Denoise, 1));
        watch.hear(4.0, &Change::Finished(Vec::new()));
        assert_eq!(watch.times().map(|times| (times.step, times.vae)), Some((2.0, 1.0)));
    }
}
