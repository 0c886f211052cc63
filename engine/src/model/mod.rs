//! model/mod
