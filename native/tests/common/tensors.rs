//! Tensors in files, read by another reader than the one under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

/// A tensor's shape and values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    /// Lengths of the dimensions.
    pub(crate) shape: Vec<usize>,
    /// The values in row-major order; bytes as 0 to 255.
    pub(crate) values: Vec<f32>,
}

impl Array {
    /// Item `index` along the first dimension.
    #[track_caller]
    pub(crate) fn item(&self, index: usize) -> Self {
        let shape = self.shape[1..].to_vec();
        let length: usize = shape.iter().product();
        Self { values: self.values[index * length..(index + 1) * length].to_vec(), shape }
    }

    /// `||self - reference|| / ||reference||`
    #[track_caller]
    pub(crate) fn relative_error(&self, reference: &Self) -> f64 {
        assert_eq!(self.shape, reference.shape);
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
        let pairs = self.values.iter().zip(&reference.values);
        let difference = square(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
        (difference / square(&mut reference.values.iter().map(|value| f64::from(*value)))).sqrt()
    }

    /// The peak signal-to-noise ratio of pictures with values up to `peak`, in dB.
    #[track_caller]
    pub(crate) fn psnr(&self, reference: &Self, peak: f64) -> f64 {
        assert_eq!(self.shape, reference.shape);
        let pairs = self.values.iter().zip(&reference.values);
        let squares: f64 = pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        10.0 * (peak * peak * self.values.len() as f64 / squares).log10()
    }
}

/// All tensors of a file. f32 and bytes.
#[track_caller]
pub(crate) fn read(path: &Path) -> BTreeMap<String, Array> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let array = |tensor: safetensors::tensor::TensorView<'_>| Array {
        shape: tensor.shape().to_vec(),
        values: match tensor.dtype() {
            Dtype::F32 => tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Dtype::U8 => tensor.data().iter().map(|&byte| byte.into()).collect(),
            other => panic!("{other:?}"),
        },
    };
    file.tensors().into_iter().map(|(name, tensor)| (name, array(tensor))).collect()
}
