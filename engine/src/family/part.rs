//! Networks that are on the device all the time, or only while they are needed.

use std::cell::RefCell;
use std::fmt;
use std::ops::ControlFlow;
use std::rc::Rc;

use burn::tensor::Device;

use super::files::LoadError;
use crate::device::{Compute, Precision};
use crate::weights::{self, Numbers, Parameter};

/// Which networks of a model stay on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All: nothing is read twice. For many runs, where memory allows.
    All,
    /// None: each is read when its turn comes (text encoders, UNet, autoencoder) and given up after it. A run needs no
    /// more memory than the largest of them does.
    InTurn,
}

/// Reads a network's weights and brings them to the device.
type Read<M> = Box<dyn Fn(Precision, &Device) -> Result<M, LoadError>>;

/// What looks at a parameter.
pub(super) type See<'a> = dyn FnMut(&Parameter, Numbers<'_>) -> ControlFlow<()> + 'a;

/// A network's parameters in their files, for something else than a device.
pub(super) trait Walk {
    /// All parameters, and how many bytes each takes of the files.
    fn list(&self, files: weights::Precision) -> Result<Vec<(Parameter, u64)>, LoadError>;

    /// Reads them one by one, from number `from` on.
    fn each(&self, files: weights::Precision, from: usize, see: &mut See<'_>) -> Result<ControlFlow<()>, LoadError>;
}

/// A network of a model.
pub(super) struct Part<M> {
    read: Read<M>,
    walk: Rc<dyn Walk>,
    device: Device,
    precision: Precision,
    keep: Keep,
    held: RefCell<Option<Rc<M>>>,
}

impl<M> Part<M> {
    /// A network that `read` reads; at once, if it is to stay. `walk` goes through its files.
    pub(super) fn new(
        keep: Keep,
        compute: &Compute,
        read: impl Fn(Precision, &Device) -> Result<M, LoadError> + 'static,
        walk: Rc<dyn Walk>,
    ) -> Result<Self, LoadError> {
        let Compute { device, precision, .. } = compute.clone();
        let part = Self { read: Box::new(read), walk, device, precision, keep, held: RefCell::new(None) };
        if keep == Keep::All {
            part.get()?;
        }
        Ok(part)
    }

    /// The network. Where it is not to stay, it goes with the last handle.
    pub(super) fn get(&self) -> Result<Rc<M>, LoadError> {
        if let Some(held) = self.held.borrow().as_ref() {
            return Ok(Rc::clone(held));
        }
        if self.keep == Keep::InTurn {
            // What was there before goes back to the system first, or there would have to be room for both.
            self.device.memory_cleanup();
        }
        let network = Rc::new((self.read)(self.precision, &self.device)?);
        if self.keep == Keep::All {
            self.held.replace(Some(Rc::clone(&network)));
        }
        Ok(network)
    }

    /// The network, if it is on the device anyway.
    pub(super) fn held(&self) -> Option<Rc<M>> {
        self.held.borrow().clone()
    }

    /// The way through its files.
    pub(super) fn walk(&self) -> Rc<dyn Walk> {
        Rc::clone(&self.walk)
    }

    /// The precision that the network computes in.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// Reads the network in another precision from now on.
    pub(super) fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
        self.held.replace(None);
    }
}

impl<M> fmt::Debug for Part<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.borrow().is_some();
        f.debug_struct("Part").field("precision", &self.precision).field("keep", &self.keep).field("held", &held).finish()
    }
}
