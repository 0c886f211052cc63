//! diffusers' `trailing`: whole multiples of the stride from the last timestep down (Lin et al. 2023).

/// Falling timesteps from `from - 1` down, apart by `train / steps`, rounded: `steps` of them if `from` is `train`.
pub(super) fn timesteps(from: usize, train: usize, steps: usize) -> Vec<f64> {
    let stride = train as f64 / steps as f64;
    let exact = (0..steps).map(|i| from as f64 - i as f64 * stride).take_while(|timestep| *timestep > 0.0);
    exact.map(|timestep| (timestep.round_ties_even() - 1.0).max(0.0)).collect()
}
