//! Restart sampling (Xu et al. 2023): Heun's method that goes back up to a noisier level, with fresh noise, and down again.
//! The intervals are those of A1111's "Restart".

use burn::tensor::Tensor;

use super::build::Setup;
use super::heun::step_between;
use super::plan::{Integrator, Plan, Step, Stepwise};
use super::{Denoise, Level, Sampler};
use crate::noise::NoiseSource;
use crate::schedule::karras_between;

/// Where the run goes back from, and up to.
const FROM: f64 = 0.1;
const UP_TO: f64 = 2.0;

pub(super) fn sampler(setup: Setup<'_>) -> Box<dyn Sampler> {
    let strides = strides(&setup.plan, setup.start);
    let mut plan = setup.plan;
    // Where the run stands before each step: below where a step begins that goes back up first.
    plan.levels = strides.first().map(|(from, _)| *from).into_iter().chain(strides.iter().map(|(_, to)| *to)).collect();
    Stepwise::boxed(plan, 0, None, Restart { strides, s_noise: setup.options.s_noise })
}

struct Restart {
    /// From where to where each step goes. A step may begin above where the one before it ended.
    strides: Vec<(Level, Level)>,
    s_noise: f64,
}

impl Integrator for Restart {
    fn advance(&mut self, step: Step<'_>, x: Tensor<4>, model: &dyn Denoise, noise: &mut dyn NoiseSource) -> Tensor<4> {
        let Some((from, to)) = self.strides.get(step.index).copied() else { return x };
        let here = step.from();
        let added = (from.sigma * from.sigma - here.sigma * here.sigma).max(0.0).sqrt() * self.s_noise;
        let x = if added > 0.0 { x + noise.draw().mul_scalar(added as f32) } else { x };
        step_between(x, from, to, model)
    }
}

/// The plan's steps from `start` on, as many of them spent on going up and down again as a run of this length can spare.
fn strides(plan: &Plan, start: usize) -> Vec<(Level, Level)> {
    let levels: Vec<Level> = plan.levels.iter().skip(start).copied().collect();
    let steps = levels.len().saturating_sub(1);
    let (again, times) = match steps {
        0..20 => (0, 0),
        20..36 => (9, 1),
        _ => (steps / 4, 2),
    };
    let pairs = |levels: &[Level]| levels.windows(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>();
    if times == 0 {
        return pairs(&levels);
    }
    // The steps that are left for the way down follow Karras et al. over the plan's range.
    let (first, least) = (levels[0].sigma, levels[steps - 1].sigma);
    let mut down: Vec<Level> = karras_between(first, least, steps - again * times).into_iter().map(|s| plan.at(s)).collect();
    down.push(levels[steps]);
    let nearest = |sigma: f64| {
        let distance = |level: &Level| (level.sigma - sigma).abs();
        (0..down.len()).min_by(|a, b| distance(&down[*a]).total_cmp(&distance(&down[*b]))).unwrap_or(0)
    };
    let (low, high) = (nearest(FROM), nearest(UP_TO));
    if high >= low {
        return pairs(&levels);
    }
    let back: Vec<Level> =
        karras_between(down[high].sigma, down[low].sigma, again + 1).into_iter().map(|sigma| plan.at(sigma)).collect();
    let mut strides = pairs(&down[..=low]);
    for _ in 0..times {
        strides.extend(pairs(&back));
    }
    strides.extend(pairs(&down[low..]));
    strides
}
