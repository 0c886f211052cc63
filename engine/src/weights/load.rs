//! Filling a module from a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, FloatDType, Tensor};

use super::checkpoint::{Checkpoint, Stored};
use super::convert;
use super::encoding::Encoding;
use super::names::{KeyMap, Parameter, ParameterPath, Place, parameters};
use super::numbers::Numbers;
use super::quant::BLOCK;
use super::source::SourceError;

/// Why weights do not go into a module.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The checkpoint's tensors are not the module's parameters.
    #[error("{}", describe(.component, .missing, .unexpected, .misshaped))]
    Mismatch {
        /// Which part of the model, as in `unet`.
        component: String,
        /// Parameters that the checkpoint lacks, by the module's names.
        missing: Vec<String>,
        /// Tensors that the module has no place for.
        unexpected: Vec<String>,
        /// Tensors of another shape or type.
        misshaped: Vec<MisShaped>,
    },
    /// A tensor's bytes cannot be read.
    #[error("{component}: tensor `{tensor}`: {error}")]
    Source {
        /// Which part of the model.
        component: String,
        /// The tensor.
        tensor: String,
        /// What failed.
        error: SourceError,
    },
}

/// A tensor that does not fit its parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MisShaped {
    /// The tensor's name in the checkpoint.
    pub name: String,
    /// The parameter's shape.
    pub expected: Vec<usize>,
    /// The tensor's shape.
    pub found: Vec<usize>,
    /// How its numbers are written.
    pub encoding: Encoding,
}

/// How many names of a kind a message lists; the error itself has all of them.
const LISTED: usize = 100;

fn describe(component: &str, missing: &[String], unexpected: &[String], misshaped: &[MisShaped]) -> String {
    let mut text =
        format!("{component}: the weights do not fit the configuration (is this the `config.json` that came with them?)");
    let mut section = |title: &str, names: Vec<String>| {
        if names.is_empty() {
            return;
        }
        let _ = write!(text, "\n  {title} ({}):", names.len());
        for name in names.iter().take(LISTED) {
            let _ = write!(text, "\n    {name}");
        }
        if names.len() > LISTED {
            let _ = write!(text, "\n    and {} more", names.len() - LISTED);
        }
    };
    section("missing", missing.to_vec());
    section("unexpected", unexpected.to_vec());
    let line = |m: &MisShaped| {
        if m.encoding.is_float() {
            format!("{}: {:?} in the file, {:?} in the model", m.name, m.found, m.expected)
        } else {
            format!("{}: {} in the file; weights are F16, BF16, F32, F64, F8_E4M3 or F8_E5M2", m.name, m.encoding)
        }
    };
    section("of another shape or type", misshaped.iter().map(line).collect());
    text
}

/// Fills `module` from `checkpoint`, as numbers of type `dtype` on `device`.
///
/// Before anything is uploaded, the module's parameter list is compared with the checkpoint. Trailing dimensions of 1
/// are free: older files keep the projections around attention as 1 x 1 convolutions, and the numbers are the same.
/// Tensors are then read, converted and uploaded one by one. `component` is only for messages.
///
/// # Errors
/// [`LoadError::Mismatch`] names every missing, unexpected and mis-shaped tensor at once.
pub fn load_into<M: Module>(
    module: M,
    component: &str,
    checkpoint: &Checkpoint<'_>,
    keys: &KeyMap,
    dtype: FloatDType,
    device: &Device,
) -> Result<M, LoadError> {
    let plan = plan(&module, component, checkpoint, keys)?;
    let mut fill = Fill { path: ParameterPath::default(), plan: &plan, checkpoint, dtype, device, failed: None };
    let module = module.map(&mut fill);
    match fill.failed {
        None => Ok(module),
        Some((tensor, error)) => Err(LoadError::Source { component: component.to_owned(), tensor, error }),
    }
}

