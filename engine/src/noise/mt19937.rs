//! torch's CPU generator: the Mersenne twister 19937 of Matsumoto and Nishimura (1998), and torch's two ways from its
//! words to normal values.
//!
//! torch computes the logarithm, sine and cosine of its blocks with vector instructions whose last bit depends on the
//! processor. Here each of them is evaluated in f64 from torch's own f32 intermediate values, so the result is the same
//! on every machine, and within 3e-7 of what torch gives on any.

use std::f64::consts::TAU;

const WORDS: usize = 624;
const SHIFT: usize = 397;
/// From this many elements on, torch fills blocks; below it, it draws one value at a time in f64.
const BLOCK: usize = 16;

/// A generator in the state of `torch.Generator("cpu").manual_seed(seed)`.
#[derive(Clone, Debug)]
pub struct Mt19937 {
    state: Box<[u32; WORDS]>,
    next: usize,
    /// The second value of a pair that was drawn one at a time. It belongs to the generator: calls for 16 or more
    /// values neither use nor drop it.
    spare: Option<f64>,
}

impl Mt19937 {
    /// Seeds as torch does: only the low 32 bits of `seed` count.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut state = Box::new([0u32; WORDS]);
        state[0] = seed as u32;
        for i in 1..WORDS {
            let last = state[i - 1];
            state[i] = (last ^ (last >> 30)).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, next: WORDS, spare: None }
    }

    /// What `torch.randn(count, generator=...)` returns in f32.
    pub fn normal(&mut self, count: usize) -> Vec<f32> {
        if count < BLOCK {
            return (0..count).map(|_| self.single() as f32).collect();
        }
        let mut values: Vec<f32> = (0..count).map(|_| self.uniform_f32()).collect();
        for block in values.chunks_exact_mut(BLOCK) {
            box_muller(block);
        }
        if !count.is_multiple_of(BLOCK) {
            let tail = &mut values[count - BLOCK..];
            for value in tail.iter_mut() {
                *value = self.uniform_f32();
            }
            box_muller(tail);
        }
        values
    }

    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for k in 0..WORDS {
            let y = (self.state[k] & 0x8000_0000) | (self.state[(k + 1) % WORDS] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[k] = self.state[(k + SHIFT) % WORDS] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// In `[0, 1)` with 24 bits, exact in f32.
    fn uniform_f32(&mut self) -> f32 {
        (self.word() & 0x00ff_ffff) as f32 / (1u32 << 24) as f32
    }

    /// In `[0, 1)` with 53 bits, of two words, the high one first.
    fn uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.word());
        let low = u64::from(self.word());
        (((high << 32) | low) & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    fn single(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let angle = TAU * self.uniform_f64();
        let radius = (-2.0 * (-self.uniform_f64()).ln_1p()).sqrt();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

/// Turns 16 uniform values into 16 normal ones: the first half gives the radii, the second the angles.
fn box_muller(block: &mut [f32]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (a, b) in radii.iter_mut().zip(angles) {
        let radius = (-2.0 * f64::from(1.0 - *a).ln() as f32).sqrt();
        let angle = f64::from(TAU as f32 * *b);
        *a = radius * angle.cos() as f32;
        *b = radius * angle.sin() as f32;
    }
}
