//! From the bytes of a file to numbers of the type that a module computes in.

use std::borrow::Cow;

use burn::tensor::{DType, FloatDType, TensorData};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

use super::header::Dtype;

#[cfg(not(target_endian = "little"))]
compile_error!("safetensors files are little-endian, and the numbers are read in place");

/// The element type that a float parameter gets on the device. `F64` and `Flex32` are computed as f32 here.
pub(super) fn target(dtype: FloatDType) -> DType {
    match dtype {
        FloatDType::F16 => DType::F16,
        FloatDType::BF16 => DType::BF16,
        FloatDType::F32 | FloatDType::F64 | FloatDType::Flex32 => DType::F32,
    }
}

/// The numbers of a tensor as f32; `None` where `from` is no floating-point type.
///
/// `bytes` holds whole elements: the header has been checked.
pub(super) fn wide(bytes: &[u8], from: Dtype) -> Option<Vec<f32>> {
    Some(match from {
        Dtype::F32 => aligned::<f32>(bytes).into_owned(),
        Dtype::F16 => aligned::<u16>(bytes).reinterpret_cast::<f16>().to_f32_vec(),
        Dtype::BF16 => aligned::<u16>(bytes).reinterpret_cast::<bf16>().to_f32_vec(),
        Dtype::F64 => aligned::<f64>(bytes).iter().map(|value| *value as f32).collect(),
        Dtype::F8E4M3 => eights(bytes, e4m3),
        Dtype::F8E5M2 => eights(bytes, e5m2),
        _ => return None,
    })
}

/// Numbers of 8 bits, by a table of all there are.
fn eights(bytes: &[u8], value: fn(u8) -> f32) -> Vec<f32> {
    let table: Vec<f32> = (0..=u8::MAX).map(value).collect();
    bytes.iter().filter_map(|byte| table.get(usize::from(*byte)).copied()).collect()
}

/// 4 bits of exponent and 3 of fraction; there are no infinities, and all ones are no number (Micikevicius et al. 2022,
/// <https://arxiv.org/abs/2209.05433>; PyTorch's `float8_e4m3fn`).
fn e4m3(byte: u8) -> f32 {
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    sign * match (byte & 0x7f, exponent) {
        (0x7f, _) => f32::NAN,
        (_, 0) => fraction * 2f32.powi(-9),
        _ => (1.0 + fraction / 8.0) * 2f32.powi(exponent - 7),
    }
}

/// The upper half of an f16 (PyTorch's `float8_e5m2`).
fn e5m2(byte: u8) -> f32 {
    f16::from_bits(u16::from(byte) << 8).to_f32()
}

/// The nearest f16 of each number.
pub(super) fn halves(wide: &[f32]) -> Vec<f16> {
    let mut narrow = vec![f16::ZERO; wide.len()];
    narrow.convert_from_f32_slice(wide);
    narrow
}

/// The nearest bf16 of each number.
pub(super) fn brain_halves(wide: &[f32]) -> Vec<bf16> {
    let mut narrow = vec![bf16::ZERO; wide.len()];
    narrow.convert_from_f32_slice(wide);
    narrow
}

/// Numbers for the device.
pub(super) fn tensor(wide: Vec<f32>, to: DType, shape: Vec<usize>) -> TensorData {
    match to {
        DType::F16 => TensorData::new(halves(&wide), shape),
        DType::BF16 => TensorData::new(brain_halves(&wide), shape),
        _ => TensorData::new(wide, shape),
    }
}

/// The elements of `rows` rows and `columns` columns, column by column.
pub(super) fn transposed(bytes: &[u8], rows: usize, columns: usize) -> Vec<u8> {
    let size = bytes.len().checked_div(rows.saturating_mul(columns)).unwrap_or(0).max(1);
    let mut turned = Vec::with_capacity(bytes.len());
    for column in 0..columns {
        for row in bytes.chunks_exact(size.saturating_mul(columns)) {
            turned.extend_from_slice(row.get(column * size..(column + 1) * size).unwrap_or_default());
        }
    }
    turned
}

/// The bytes as numbers: in place where they are aligned (a mapped file's nearly always are), copied otherwise.
pub(super) fn aligned<T: bytemuck::Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(values) => Cow::Borrowed(values),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_eight_bits() {
        // As PyTorch 2.11 reads them.
        for (dtype, pairs) in [
            (
                Dtype::F8E4M3,
                &[
                    (0x00, 0.0),
                    (0x01, 0.001_953_125),
                    (0x07, 0.013_671_875),
                    (0x08, 0.015_625),
                    (0x38, 1.0),
                    (0xb9, -1.125),
                    (0x7e, 448.0),
                ][..],
            ),
            (
                Dtype::F8E5M2,
                &[(0x00, 0.0), (0x01, 1.525_878_9e-5), (0x3c, 1.0), (0xbd, -1.25), (0x7b, 57344.0), (0x7c, f32::INFINITY)],
            ),
        ] {
            for (byte, expected) in pairs {
                assert_eq!(wide(&[*byte], dtype), Some(vec![*expected]), "{byte:#x} in {dtype}");
            }
            assert!(wide(&[0x7f], dtype).is_some_and(|values| values.iter().all(|value| value.is_nan())));
        }
    }
}
