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
        _ => return None,
    })
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
