//! Kernels of our own for the CPU: f32 tensors of Burn's flex backend.
//!
//! The modules below this one know no Burn: slices and strides in, vectors out. They are written against `pulp`'s
//! portable vectors, of which the widest that the processor has (AVX-512, AVX2, NEON) is chosen at run time, and share
//! out their work with rayon. This one finds out whether a tensor is for them, and converts.

mod attention;
mod simd;

use burn::backend::{
    Flex,
    flex::{FlexTensor, Layout},
};
use burn::tensor::{Bytes, DType, Shape, Tensor};

use super::Mask;

/// The tensor's storage, if it is one for these kernels: f32, on flex.
fn primitive<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    tensor.clone().try_into_primitive::<Flex>().ok()
}

/// A tensor of f32 values in row-major order.
fn row_major(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::from(shape.to_vec())), DType::F32)
}

/// The steps between neighbours along each axis, unless one is negative (a flipped view).
fn strides<const D: usize>(tensor: &FlexTensor) -> Option<[usize; D]> {
    let mut out = [0; D];
    for (to, &from) in out.iter_mut().zip(tensor.layout().strides()) {
        *to = usize::try_from(from).ok()?;
    }
    Some(out)
}

/// The storage from the tensor's first element on.
fn data(tensor: &FlexTensor) -> &[f32] {
    let all: &[f32] = tensor.storage();
    all.get(tensor.layout().start_offset()..).unwrap_or_default()
}

/// [`super::attention`], or nothing if the tensors are not for these kernels.
pub(super) fn attention(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, mask: Mask) -> Option<Tensor<4>> {
    let tensors = [primitive(q)?, primitive(k)?, primitive(v)?];
    let [q, k, v] = [view(&tensors[0], q.dims())?, view(&tensors[1], k.dims())?, view(&tensors[2], v.dims())?];
    let [batch, heads, queries, d] = q.shape;
    let out = row_major(attend(q, k, v, mask)?, &[batch, queries, heads, d]);
    let layout = out.layout().transpose(1, 2);
    Some(Tensor::from_primitive::<Flex>(out.with_layout(layout)))
}

/// [`super::attention_heads`], or nothing if the tensors are not for these kernels.
pub(super) fn attention_heads(q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>, heads: usize, mask: Mask) -> Option<Tensor<3>> {
    let shape = q.dims();
    let tensors = [primitive(q)?, primitive(k)?, primitive(v)?];
    let [q, k, v] = [
        split_heads(&tensors[0], q.dims(), heads)?,
        split_heads(&tensors[1], k.dims(), heads)?,
        split_heads(&tensors[2], v.dims(), heads)?,
    ];
    Some(Tensor::from_primitive::<Flex>(row_major(attend(q, k, v, mask)?, &shape)))
}

fn view(tensor: &FlexTensor, shape: [usize; 4]) -> Option<attention::View<'_>> {
    Some(attention::View { data: data(tensor), shape, strides: strides(tensor)? })
}

fn split_heads(tensor: &FlexTensor, [batch, tokens, width]: [usize; 3], heads: usize) -> Option<attention::View<'_>> {
    let d = width.checked_div(heads).filter(|d| d * heads == width)?;
    let [per_batch, per_token, step] = strides(tensor)?;
    Some(attention::View {
        data: data(tensor),
        shape: [batch, heads, tokens, d],
        strides: [per_batch, d * step, per_token, step],
    })
}

fn attend(q: attention::View<'_>, k: attention::View<'_>, v: attention::View<'_>, mask: Mask) -> Option<Vec<f32>> {
    let [batch, heads, _, d] = q.shape;
    let keys = k.shape[2];
    let fits = k.shape == v.shape && [batch, heads, keys, d] == k.shape && keys > 0;
    fits.then(|| attention::attention(q, k, v, mask == Mask::Causal))
}
