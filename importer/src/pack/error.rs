//! Why a model cannot be packed.

use encaustic_engine::family::LoadError;
use encaustic_engine::weights::EncodeError;

/// Why a model cannot be packed; `E` is how the sink fails.
#[derive(Debug, thiserror::Error)]
pub enum PackError<E> {
    /// The model cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A parameter does not fit the type.
    #[error("{tensor}: {error}")]
    Numbers {
        /// The parameter.
        tensor: String,
        /// What does not fit.
        #[source]
        error: EncodeError,
    },
    /// A small file is not what its name says.
    #[error("{path}: {why}")]
    SmallFile {
        /// Which file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A shard cannot be put together.
    #[error("a shard cannot be written: {0}")]
    Shard(String),
    /// What is written goes nowhere.
    #[error("{0}")]
    Sink(E),
    /// It was ended from outside.
    #[error("stopped")]
    Stopped,
}
