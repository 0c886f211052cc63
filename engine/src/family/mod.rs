//! family/mod
