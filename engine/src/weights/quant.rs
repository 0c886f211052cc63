//! Weights in 8 or 4 bits: blocks of 32 neighbours that share a scale.
//!
//! A block's numbers are whole multiples of its scale, which is an f16: `value = code x scale`. With 8 bits, codes are -127
//! to 127 and a weight takes 8.5 bits; with 4 bits, codes are -8 to 7 and a weight takes 4.5. Blocks run over the numbers
//! in their order in the tensor, whatever its shape; the last may be shorter. These are the simplest of the layouts that
//! GGML made common (`q8_0` and `q4_0`, <https://github.com/ggml-org/ggml>), with codes and scales in tensors of their own.

use std::fmt;
use std::str::FromStr;

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use super::convert::aligned;

/// Numbers that share a scale.
pub const BLOCK: usize = 32;

/// How many bits a code has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quant {
    /// 8: signed bytes.
    Q8,
    /// 4: two codes in a byte, the first in the lower half, each with 8 added.
    Q4,
}

/// A scale that no f16 holds: the numbers are too large, or no numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has values that are not finite, or too large for a scale in f16")]
pub struct Unquantisable;

/// A tensor's codes and scales, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quantised {
    /// The codes.
    pub codes: Vec<u8>,
    /// The scales: little-endian f16, one per block.
    pub scales: Vec<u8>,
}

impl Quant {
    /// Its name in files and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8 => "Q8",
            Self::Q4 => "Q4",
        }
    }

    /// Bytes of the codes of so many numbers.
    pub fn code_bytes(self, elements: u64) -> u64 {
        match self {
            Self::Q8 => elements,
            Self::Q4 => elements.div_ceil(2),
        }
    }

    /// Bytes of their scales.
    pub fn scale_bytes(self, elements: u64) -> u64 {
        elements.div_ceil(BLOCK as u64) * 2
    }

    /// Rounds numbers to codes and scales.
    ///
    /// # Errors
    /// If a number is not finite, or beyond what the scale can express.
    pub fn encode(self, values: &[f32]) -> Result<Quantised, Unquantisable> {
        let blocks = values.len().div_ceil(BLOCK);
        let mut scales = Vec::with_capacity(blocks);
        let mut codes = Vec::with_capacity(values.len());
        for block in values.chunks(BLOCK) {
            // (`max` passes over NaN; the sum does not.)
            if !block.iter().sum::<f32>().is_finite() {
                return Err(Unquantisable);
            }
            let scale = match self {
                Self::Q8 => f16::from_f32(magnitude(block) / 127.0),
                Self::Q4 => q4_scale(block),
            };
            if !scale.is_finite() {
                return Err(Unquantisable);
            }
            scales.push(scale);
            let inverse = inverse(scale);
            match self {
                Self::Q8 => codes.extend(block.iter().map(|value| (value * inverse).round().clamp(-127.0, 127.0) as i8 as u8)),
                Self::Q4 => codes.extend(block.chunks(2).map(|pair| {
                    let code = |value: f32| (nibble(value, inverse) + 8.0) as u8;
                    let low = pair.first().copied().map_or(0, code);
                    low | pair.get(1).copied().map_or(0, code) << 4
                })),
            }
        }
        Ok(Quantised { codes, scales: scales.iter().flat_map(|scale| scale.to_le_bytes()).collect() })
    }

    /// The numbers that codes and scales stand for; `elements` of them at most.
    pub fn decode(self, codes: &[u8], scales: &[u8], elements: usize) -> Vec<f32> {
        let scales = aligned::<u16>(scales).reinterpret_cast::<f16>().to_f32_vec();
        let mut values = Vec::with_capacity(elements);
        match self {
            Self::Q8 => {
                for (block, scale) in codes.chunks(BLOCK).zip(scales) {
                    values.extend(block.iter().map(|code| f32::from(*code as i8) * scale));
                }
            }
            Self::Q4 => {
                for (block, scale) in codes.chunks(BLOCK / 2).zip(scales) {
                    let value = |code: u8| (f32::from(code) - 8.0) * scale;
                    values.extend(block.iter().flat_map(|pair| [value(pair & 15), value(pair >> 4)]));
                }
            }
        }
        values.truncate(elements);
        values
    }
}

