//! Reading reference tensors, and saying how far from them we are.
//!
//! The golden files are read with the `safetensors` crate, not with the engine's own reader: a test should not
//! lean on what it tests.

use std::path::PathBuf;

use burn::tensor::{Device, Int, Tensor, TensorData};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// The folder of golden data in the repository.
pub fn golden_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens")
}

/// `golden/<name>.json`: prompts, seeds, configurations and the reference's own rounding noise.
pub fn golden_json(name: &str) -> serde_json::Value {
    let path = golden_dir().join("golden").join(format!("{name}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A file of named reference tensors.
pub struct Goldens {
    name: String,
    bytes: Vec<u8>,
}

impl Goldens {
    /// Opens `golden/<name>.safetensors`.
    pub fn open(name: &str) -> Self {
        Self::open_path(&format!("golden/{name}.safetensors"))
    }

    /// Opens any safetensors file below the golden folder.
    pub fn open_path(path: &str) -> Self {
        let full = golden_dir().join(path);
        let bytes = std::fs::read(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()));
        Self { name: path.to_owned(), bytes }
    }

    fn with<T>(&self, tensor: &str, read: impl FnOnce(TensorView<'_>) -> T) -> T {
        let file = SafeTensors::deserialize(&self.bytes).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let view = file.tensor(tensor).unwrap_or_else(|e| panic!("{}: {tensor}: {e}", self.name));
        read(view)
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let mut names: Vec<String> = file.names().iter().map(|s| s.to_string()).collect();
        names.sort();
        names
    }

    /// Whether the file has a tensor of that name.
    pub fn has(&self, tensor: &str) -> bool {
        self.names().iter().any(|n| n == tensor)
    }

    /// The tensor's shape.
    pub fn shape(&self, tensor: &str) -> Vec<usize> {
        self.with(tensor, |v| v.shape().to_vec())
    }

    /// The tensor's values in row-major order, whatever their type in the file.
    pub fn values(&self, tensor: &str) -> Vec<f64> {
        self.with(tensor, |v| {
            let data = v.data();
            match v.dtype() {
                Dtype::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
                Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
                Dtype::F16 => data.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
                Dtype::BF16 => data.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
                Dtype::I64 => data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
                Dtype::I32 => data.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
                Dtype::U8 => data.iter().map(|b| *b as f64).collect(),
                other => panic!("{}: {tensor} is {other:?}", self.name),
            }
        })
    }

    /// The tensor's values as f32.
    pub fn f32(&self, tensor: &str) -> Vec<f32> {
        self.values(tensor).into_iter().map(|v| v as f32).collect()
    }

    /// The tensor's values as integers.
    pub fn ints(&self, tensor: &str) -> Vec<i64> {
        self.values(tensor).into_iter().map(|v| v as i64).collect()
    }

    /// The tensor on a device, in f32.
    pub fn tensor<const D: usize>(&self, tensor: &str, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.f32(tensor), self.shape(tensor)), device)
    }

    /// The tensor on a device, as integers.
    pub fn int_tensor<const D: usize>(&self, tensor: &str, device: &Device) -> Tensor<D, Int> {
        let values: Vec<i32> = self.ints(tensor).into_iter().map(|v| v as i32).collect();
        Tensor::from_data(TensorData::new(values, self.shape(tensor)), device)
    }

    /// Asserts that `actual` has the shape of the reference `tensor` and that its relative error is below `tolerance`.
    #[track_caller]
    pub fn check<const D: usize>(&self, tensor: &str, actual: Tensor<D>, tolerance: f64) {
        assert_eq!(actual.dims().to_vec(), self.shape(tensor), "{}: shape of {tensor}", self.name);
        let what = format!("{}: {tensor}", self.name);
        assert_close(&what, &to_f64(actual), &self.values(tensor), tolerance);
    }
}

/// A tensor's values in row-major order.
pub fn to_f64<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_into_vec::<f64>().unwrap()
}

/// `||actual - expected|| / ||expected||`; infinite where a value is not finite or the lengths differ.
pub fn relative_error(actual: &[f64], expected: &[f64]) -> f64 {
    if actual.len() != expected.len() {
        return f64::INFINITY;
    }
    let difference: f64 = actual.iter().zip(expected).map(|(a, e)| (a - e).powi(2)).sum();
    let norm: f64 = expected.iter().map(|e| e * e).sum();
    let error = (difference / norm.max(f64::MIN_POSITIVE)).sqrt();
    if error.is_finite() { error } else { f64::INFINITY }
}

/// Asserts a relative error below `tolerance`; prints what was measured (shown by `--nocapture`).
#[track_caller]
pub fn assert_close(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    let error = relative_error(actual, expected);
    println!("{what}: relative error {error:.2e}");
    assert!(error < tolerance, "{what}: relative error {error:.3e}, allowed {tolerance:.0e}");
}
