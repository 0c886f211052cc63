//! How much quantisation changes what layers do.

/// Sums over layers of what they make of a fixed random input, and of how far the quantised ones are off.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noise {
    exact: f64,
    difference: f64,
}

/// Products that are summed beside each other, so that the compiler can.
const LANES: usize = 16;

impl Noise {
    /// Adds rows of a layer's weights, each of so many inputs, before and after.
    pub(super) fn add(&mut self, exact: &[f32], quantised: &[f32], inputs: usize) {
        let input = input(inputs);
        for (exact, quantised) in exact.chunks_exact(inputs).zip(quantised.chunks_exact(inputs)) {
            let (mut outputs, mut errors) = ([0f32; LANES], [0f32; LANES]);
            let rows = exact.chunks(LANES).zip(quantised.chunks(LANES)).zip(input.chunks(LANES));
            for ((exact, quantised), input) in rows {
                for (lane, ((exact, quantised), input)) in exact.iter().zip(quantised).zip(input).enumerate() {
                    if let (Some(output), Some(error)) = (outputs.get_mut(lane), errors.get_mut(lane)) {
                        *output += exact * input;
                        *error += (exact - quantised) * input;
                    }
                }
            }
            self.exact += f64::from(outputs.iter().sum::<f32>()).powi(2);
            self.difference += f64::from(errors.iter().sum::<f32>()).powi(2);
        }
    }

    /// The norm of all differences over that of all outputs; `None` without layers.
    pub(super) fn relative(&self) -> Option<f64> {
        (self.exact > 0.0).then(|| (self.difference / self.exact).sqrt())
    }
}

/// Numbers between -1 and 1 that are the same every time (Weyl's sequence, scrambled as in SplitMix64).
fn input(count: usize) -> Vec<f32> {
    let number = |index: u64| {
        let mut bits = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (1..=count as u64).map(number).collect()
}
