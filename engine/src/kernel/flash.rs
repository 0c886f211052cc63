//! Attention that never writes its scores down (Dao et al., "FlashAttention"), by Burn's kernels for GPUs.
//!
//! Drivers differ, and a wrong kernel gives pictures that are wrong in quiet ways. So each device is put to the test before
//! the first run that is large enough for these kernels ([`trust`]): what agrees there with the plain formula is used, best
//! first, and what does not is not. Without a test they are not used at all.

use std::sync::{PoisonError, RwLock};

use burn::backend::Cube;
use burn::tensor::{DType, Device, Distribution, FloatDType, Tensor};
use burn_cubecl::kernel::attention::flash_attention;
use cubek::attention::forward::launch::{BlueprintStrategy, Strategy};
use cubek::attention::forward::routines::blackbox_accelerated::BlackboxAcceleratedStrategy;

use super::{Mask, attention::chunked};
use crate::readback::floats;

/// Features of a head up to which these kernels are used. They are unrolled over the features: more take drivers long to
/// compile and spill registers. Where Stable Diffusion has more of them, it has few tokens.
const MOST_FEATURES: usize = 64;

/// Features come in vectors of this many.
const VECTOR: usize = 4;

/// Scores per head from which these kernels are used: below, writing them down costs little, and compiling a kernel much.
const LEAST_SCORES: usize = 1 << 20;

/// Matrix units take features by the dozen and four.
const STEP: usize = 16;

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// On matrix units, in f16 with sums in f32.
    Accelerated,
    /// On ordinary ones.
    Unit,
}

impl Way {
    const ALL: [Self; 2] = [Self::Accelerated, Self::Unit];

    fn strategy(self) -> Strategy {
        match self {
            // one block of 16 queries for each of four groups of threads: what suits the shapes of all UNets
            Self::Accelerated => {
                let sizes = BlackboxAcceleratedStrategy { num_planes: 4, seq_q: 1, seq_kv: 1 };
                Strategy::BlackboxAccelerated(BlueprintStrategy::Inferred(sizes))
            }
            Self::Unit => Strategy::Unit(BlueprintStrategy::Inferred(())),
        }
    }

    /// The kernel's answer; `None` if it is not for this device or these shapes.
    fn attention(self, q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>) -> Option<Tensor<4>> {
        let d = q.dims()[3];
        let padded = match self {
            Self::Accelerated => d.next_multiple_of(STEP),
            Self::Unit => d,
        };
        // The kernel divides by the root of the features that it sees.
        let q = if padded == d { q.clone() } else { q.clone() * (padded as f64 / d as f64).sqrt() };
        let primitive = |x: Tensor<4>| {
            let x = if padded == d { x } else { x.pad([(0, padded - d)], burn::tensor::ops::PadMode::Constant(0.0)) };
            x.try_into_primitive::<Cube>().ok()
        };
        let (q, k, v) = (primitive(q)?, primitive(k.clone())?, primitive(v.clone())?);
        let out = flash_attention(q, k, v, None, None, Default::default(), self.strategy()).ok()?;
        let out = Tensor::from_primitive::<Cube>(out);
        Some(if padded == d { out } else { out.narrow(3, 0, d) })
    }
}

/// What has been found out about a device that computes in a type.
struct Finding {
    device: Device,
    dtype: DType,
    agree: Vec<Way>,
}

static FINDINGS: RwLock<Vec<Finding>> = RwLock::new(Vec::new());

fn ways(device: &Device, dtype: DType) -> Option<Vec<Way>> {
    let findings = FINDINGS.read().unwrap_or_else(PoisonError::into_inner);
    findings.iter().find(|finding| finding.device == *device && finding.dtype == dtype).map(|finding| finding.agree.clone())
}

/// Whether attention of this size gains by these kernels.
pub(super) fn is_worth_it(queries: usize, keys: usize, d: usize, mask: Mask) -> bool {
    mask == Mask::None && queries.saturating_mul(keys) >= LEAST_SCORES && d <= MOST_FEATURES && d.is_multiple_of(VECTOR)
}

/// Attention by the best kernel that the device has shown to be right.
pub(super) fn attention(q: &Tensor<4>, k: &Tensor<4>, v: &Tensor<4>, mask: Mask) -> Option<Tensor<4>> {
    let [_, _, queries, d] = q.dims();
    if !is_worth_it(queries, k.dims()[2], d, mask) {
        return None;
    }
    ways(&q.device(), q.dtype())?.into_iter().find_map(|way| way.attention(q, k, v))
}

/// How far a kernel may be from the formula, as a share of the result.
fn tolerance(dtype: FloatDType) -> f32 {
    if dtype == FloatDType::F16 { 5e-3 } else { 1e-4 }
}

/// Puts a device's kernels to the test if attention among so many tokens can use them, once for numbers of this type; those
/// that pass will be used. To compile and to test them takes a while: a second on a GPU, 20 where a processor poses as one.
pub(super) async fn trust(device: &Device, dtype: FloatDType, tokens: usize) {
    let key = DType::from(dtype);
    if tokens.saturating_mul(tokens) < LEAST_SCORES || ways(device, key).is_some() {
        return;
    }
    let mut agree = Vec::new();
    for way in Way::ALL {
        if agrees(way, device, dtype).await {
            agree.push(way);
        }
    }
    FINDINGS.write().unwrap_or_else(PoisonError::into_inner).push(Finding { device: device.clone(), dtype: key, agree });
}

async fn agrees(way: Way, device: &Device, dtype: FloatDType) -> bool {
    // Tokens that fill blocks and tokens that do not; heads lie side by side, as a projection leaves them.
    for (queries, keys) in [(256, 256), (100, 77)] {
        let (heads, d) = (2, 40);
        let tensor = |tokens| {
            let x = Tensor::<3>::random([1, tokens, heads * d], Distribution::Normal(0.0, 1.0), (device, DType::F32));
            x.cast(dtype).reshape([1, tokens, heads, d]).swap_dims(1, 2)
        };
        let (q, k, v) = (tensor(queries), tensor(keys), tensor(keys));
        let Some(found) = way.attention(&q, &k, &v) else { return false };
        let expected = chunked(q, k, v, Mask::None, usize::MAX);
        let (Ok(found), Ok(expected)) = (floats(found).await, floats(expected).await) else { return false };
        let size = expected.values.iter().map(|x| x * x).sum::<f32>();
        let off = found.values.iter().zip(&expected.values).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        // Written so that what is not a number is no agreement.
        let is_near = (off / size).sqrt() < tolerance(dtype);
        if !is_near || found.shape != expected.shape {
            return false;
        }
    }
    true
}
