//! Kernels of our own for the CPU: f32 tensors of Burn's flex backend.
//!
//! The modules below this one know no Burn, except for `tensor`: slices and strides in, vectors out. They are written
//! against `pulp`'s portable vectors, of which the widest that the processor has (AVX-512, AVX2, NEON) is chosen at run
//! time, and share out their work with rayon.
//!
//! The functions here find out whether tensors are for these kernels, and convert. Where they are not (another backend,
//! another type, shapes that do not go together) the caller goes on with Burn's operations, which also know how to
//! report a misfit.

#![allow(clippy::result_large_err, reason = "what is handed back is the tensor itself, to go another way")]

mod attention;
mod matrix;
mod norm;
mod picture;
mod pointwise;
mod simd;
mod tensor;
mod winograd;

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::Tensor;

use self::matrix::{Addend, Filters, Finish, Matrix, Pixels};
use self::pointwise::Unary;
use self::tensor::{
    Contiguous, Owned, Residual, channels_last, contiguous, data, float, own, picture, primitive, row_major, same_order, strides,
};
use super::{Mask, Then};

/// [`super::attention`]
pub(super) fn attention(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, mask: Mask) -> Option<Tensor<4>> {
    let shapes = [q.dims(), k.dims(), v.dims()];
    let [q, k, v] = [primitive(q)?, primitive(k)?, primitive(v)?];
    let mut views = [None; 3];
    for ((view, tensor), shape) in views.iter_mut().zip([&q, &k, &v]).zip(shapes) {
        *view = Some(attention::View { data: data(tensor), shape, strides: strides(tensor)? });
    }
    let [q, k, v] = views;
    let out = attend(q?, k?, v?, mask)?;
    let [batch, heads, queries, d] = shapes[0];
    Some(float(row_major(out, [batch, queries, heads, d])).swap_dims(1, 2))
}

/// [`super::attention_heads`]
pub(super) fn attention_heads(q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>, heads: usize, mask: Mask) -> Option<Tensor<3>> {
    let shapes = [q.dims(), k.dims(), v.dims()];
    let [q, k, v] = [primitive(q)?, primitive(k)?, primitive(v)?];
    let mut views = [None; 3];
    for ((view, tensor), [batch, tokens, width]) in views.iter_mut().zip([&q, &k, &v]).zip(shapes) {
        let d = width.checked_div(heads).filter(|d| d * heads == width)?;
        let [per_batch, per_token, step] = strides(tensor)?;
        let shape = [batch, heads, tokens, d];
        *view = Some(attention::View { data: data(tensor), shape, strides: [per_batch, d * step, per_token, step] });
    }
    let [q, k, v] = views;
    Some(float(row_major(attend(q?, k?, v?, mask)?, shapes[0])))
}

fn attend(q: attention::View<'_>, k: attention::View<'_>, v: attention::View<'_>, mask: Mask) -> Option<Vec<f32>> {
    let [batch, heads, _, d] = q.shape;
    let keys = k.shape[2];
    let fits = k.shape == v.shape && [batch, heads, keys, d] == k.shape && keys > 0;
    fits.then(|| attention::attention(q, k, v, mask == Mask::Causal))
}

/// [`super::linear`]
pub(super) fn linear(
    x: &Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    addend: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let [rows, outs] = [x.dims()[0], weight.dims()[0]];
    if addend.is_some_and(|addend| addend.dims() != [rows, outs]) {
        return None;
    }
    let addend = contiguous(addend)?;
    let addend = addend.as_ref().map_or(Addend::None, |addend| Addend::PerRow(data(addend)));
    matrix_product(x, weight, bias, addend, Finish::Plain)
}