/// The largest magnitude.
fn magnitude(block: &[f32]) -> f32 {
    block.iter().fold(0.0, |most: f32, value| most.max(value.abs()))
}

fn inverse(scale: f16) -> f32 {
    if scale == f16::ZERO { 0.0 } else { scale.to_f32().recip() }
}

fn nibble(value: f32, inverse: f32) -> f32 {
    (value * inverse).round().clamp(-8.0, 7.0)
}

/// How far a scale is tried away from the one that expresses the largest number exactly: with 16 steps, cutting that
/// number off a little often serves the others.
const TRIALS: [f32; 7] = [1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 1.04];

/// The scale with the least squared error among a few.
fn q4_scale(block: &[f32]) -> f16 {
    let signed = block.iter().copied().fold(0.0, |most: f32, value| if value.abs() > most.abs() { value } else { most });
    // The code -8 has no counterpart: whichever sign the largest number has, it is the one that -8 stands for.
    let exact = signed / -8.0;
    let error = |scale: f16| {
        let (inverse, scale) = (inverse(scale), scale.to_f32());
        block.iter().map(|value| (nibble(*value, inverse) * scale - value).powi(2)).sum::<f32>()
    };
    let scales = TRIALS.iter().map(|factor| f16::from_f32(exact * factor));
    let tried = scales.map(|scale| (error(scale), scale));
    tried.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(f16::ZERO, |(_, scale)| scale)
}

impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Quant {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::Q8, Self::Q4].into_iter().find(|quant| quant.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as weights are: many small, few large.
    fn weights(count: usize) -> Vec<f32> {
        (0..count as u32).map(|i| ((i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5).powi(3)).collect()
    }

    #[test]
    fn numbers_come_back_within_half_a_step() {
        for (quant, steps) in [(Quant::Q8, 127.0), (Quant::Q4, 7.0)] {
            for count in [1, 2, 31, 32, 33, 64, 1001] {
                let values = weights(count);
                let packed = quant.encode(&values).unwrap();
                assert_eq!(packed.codes.len() as u64, quant.code_bytes(count as u64), "{quant}, {count}");
                assert_eq!(packed.scales.len() as u64, quant.scale_bytes(count as u64), "{quant}, {count}");
                let back = quant.decode(&packed.codes, &packed.scales, count);
                assert_eq!(back.len(), count);
                for (block, back) in values.chunks(BLOCK).zip(back.chunks(BLOCK)) {
                    // Q4 may cut the largest number off by a fifth.
                    let bound = magnitude(block) * if quant == Quant::Q8 { 0.502 / steps } else { 0.21 };
                    let worst = block.iter().zip(back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(worst <= bound, "{quant}, {count}: {worst} > {bound}");
                }
            }
        }
    }

    #[test]
    fn odd_numbers() {
        for quant in [Quant::Q8, Quant::Q4] {
            let zeros = quant.encode(&[0.0; 40]).unwrap();
            assert_eq!(quant.decode(&zeros.codes, &zeros.scales, 40), [0.0; 40], "{quant}");
            for wrong in [f32::NAN, f32::INFINITY, -1e30] {
                assert_eq!(quant.encode(&[1.0, wrong]), Err(Unquantisable), "{quant} of {wrong}");
            }
            // Multiples of one number are exact.
            let exact: Vec<f32> = (-7..=7).map(|i| i as f32 * 0.25).chain([-2.0]).collect();
            let packed = quant.encode(&exact).unwrap();
            let back = quant.decode(&packed.codes, &packed.scales, exact.len());
            let error = exact.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < if quant == Quant::Q8 { 0.01 } else { 1e-6 }, "{quant}: {back:?}");
        }
    }
}
