//! The only place that waits for the device.
//!
//! Burn queues work and returns at once; reading a tensor back is what waits. In a browser waiting means awaiting, so
//! everything here is async, and the rest of the engine is not.

use burn::tensor::{DType, Tensor};

/// A tensor's numbers on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Floats {
    /// Lengths of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The values in row-major order.
    pub values: Vec<f32>,
}

impl Floats {
    /// Whether all values are finite.
    pub fn are_finite(&self) -> bool {
        self.values.iter().all(|value| value.is_finite())
    }

    /// The values of item `index` along the first dimension; empty if there is none.
    pub fn item(&self, index: usize) -> &[f32] {
        let length: usize = self.shape.iter().skip(1).product();
        let start = index.saturating_mul(length);
        self.values.get(start..start.saturating_add(length)).unwrap_or_default()
    }
}

/// The device failed before a result could be read.
#[derive(Debug, thiserror::Error)]
#[error("the device gave up: {0}; smaller or fewer pictures need less memory")]
pub struct ReadbackError(pub String);

/// Waits for a tensor and copies it to the host, as f32.
pub async fn floats<const D: usize>(tensor: Tensor<D>) -> Result<Floats, ReadbackError> {
    let data = tensor.into_data_async().await.map_err(|error| ReadbackError(error.to_string()))?;
    let shape = data.shape().as_slice().to_vec();
    let values = data.convert_dtype(DType::F32).try_into_vec::<f32>().map_err(|error| ReadbackError(format!("{error:?}")))?;
    Ok(Floats { shape, values })
}