/// Compares a module's parameter list with a checkpoint, as [`load_into`] does before it uploads anything.
///
/// # Errors
/// [`LoadError::Mismatch`] names every missing, unexpected and mis-shaped tensor at once.
pub fn check<M: Module>(module: &M, component: &str, checkpoint: &Checkpoint<'_>, keys: &KeyMap) -> Result<(), LoadError> {
    plan(module, component, checkpoint, keys).map(drop)
}

/// Compares a module with a checkpoint and tells each parameter with the bytes that it takes of the files, in the order in
/// which these have them.
///
/// # Errors
/// As [`check`].
pub fn listed<M: Module>(
    module: &M,
    component: &str,
    checkpoint: &Checkpoint<'_>,
    keys: &KeyMap,
) -> Result<Vec<(Parameter, u64)>, LoadError> {
    let plan = plan(module, component, checkpoint, keys)?;
    let found = in_order(module, &plan, checkpoint).into_iter();
    Ok(found.map(|(parameter, place, stored)| (parameter, stored.bytes() / place.cut.share())).collect())
}

/// Reads a module's parameters one by one, in the order in which the files have them, for something else than a device, from
/// number `from` on. `see` may end it.
///
/// # Errors
/// As [`load_into`].
pub fn each<M: Module>(
    module: &M,
    component: &str,
    checkpoint: &Checkpoint<'_>,
    keys: &KeyMap,
    from: usize,
    see: &mut dyn FnMut(&Parameter, Numbers<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, LoadError> {
    let plan = plan(module, component, checkpoint, keys)?;
    for (parameter, place, _) in in_order(module, &plan, checkpoint).into_iter().skip(from) {
        let numbers = match Numbers::read(checkpoint, place) {
            Some(Ok(numbers)) => numbers,
            Some(Err(error)) => {
                return Err(LoadError::Source { component: component.to_owned(), tensor: place.tensor.clone(), error });
            }
            None => continue,
        };
        if see(&parameter, numbers).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn in_order<'a, M: Module>(
    module: &M,
    plan: &'a Plan,
    checkpoint: &'a Checkpoint<'_>,
) -> Vec<(Parameter, &'a Place, &'a Stored)> {
    let find = |parameter: Parameter| {
        let place = plan.get(&parameter.name)?;
        Some((parameter, place, checkpoint.get(&place.tensor)?))
    };
    let mut found: Vec<_> = parameters(module).into_iter().filter_map(find).collect();
    found.sort_by_key(|(_, _, stored)| stored.start());
    found
}

/// What each parameter takes: its name to its place in the checkpoint.
type Plan = BTreeMap<String, Place>;

fn plan<M: Module>(module: &M, component: &str, checkpoint: &Checkpoint<'_>, keys: &KeyMap) -> Result<Plan, LoadError> {
    let mut plan = Plan::new();
    let mut missing = Vec::new();
    let mut misshaped = Vec::new();
    let mut unexpected: BTreeSet<&str> =
        checkpoint.tensors().map(|(name, _)| name).filter(|name| !is_buffer(name) && keys.explains(name)).collect();
    for parameter in parameters(module) {
        let found =
            keys.candidates(&parameter.name).find_map(|place| checkpoint.get(&place.tensor).map(|stored| (place, stored)));
        let Some((place, stored)) = found else {
            missing.push(parameter.name);
            continue;
        };
        unexpected.remove(place.tensor.as_str());
        let expected = place.cut.whole(&parameter.shape);
        if fits(&expected, stored) {
            plan.insert(parameter.name, place);
        } else {
            let Stored { shape, encoding, .. } = stored.clone();
            misshaped.push(MisShaped { name: place.tensor, expected, found: shape, encoding });
        }
    }
    if missing.is_empty() && unexpected.is_empty() && misshaped.is_empty() {
        return Ok(plan);
    }
    Err(LoadError::Mismatch {
        component: component.to_owned(),
        missing,
        unexpected: unexpected.into_iter().map(str::to_owned).collect(),
        misshaped,
    })
}

fn fits(expected: &[usize], stored: &Stored) -> bool {
    stored.encoding.is_float() && trim(expected) == trim(&stored.shape)
}

/// A shape without its trailing dimensions of 1.
fn trim(shape: &[usize]) -> &[usize] {
    let kept = shape.iter().rposition(|dim| *dim != 1).map_or(0, |last| last + 1);
    shape.get(..kept).unwrap_or_default()
}

/// Tensors that writers put beside the parameters and that carry nothing: they can be computed.
fn is_buffer(name: &str) -> bool {
    matches!(name.rsplit('.').next(), Some("position_ids" | "num_batches_tracked"))
}

struct Fill<'a> {
    path: ParameterPath,
    plan: &'a Plan,
    checkpoint: &'a Checkpoint<'a>,
    dtype: FloatDType,
    device: &'a Device,
    failed: Option<(String, SourceError)>,
}

/// How many numbers are read and brought to the device at a time. A browser gives WebAssembly little memory and never takes any
/// back, so there large tensors go in pieces, which the device puts together.
const AT_ONCE: Option<usize> = if cfg!(target_family = "wasm") { Some(1 << 22) } else { None };

/// The rows of a tensor that is brought in pieces, piece by piece; `None` if it goes in one. As many rows as there are numbers in
/// a block are always whole blocks.
fn rows_at_once(shape: &[usize]) -> Option<usize> {
    let most = AT_ONCE?;
    let row: usize = shape.iter().skip(1).product();
    let is_large = shape.iter().product::<usize>() > most && row > 0;
    is_large.then(|| (most / row / BLOCK).max(1) * BLOCK)
}

impl Fill<'_> {
    /// A large tensor, piece by piece; `None` if it is not large, or lies in its file in another way than in the network.
    fn joined<const D: usize>(&self, place: &Place, shape: &[usize]) -> Option<Result<Tensor<D>, SourceError>> {
        let rows = rows_at_once(shape)?;
        let (all, dtype, device) = (*shape.first()?, convert::target(self.dtype), self.device);
        let row: usize = shape.iter().skip(1).product();
        let mut pieces = Vec::new();
        for first in (0..all).step_by(rows) {
            let last = all.min(first + rows);
            let numbers = match Numbers::read_part(self.checkpoint, place, first * row..last * row)? {
                Ok(numbers) => numbers,
                Err(error) => return Some(Err(error)),
            };
            let shape = [last - first].into_iter().chain(shape.iter().skip(1).copied()).collect();
            pieces.push(Tensor::from_data(numbers.tensor(dtype, shape)?, (device, dtype)));
        }
        Some(Ok(device.memory_persistent_allocations(pieces, |pieces| Tensor::cat(pieces, 0))))
    }

    fn tensor<const D: usize>(&mut self, shape: Vec<usize>) -> Option<Tensor<D>> {
        let place = self.plan.get(&self.path.name())?;
        match self.joined(place, &shape) {
            Some(Ok(tensor)) => return Some(tensor),
            Some(Err(error)) => {
                self.failed = Some((place.tensor.clone(), error));
                return None;
            }
            None => {}
        }
        let numbers = match Numbers::read(self.checkpoint, place)? {
            Ok(numbers) => numbers,
            Err(error) => {
                self.failed = Some((place.tensor.clone(), error));
                return None;
            }
        };
        let dtype = convert::target(self.dtype);
        let data = numbers.tensor(dtype, shape)?;
        // Weights stay for long: keep them out of the pools in which activations come and go.
        let device = self.device;
        Some(device.memory_persistent_allocations(data, |data| Tensor::from_data(data, (device, dtype))))
    }
}

impl ModuleMapper for Fill<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        // After a failure the rest is left as it is: the module is thrown away.
        if self.failed.is_some() {
            return param;
        }
        let shape = param.lazy_shape().as_slice().to_vec();
        match self.tensor(shape) {
            // not `Param::initialized`: the layer may have a word on how its weight is stored
            Some(tensor) => {
                let id = param.id;
                param.transform_for_load(tensor, id)
            }
            None => param,
        }
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }
}
