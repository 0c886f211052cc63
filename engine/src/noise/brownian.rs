//! A Brownian path over noise levels, refined where it is asked about.
//!
//! A stochastic solver of second order looks at the noise between two levels, and at the noise of a part of that
//! interval. Both must come from one path. The path is extended by independent increments and filled in by Brownian
//! bridges, all from the images' own generators, so a seed gives one path, whatever the device.

use burn::tensor::Tensor;

/// Known values of the path, ordered from the lowest level up.
#[derive(Clone, Debug, Default)]
pub struct BrownianPath {
    knots: Vec<(f64, Tensor<4>)>,
}

/// Levels closer than this (relative) are one: they differ by rounding only.
const SAME: f64 = 1e-12;

impl BrownianPath {
    /// `(W(to) - W(from)) / sqrt(|to - from|)`, with `fresh` giving unit normal noise where the path must grow.
    pub fn increment(&mut self, from: f64, to: f64, mut fresh: impl FnMut() -> Tensor<4>) -> Tensor<4> {
        if same(from, to) {
            return fresh();
        }
        // Samplers go on from where they came to: one that begins above is a new run.
        if self.knots.last().is_some_and(|(highest, _)| from > highest * (1.0 + SAME)) {
            self.knots.clear();
        }
        self.knots.retain(|(level, _)| *level <= from.max(to) * (1.0 + SAME));
        if self.knots.is_empty() {
            // Only differences count: the path begins at zero, wherever it is asked about first.
            let noise = fresh();
            let moved = noise.clone().mul_scalar((to - from).abs().sqrt() as f32);
            self.knots = vec![(from, noise.zeros_like()), (to, moved)];
            self.knots.sort_by(|a, b| a.0.total_cmp(&b.0));
            return noise;
        }
        let start = self.value(from, &mut fresh);
        let end = self.value(to, &mut fresh);
        (end - start).mul_scalar((1.0 / (to - from).abs().sqrt()) as f32)
    }

    fn value(&mut self, level: f64, fresh: &mut impl FnMut() -> Tensor<4>) -> Tensor<4> {
        if let Some((_, value)) = self.knots.iter().find(|(known, _)| same(*known, level)) {
            return value.clone();
        }
        let above = self.knots.partition_point(|(known, _)| *known < level);
        let value = match (above.checked_sub(1).and_then(|i| self.knots.get(i)), self.knots.get(above)) {
            (None, None) => fresh(),
            (Some((edge, at_edge)), None) | (None, Some((edge, at_edge))) => {
                at_edge.clone() + fresh().mul_scalar((level - edge).abs().sqrt() as f32)
            }
            (Some((low, at_low)), Some((high, at_high))) => {
                let share = (level - low) / (high - low);
                let spread = ((level - low) * (high - level) / (high - low)).sqrt();
                at_low.clone().mul_scalar((1.0 - share) as f32)
                    + at_high.clone().mul_scalar(share as f32)
                    + fresh().mul_scalar(spread as f32)
            }
        };
        self.knots.insert(above, (level, value.clone()));
        value
    }
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * a.abs().max(b.abs())
}