/// [`super::linear_geglu`]
pub(super) fn linear_geglu(x: &Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Option<Tensor<2>> {
    if !weight.dims()[0].is_multiple_of(2) {
        return None;
    }
    matrix_product(x, weight, bias, Addend::None, Finish::Gated)
}

fn matrix_product(
    x: &Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    addend: Addend<'_>,
    finish: Finish,
) -> Option<Tensor<2>> {
    let ([rows, columns], [outs, channels]) = (x.dims(), weight.dims());
    if columns != channels || bias.is_some_and(|bias| bias.dims() != [outs]) {
        return None;
    }
    let (mut x, weight, bias) = (primitive(x)?, primitive(weight)?, contiguous(bias)?);
    if strides::<2>(&x)?[1] != 1 {
        x = x.to_contiguous();
    }
    let matrix = Matrix { data: data(&x), columns, stride: strides::<2>(&x)?[0] };
    let out = matrix::product(&matrix, rows, linear_filters(&weight)?, bias.as_ref().map(data), addend, finish);
    let width = match finish {
        Finish::Plain => outs,
        Finish::Gated => outs / 2,
    };
    Some(float(row_major(out, [rows, width])))
}

/// [`super::pixels_to_tokens`]
pub(super) fn pixels_to_tokens(x: &Tensor<4>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Option<Tensor<3>> {
    let (x, weight) = (primitive(x)?, primitive(weight)?);
    let out = convolve(&x, linear_filters(&weight)?, bias, [1, 0], None)?;
    let [batch, outs, height, width] = out.dims();
    Some(out.permute([0, 2, 3, 1]).reshape([batch, height * width, outs]))
}

/// [`super::tokens_to_pixels`]
pub(super) fn tokens_to_pixels(
    x: &Tensor<3>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    [height, width]: [usize; 2],
    addend: Option<&Tensor<4>>,
) -> Option<Tensor<4>> {
    let [batch, tokens, channels] = x.dims();
    if tokens != height * width {
        return None;
    }
    let (x, weight) = (float::<3>(primitive(x)?), primitive(weight)?);
    let x = x.reshape([batch, height, width, channels]).permute([0, 3, 1, 2]);
    convolve(&primitive(&x)?, linear_filters(&weight)?, bias, [1, 0], addend)
}

/// [`super::conv2d`]
pub(super) fn conv2d(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: Option<&Tensor<1>>,
    stride: usize,
    padding: usize,
    addend: Option<&Tensor<4>>,
) -> Option<Tensor<4>> {
    let (x, shape, weight) = (primitive(x)?, weight.dims(), primitive(weight)?);
    let filters = Filters { data: data(&weight), shape, strides: strides(&weight)? };
    convolve(&x, filters, bias, [stride, padding], addend)
}

/// A linear map's weight `[out, in]` as filters of a 1x1 convolution.
fn linear_filters(weight: &FlexTensor) -> Option<Filters<'_>> {
    let [outs, channels]: [usize; 2] = weight.layout().shape().to_vec().try_into().ok()?;
    let [per_out, per_channel] = strides(weight)?;
    Some(Filters { data: data(weight), shape: [outs, channels, 1, 1], strides: [per_out, per_channel, 0, 0] })
}

fn convolve(
    x: &FlexTensor,
    filters: Filters<'_>,
    bias: Option<&Tensor<1>>,
    [stride, padding]: [usize; 2],
    addend: Option<&Tensor<4>>,
) -> Option<Tensor<4>> {
    let x = picture(x)?;
    let ([batch, channels, height, width], [outs, inputs, down, across]) = (x.shape, filters.shape);
    if channels != inputs || stride == 0 || bias.is_some_and(|bias| bias.dims() != [outs]) {
        return None;
    }
    let size = |size: usize, kernel: usize| Some((size + 2 * padding).checked_sub(kernel)? / stride + 1);
    let out = [size(height, down)?, size(width, across)?];
    let bias = contiguous(bias)?;
    let bias = bias.as_ref().map(data);
    // the addend's storage has to live as long as the slice that is taken from it
    let (residual, shift);
    let addend = match addend {
        None => Addend::None,
        Some(addend) if addend.dims() == [batch, outs, out[0], out[1]] => {
            let tensor = primitive(addend)?;
            residual = Residual::new(tensor)?;
            Addend::PerRow(residual.pixels())
        }
        Some(addend) => {
            let [rows, channels, 1, 1] = addend.dims() else { return None };
            if channels != outs || (rows != batch && rows != 1) {
                return None;
            }
            shift = contiguous(Some(&addend.clone().expand([batch, outs, 1, 1])))??;
            Addend::PerPicture { values: data(&shift), rows: out[0] * out[1] }
        }
    };
    let (pixels, shape) = (x.channels_last(), [batch, height, width, channels]);
    // transforms pay off where there are channels enough to share them
    let values = if [down, across, stride, padding] == [3, 3, 1, 1] && channels >= 8 && outs >= 8 {
        winograd::conv3x3(&pixels, shape, filters, bias, addend)
    } else {
        let (kernel, stride, padding) = ([down, across], [stride; 2], [padding; 2]);
        let rows = Pixels { data: &pixels, shape, out, kernel, stride, padding };
        matrix::product(&rows, batch * out[0] * out[1], filters, bias, addend, Finish::Plain)
    };
    Some(channels_last(values, [batch, outs, out[0], out[1]]))
}

/// [`super::group_norm`]
pub(super) fn group_norm(
    x: &Tensor<4>,
    weight: &Tensor<1>,
    bias: &Tensor<1>,
    groups: usize,
    epsilon: f64,
    then: Then,
) -> Option<Tensor<4>> {
    let shape = x.dims();
    let [batch, channels, height, width] = shape;
    if groups == 0 || channels % groups != 0 || weight.dims() != [channels] || bias.dims() != [channels] {
        return None;
    }
    let Contiguous(weight, bias) = Contiguous::pair(weight, bias)?;
    let norm = norm::Group {
        weight: data(&weight),
        bias: data(&bias),
        groups,
        epsilon,
        then: match then {
            Then::Nothing => norm::Then::Nothing,
            Then::Silu => norm::Then::Silu,
        },
    };
    let x = primitive(x)?;
    let out = norm::group_norm(&picture(&x)?.channels_last(), [batch, height * width, channels], norm);
    Some(channels_last(out, shape))
}

/// [`super::layer_norm`]
pub(super) fn layer_norm<const D: usize>(x: &Tensor<D>, weight: &Tensor<1>, bias: &Tensor<1>, epsilon: f64) -> Option<Tensor<D>> {
    let shape = x.dims();
    let channels = *shape.last()?;
    if weight.dims() != [channels] || bias.dims() != [channels] {
        return None;
    }
    let Contiguous(weight, bias) = Contiguous::pair(weight, bias)?;
    let x = contiguous(Some(x))??;
    let count = shape.iter().product();
    let out = norm::layer_norm(data(&x).get(..count)?, data(&weight), Some(data(&bias)), epsilon);
    Some(float(row_major(out, shape)))
}

/// [`super::silu`], or the tensor back.
pub(super) fn silu<const D: usize>(x: Tensor<D>) -> Result<Tensor<D>, Tensor<D>> {
    unary(x, Unary::Swish(1.0))
}

/// [`super::quick_gelu`], or the tensor back.
pub(super) fn quick_gelu<const D: usize>(x: Tensor<D>) -> Result<Tensor<D>, Tensor<D>> {
    unary(x, Unary::Swish(1.702))
}

/// [`super::gelu`], or the tensor back.
pub(super) fn gelu<const D: usize>(x: Tensor<D>) -> Result<Tensor<D>, Tensor<D>> {
    unary(x, Unary::Gelu)
}

fn unary<const D: usize>(x: Tensor<D>, f: Unary) -> Result<Tensor<D>, Tensor<D>> {
    let mut x = own(x)?;
    pointwise::unary(x.values(), f);
    Ok(x.into())
}

/// [`super::add`], or the tensors back, unless they have the same shape and order in memory.
#[allow(clippy::type_complexity, reason = "both operands come back where the kernel does not take them")]
pub(super) fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Result<Tensor<D>, (Tensor<D>, Tensor<D>)> {
    let (Some(mut x), Some(mut y)) = (primitive(&a), primitive(&b)) else { return Err((a, b)) };
    if a.dims() != b.dims() || !same_order(&x, &y) {
        return Err((a, b));
    }
    // the sum goes where nobody else looks
    drop((a, b));
    if !x.is_unique() && y.is_unique() {
        (x, y) = (y, x);
    }
    let mut sum = Owned::new(x);
    pointwise::add(sum.values(), data(&y));
    Ok(sum.into())
}

/// [`super::stored_weight`]
pub(super) fn stored_weight<const D: usize>(weight: &Tensor<D>) -> Option<Tensor<D>> {
    let tensor = primitive(weight)?;
    let filters = match D {
        2 => linear_filters(&tensor)?,
        4 => {
            Filters { data: data(&tensor), shape: tensor.layout().shape().to_vec().try_into().ok()?, strides: strides(&tensor)? }
        }
        _ => return None,
    };
    let [outs, channels, height, width] = filters.shape;
    let arranged = row_major(filters.arranged(), [channels, height, width, outs]);
    let layout = arranged.layout().permute(&[3, 0, 1, 2]);
    let layout = Layout::new(tensor.layout().shape().clone(), layout.strides()[..D].to_vec(), 0);
    Some(float(arranged.with_layout(layout)))
}

/// [`super::nearest`]
pub(super) fn nearest(x: &Tensor<4>, size: [usize; 2]) -> Option<Tensor<4>> {
    let [batch, channels, height, width] = x.dims();
    let x = primitive(x)?;
    let out = picture::nearest(&picture(&x)?.channels_last(), [batch, height, width, channels], size);
    Some(channels_last(out, [batch, channels, size[0], size[1]]))
}

/// [`super::concat_channels`]
pub(super) fn concat_channels(a: &Tensor<4>, b: &Tensor<4>) -> Option<Tensor<4>> {
    let ([batch, first, height, width], [b_batch, second, b_height, b_width]) = (a.dims(), b.dims());
    if [batch, height, width] != [b_batch, b_height, b_width] {
        return None;
    }
    let (a, b) = (primitive(a)?, primitive(b)?);
    let out = picture::concat(&picture(&a)?.channels_last(), first, &picture(&b)?.channels_last(), second);
    Some(channels_last(out, [batch, first + second, height, width]))
}
