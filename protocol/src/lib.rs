//! The words everyone shares.
