//! Kernels of our own for the CPU: f32 tensors of Burn's flex backend.
//!
//! The modules below this one know no Burn, except for `tensor`: slices and strides in, vectors out. They are written
//! against `pulp`'s portable vectors, of which the widest that the processor has (AVX-512, AVX2, NEON) is chosen at run
//! time, and share out their work with rayon.
//!
//! The functions here find out whether tensors are for these kernels, and convert. Where they are not (another backend,
//! another type, shapes that do not go together) the caller goes on with Burn's operations, which also know how to
//! report a misfit.

mod attention;
mod matrix;
mod norm;
mod picture;
mod pointwise;
mod simd;
mod tensor;
mod winograd;

use burn::tensor::Tensor;

use self::matrix::{Addend, Filters, Finish, Matrix, Pixels};
use self::pointwise::{Binary, Unary};
use self::tensor::{Contiguous, channels_last, contiguous, data, float, own, picture, primitive, row_major, strides};
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
    if weight.dims()[0] % 2 != 0 {
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
    let [per_out, per_channel] = strides(&weight)?;
    let filters = Filters { data: data(&weight), shape: [outs, channels, 1, 1], strides: [per_out, per_channel, 0, 0] };
    let matrix = Matrix { data: data(&x), columns, stride: strides::<2>(&x)?[0] };
    let out = matrix::product(&matrix, rows, filters, bias.as_ref().map(data), addend, finish);
    let width = match finish {
        Finish::Plain => outs,
        Finish::Gated => outs / 2,
    };
    Some(float(row_major(out, [rows, width])))
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
    let ([batch, channels, height, width], [outs, inputs, down, across]) = (x.dims(), weight.dims());
    if channels != inputs || stride == 0 || bias.is_some_and(|bias| bias.dims() != [outs]) {
        return None;
    }
    let size = |size: usize, kernel: usize| Some((size + 2 * padding).checked_sub(kernel)? / stride + 1);
    let out = [size(height, down)?, size(width, across)?];
    let (x, weight, bias) = (primitive(x)?, primitive(weight)?, contiguous(bias)?);
    let bias = bias.as_ref().map(data);
    let (pixels, shape) = (picture(&x)?, [batch, height, width, channels]);
    let pixels = pixels.channels_last();
    let filters = Filters { data: data(&weight), shape: [outs, inputs, down, across], strides: strides(&weight)? };

    let per_row = match addend {
        Some(addend) if addend.dims() == [batch, outs, out[0], out[1]] => Some(primitive(addend)?),
        _ => None,
    };
    let per_row = per_row.as_ref().map(picture);
    let per_row = match per_row {
        Some(picture) => Some(picture?.channels_last()),
        None => None,
    };
    let per_picture = match addend {
        Some(addend) if per_row.is_none() => {
            let [rows, channels, 1, 1] = addend.dims() else { return None };
            if channels != outs || (rows != batch && rows != 1) {
                return None;
            }
            let values = addend.clone().expand([batch, outs, 1, 1]);
            contiguous(Some(&values))?
        }
        _ => None,
    };
    let addend = match (&per_row, &per_picture) {
        (Some(values), _) => Addend::PerRow(values),
        (None, Some(values)) => Addend::PerPicture { values: data(values), rows: out[0] * out[1] },
        (None, None) => Addend::None,
    };

    let values = if [down, across, stride, padding] == [3, 3, 1, 1] && channels >= 8 && outs >= 8 {
        winograd::conv3x3(&pixels, shape, filters, bias, addend)
    } else {
        let rows = Pixels {
            data: &pixels,
            shape,
            out,
            kernel: [down, across],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
        };
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

/// [`super::add`], or the tensors back: same shape and order in memory.
#[allow(clippy::type_complexity, reason = "both operands come back where the kernel does not take them")]
pub(super) fn add<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Result<Tensor<D>, (Tensor<D>, Tensor<D>)> {
    if a.dims() != b.dims() {
        return Err((a, b));
    }
    let Some(other) = primitive(&b) else { return Err((a, b)) };
    let mut sum = match own(a) {
        Ok(sum) => sum,
        Err(a) => return Err((a, b)),
    };
    match sum.same_order(&other) {
        Some(other) => pointwise::binary(sum.values(), other, Binary::Add),
        None => return Err((sum.into(), b)),
    }
    Ok(sum.into())
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
