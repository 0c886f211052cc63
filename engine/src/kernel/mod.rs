//! Operations that Burn has no fast or bounded form of.

mod attention;

pub use attention::attention;
