//! Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with the counters and the
//! Box-Muller transform that NVIDIA's cuRAND and torch on CUDA use.

/// A generator in the state of `torch.Generator("cuda").manual_seed(seed)`.
#[derive(Clone, Debug)]
pub struct Philox {
    key: [u32; 2],
    /// How many times noise was drawn: each call has a counter space of its own.
    calls: u32,
}

impl Philox {
    /// Seeds with all 64 bits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], calls: 0 }
    }

    /// What one `randn` of `count` elements on CUDA returns in f32.
    pub fn normal(&mut self, count: usize) -> Vec<f32> {
        let call = self.calls;
        self.calls = self.calls.wrapping_add(1);
        (0..count).map(|element| box_muller(block([call, 0, element as u32, 0], self.key))).collect()
    }
}

/// Ten rounds over one counter.
fn block(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        }
        let a = u64::from(counter[0]) * 0xd251_1f53;
        let b = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

/// The first two words make one normal value; the constants are rounded to f32 as on the device.
fn box_muller(words: [u32; 4]) -> f32 {
    const UNIT: f64 = 1.0 / 4_294_967_296.0;
    const ANGLE: f64 = (std::f64::consts::TAU * UNIT) as f32 as f64;
    let u = f64::from(words[0]) * UNIT + UNIT / 2.0;
    let v = f64::from(words[1]) * ANGLE + ANGLE / 2.0;
    ((-2.0 * u.ln()).sqrt() * v.sin()) as f32
}
