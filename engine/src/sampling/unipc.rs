//! UniPC (Zhao et al. 2023): a multistep predictor, and a corrector that uses the model's answer at the level that was
//! predicted, at no further call.

use burn::tensor::Tensor;

use super::build::Setup;
use super::linear::combine;
use super::multistep::{Face, History};
use super::plan::{Integrator, Step, Stepwise};
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;
use crate::prediction;
use crate::schedule::SolverType;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let config = setup.config;
    let integrator = UniPc {
        face: if config.predict_x0.unwrap_or(true) { Face::Data } else { Face::Noise },
        is_bh1: setup.options.solver.or(config.solver_type) == Some(SolverType::Bh1),
        order: setup.options.order.or(config.solver_order).unwrap_or(2).clamp(1, 3),
        lower_at_end: config.lower_order_final.unwrap_or(true),
        uncorrected: config.disable_corrector.clone().unwrap_or_default(),
        last: None,
        history: History::default(),
    };
    Stepwise::boxed(setup.plan, setup.start, None, integrator)
}

struct UniPc {
    face: Face,
    is_bh1: bool,
    order: usize,
    lower_at_end: bool,
    /// Steps whose result is not corrected.
    uncorrected: Vec<usize>,
    last: Option<Predicted>,
    history: History,
}

/// The step that the corrector may take again.
struct Predicted {
    x: Tensor<4>,
    from: Level,
    order: usize,
}

impl Integrator for UniPc {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, _: &mut dyn NoiseSource) -> Tensor<4> {
        let (from, to) = (step.from(), step.to());
        let clean = model.denoise(x.clone(), from);
        let output = match self.face {
            Face::Data => clean.clone(),
            Face::Noise => prediction::noise(clean.clone(), x.clone(), from),
        };
        let is_corrected = step.index == 0 || !self.uncorrected.contains(&(step.index - 1));
        let x = match self.last.take() {
            Some(last) if is_corrected => self.correct(last, x, from, &output),
            _ => x,
        };
        self.history.push(from.lambda(), output, self.order);
        if to.sigma == 0.0 {
            return clean;
        }
        let left = step.plan.steps() - step.index;
        let order = if self.lower_at_end { self.order.min(left) } else { self.order }.min(self.history.usable());
        self.last = Some(Predicted { x: x.clone(), from, order });
        self.predict(&x, from, to, order)
    }
}

impl UniPc {
    fn predict(&self, x: &Tensor<4>, from: Level, to: Level, order: usize) -> Tensor<4> {
        let Some(frame) = self.frame(from, to, order) else { return x.clone() };
        // The second order has its weight in closed form; it differs a little from the solution of the system.
        let weights = if order == 2 { vec![0.5] } else { solve(&frame.ratios, &frame.moments, order - 1) };
        self.update(x, &frame, &weights, None)
    }

    fn correct(&self, last: Predicted, x: Tensor<4>, at: Level, output: &Tensor<4>) -> Tensor<4> {
        let Some(frame) = self.frame(last.from, at, last.order) else { return x };
        let mut weights = if last.order == 1 { vec![0.5] } else { solve(&frame.ratios, &frame.moments, last.order) };
        let newest = weights.pop().unwrap_or_default();
        self.update(&last.x, &frame, &weights, Some((newest, output)))
    }

    /// What a step from `from` to `to` is made of; nothing, if it leads nowhere.
    fn frame(&self, from: Level, to: Level, order: usize) -> Option<Frame> {
        let h = to.lambda() - from.lambda();
        if h == 0.0 {
            return None;
        }
        let (z, linear, scale) = match self.face {
            Face::Data => (-h, to.sigma / from.sigma, to.alpha),
            Face::Noise => (h, to.alpha / from.alpha, to.sigma),
        };
        let phi_1 = z.exp_m1();
        let b = if self.is_bh1 { z } else { phi_1 };
        let lambdas = self.history.lambdas();
        let mut ratios: Vec<f64> = lambdas.iter().skip(1).take(order - 1).map(|lambda| (lambda - from.lambda()) / h).collect();
        ratios.push(1.0);
        let mut phi = phi_1 / z - 1.0;
        let mut factorial = 1.0;
        let mut moments = Vec::with_capacity(order);
        for i in 1..=order {
            moments.push(phi * factorial / b);
            factorial *= (i + 1) as f64;
            phi = phi / z - 1.0 / factorial;
        }
        Some(Frame { linear, scale, phi_1, b, ratios, moments })
    }

    /// The step, with `weights` for the differences to older outputs and one for that to the newest.
    fn update(&self, x: &Tensor<4>, frame: &Frame, weights: &[f64], newest: Option<(f64, &Tensor<4>)>) -> Tensor<4> {
        let weights: Vec<f64> = weights.iter().zip(&frame.ratios).map(|(weight, ratio)| weight / ratio).collect();
        let base: f64 = weights.iter().sum::<f64>() + newest.map_or(0.0, |(weight, _)| weight);
        let factor = -frame.scale * frame.b;
        let first = -frame.scale * frame.phi_1 - factor * base;
        let scaled = std::iter::once(first).chain(weights.iter().map(|weight| factor * weight));
        let mut terms: Vec<_> = scaled.zip(self.history.outputs()).collect();
        terms.extend(newest.map(|(weight, output)| (factor * weight, output)));
        combine((frame.linear, x), &terms)
    }
}

/// A step in the paper's terms.
struct Frame {
    linear: f64,
    scale: f64,
    phi_1: f64,
    /// B(h).
    b: f64,
    /// Where the older outputs lie in units of the step, and 1 for the newest.
    ratios: Vec<f64>,
    moments: Vec<f64>,
}

/// Solves the first `count` equations `sum over k of ratio_k^(i-1) * w_k = moment_i` by elimination.
fn solve(ratios: &[f64], moments: &[f64], count: usize) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> =
        (0..count).map(|i| ratios.iter().take(count).map(|ratio| ratio.powi(i as i32)).chain([moments[i]]).collect()).collect();
    for pivot in 0..count {
        let best = (pivot..count).max_by(|a, b| rows[*a][pivot].abs().total_cmp(&rows[*b][pivot].abs())).unwrap_or(pivot);
        rows.swap(pivot, best);
        let upper = rows[pivot].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != pivot) {
            let factor = row[pivot] / upper[pivot];
            for (value, above) in row.iter_mut().zip(&upper) {
                *value -= factor * above;
            }
        }
    }
    rows.iter().enumerate().map(|(i, row)| row[count] / row[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let ratios = [-0.7, -0.2, 1.0];
        let wanted = [0.3, -1.1, 0.4];
        let moments: Vec<f64> =
            (0..3).map(|i| ratios.iter().zip(wanted).map(|(ratio, weight)| f64::powi(*ratio, i) * weight).sum()).collect();
        for (a, e) in solve(&ratios, &moments, 3).iter().zip(wanted) {
            assert!((a - e).abs() < 1e-12, "{a} {e}");
        }
        assert!(solve(&ratios, &moments, 0).is_empty());
    }
}
