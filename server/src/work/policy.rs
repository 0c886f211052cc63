//! What is tried when a device has too little memory: fewer pictures at once, then decoding in tiles, then nothing more.

use encaustic_protocol::{Failure, FailureKind};

use crate::host::Care;

/// How a job is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Pictures at once.
    pub(super) at_once: u32,
    /// How to spare memory.
    pub(super) care: Care,
}

impl Way {
    /// As many at once as are wanted.
    pub(super) fn new(batch: u32) -> Self {
        Self { at_once: batch.max(1), care: Care::default() }
    }

    /// The next way to try, and how to tell it; `None` if there is none.
    pub(super) fn less(self, needed: Option<u64>, available: Option<u64>) -> Option<(Self, String)> {
        let numbers = numbers(needed, available);
        if self.at_once > 1 {
            let at_once = self.at_once.div_ceil(2);
            let text = format!(
                "too little memory for {} pictures at once{numbers}: {at_once} at once are tried, with the same seeds",
                self.at_once
            );
            return Some((Self { at_once, ..self }, text));
        }
        if !self.care.tile_vae {
            let text = format!("too little memory for one picture{numbers}: its decoding is tried in tiles");
            return Some((Self { care: Care { tile_vae: true }, ..self }, text));
        }
        None
    }
}

/// The end of what was tried.
pub(super) fn too_little(size: Option<[u32; 2]>, device: &str, needed: Option<u64>, available: Option<u64>) -> Failure {
    let picture = size.map_or_else(|| "one picture".to_owned(), |[width, height]| format!("one picture of {width} x {height}"));
    let message = format!(
        "{device} has too little memory for {picture}, decoded in tiles{}; ask for a smaller one, or a smaller model",
        numbers(needed, available)
    );
    Failure { kind: FailureKind::Device, message }
}

/// ` (2.00 GiB needed, 1.00 GiB there)`, as far as is known.
pub(super) fn numbers(needed: Option<u64>, available: Option<u64>) -> String {
    let gib = |bytes: u64| {
        let [mib, gib] = [20, 30].map(|shift| bytes as f64 / f64::from(1 << shift));
        if gib < 1.0 { format!("{mib:.1} MiB") } else { format!("{gib:.2} GiB") }
    };
    match (needed.map(gib), available.map(gib)) {
        (Some(needed), Some(available)) => format!(" ({needed} needed, {available} there)"),
        (Some(needed), None) => format!(" ({needed} needed)"),
        (None, Some(available)) => format!(" ({available} there)"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_and_less_is_tried() {
        let mut way = Way::new(5);
        let mut tried = Vec::new();
        while let Some((next, text)) = way.less(Some(3 << 30), Some(100 << 20)) {
            assert!(text.contains("(3.00 GiB needed, 100.0 MiB there)"), "{text}");
            way = next;
            tried.push((way.at_once, way.care.tile_vae));
        }
        assert_eq!(tried, [(3, false), (2, false), (1, false), (1, true)]);
        let failure = too_little(Some([64, 32]), "cpu", None, Some(1 << 30));
        assert!(
            failure
                .message
                .starts_with("cpu has too little memory for one picture of 64 x 32, decoded in tiles (1.00 GiB there); ")
        );
    }
}
