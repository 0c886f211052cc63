//! Between Burn's tensors and slices.

use std::borrow::Cow;

use burn::backend::{
    Flex,
    flex::{FlexTensor, Layout},
};
use burn::tensor::{Bytes, DType, Shape, Tensor};

use super::picture::Picture;

/// The tensor's storage, if it is one for these kernels: f32, on flex.
pub(super) fn primitive<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    tensor.clone().try_into_primitive::<Flex>().ok()
}

/// The same for a tensor that there may be, in row-major order. The outer option is whether it is for these kernels.
pub(super) fn contiguous<const D: usize>(tensor: Option<&Tensor<D>>) -> Option<Option<FlexTensor>> {
    match tensor {
        Some(tensor) => Some(Some(in_order(primitive(tensor)?))),
        None => Some(None),
    }
}

fn in_order(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// Two parameters in row-major order.
pub(super) struct Contiguous(pub FlexTensor, pub FlexTensor);

impl Contiguous {
    pub(super) fn pair(a: &Tensor<1>, b: &Tensor<1>) -> Option<Self> {
        Some(Self(in_order(primitive(a)?), in_order(primitive(b)?)))
    }
}

/// The steps between neighbours along each axis, unless one is negative (a flipped view).
pub(super) fn strides<const D: usize>(tensor: &FlexTensor) -> Option<[usize; D]> {
    let mut out = [0; D];
    for (to, &from) in out.iter_mut().zip(tensor.layout().strides()) {
        *to = usize::try_from(from).ok()?;
    }
    Some(out)
}

/// The storage from the tensor's first element on.
pub(super) fn data(tensor: &FlexTensor) -> &[f32] {
    let all: &[f32] = tensor.storage();
    all.get(tensor.layout().start_offset()..).unwrap_or_default()
}

/// A tensor `[batch, channels, height, width]` as a picture.
pub(super) fn picture(tensor: &FlexTensor) -> Option<Picture<'_>> {
    let shape: [usize; 4] = tensor.layout().shape().to_vec().try_into().ok()?;
    Some(Picture { data: data(tensor), shape, strides: strides(tensor)? })
}

/// A tensor of values in row-major order.
pub(super) fn row_major<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::from(shape.to_vec())), DType::F32)
}

/// A picture of the given shape `[batch, channels, height, width]` from values that lie channels-last.
pub(super) fn channels_last(values: Vec<f32>, [batch, channels, height, width]: [usize; 4]) -> Tensor<4> {
    float(row_major(values, [batch, height, width, channels])).permute([0, 3, 1, 2])
}

/// Back to Burn.
pub(super) fn float<const D: usize>(tensor: FlexTensor) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(tensor)
}

/// A residual's pixels, channels-last: the tensor's own, or a copy in that order.
pub(super) struct Residual {
    tensor: FlexTensor,
    copy: Option<Vec<f32>>,
}

impl Residual {
    pub(super) fn new(tensor: FlexTensor) -> Option<Self> {
        let copy = match picture(&tensor)?.channels_last() {
            Cow::Borrowed(_) => None,
            Cow::Owned(copy) => Some(copy),
        };
        Some(Self { tensor, copy })
    }

    pub(super) fn pixels(&self) -> &[f32] {
        self.copy.as_deref().unwrap_or_else(|| data(&self.tensor))
    }
}

/// A tensor whose elements fill a stretch of storage that nobody else has, in some order.
pub(super) struct Owned(FlexTensor);

/// Takes a tensor over, or gives it back.
pub(super) fn own<const D: usize>(tensor: Tensor<D>) -> Result<Owned, Tensor<D>> {
    match primitive(&tensor) {
        Some(mine) if is_dense(&mine) => {
            drop(tensor);
            Ok(Owned::new(mine))
        }
        _ => Err(tensor),
    }
}

impl Owned {
    /// Takes a dense tensor, copying its storage if someone else holds it too.
    pub(super) fn new(tensor: FlexTensor) -> Self {
        if tensor.is_unique() {
            return Self(tensor);
        }
        let count = tensor.layout().num_elements();
        let values = data(&tensor)[..count].to_vec();
        let layout = Layout::new(tensor.layout().shape().clone(), tensor.layout().strides().to_vec(), 0);
        Self(FlexTensor::new(Bytes::from_elems(values), layout, DType::F32))
    }

    /// The elements in the order in which they lie.
    pub(super) fn values(&mut self) -> &mut [f32] {
        let (start, count) = (self.0.layout().start_offset(), self.0.layout().num_elements());
        &mut self.0.storage_mut::<f32>()[start..start + count]
    }
}

/// Whether the elements of both fill stretches of storage in the same order.
pub(super) fn same_order(a: &FlexTensor, b: &FlexTensor) -> bool {
    a.layout().shape() == b.layout().shape() && a.layout().strides() == b.layout().strides() && is_dense(a)
}

impl<const D: usize> From<Owned> for Tensor<D> {
    fn from(tensor: Owned) -> Self {
        float(tensor.0)
    }
}

/// Whether the elements fill a stretch of storage without gaps or repetitions.
fn is_dense(tensor: &FlexTensor) -> bool {
    let mut axes: Vec<(isize, usize)> =
        tensor.layout().strides().iter().copied().zip(tensor.layout().shape().to_vec()).filter(|axis| axis.1 > 1).collect();
    axes.sort_unstable();
    let mut step = 1;
    axes.iter().all(|&(stride, size)| {
        let fits = stride == step;
        step *= size as isize;
        fits
    })
}
