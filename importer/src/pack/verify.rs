//! Whether a shard is the one that the manifest means.

use std::ops::ControlFlow;

use encaustic_engine::weights::{Shard, SourceError, WeightSource};
use sha2::{Digest, Sha256};

use super::shards::hexadecimal;

/// What is wrong with a shard.
#[derive(Debug, thiserror::Error)]
pub enum ShardFault {
    /// It has another size.
    #[error("it has {found} bytes instead of {expected}")]
    Size {
        /// What the manifest says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// It has other content.
    #[error("its SHA-256 is {found} instead of {expected}")]
    Hash {
        /// What the manifest says.
        expected: String,
        /// What is there.
        found: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It was ended from outside.
    #[error("stopped")]
    Stopped,
}

/// Bytes that are hashed between two looks at whether to go on.
const CHUNK: u64 = 4 << 20;

/// Hashes a shard and compares it with the manifest's entry. `watch` is told how many bytes more are done, and may end it.
///
/// # Errors
/// See [`ShardFault`].
pub fn check_shard(
    shard: &Shard,
    source: &dyn WeightSource,
    watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), ShardFault> {
    let found = source.len();
    if found != shard.bytes {
        return Err(ShardFault::Size { expected: shard.bytes, found });
    }
    let mut hasher = Sha256::new();
    let mut start = 0;
    while start < found {
        let end = found.min(start + CHUNK);
        hasher.update(&source.read(start..end)?);
        if watch(end - start).is_break() {
            return Err(ShardFault::Stopped);
        }
        start = end;
    }
    let found = hexadecimal(&hasher.finalize());
    if found == shard.sha256 { Ok(()) } else { Err(ShardFault::Hash { expected: shard.sha256.clone(), found }) }
}
