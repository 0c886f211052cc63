//! A seed for those who name none.

use std::hash::{BuildHasher, RandomState};

/// A random seed, from 0 to 2^32 - 1: the range that other programs draw from, and short enough to type.
pub fn random() -> u64 {
    // The standard library's only source of randomness: each state has keys of its own from the system.
    RandomState::new().hash_one(0u64) >> 32
}
