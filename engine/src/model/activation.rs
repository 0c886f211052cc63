//! Pointwise non-linearities.

use burn::tensor::{Tensor, activation};

use crate::kernel;

/// A pointwise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x sigmoid(x), also called swish.
    Silu,
    /// x Phi(x), exact.
    Gelu,
    /// GELU by its tanh approximation.
    GeluTanh,
    /// x sigmoid(1.702 x), OpenAI CLIP's approximation of GELU.
    QuickGelu,
    /// max(x, 0).
    Relu,
    /// x tanh(softplus(x)).
    Mish,
}

/// Names as configurations write them.
const NAMES: [(&str, Activation); 8] = [
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("quick_gelu", Activation::QuickGelu),
    ("relu", Activation::Relu),
    ("mish", Activation::Mish),
];

impl Activation {
    /// The activation that a configuration calls `name`, in any case of letters.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, activation)| *activation)
    }

    /// All names that [`Self::parse`] knows, for messages.
    pub fn supported() -> String {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        format!("supported are {}", names.join(", "))
    }

    /// Applies it to every element.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Silu => kernel::silu(x),
            Self::Gelu => kernel::gelu(x),
            Self::GeluTanh => activation::gelu_approximate(x),
            Self::QuickGelu => kernel::quick_gelu(x),
            Self::Relu => activation::relu(x),
            Self::Mish => activation::mish(x),
        }
    }
}
