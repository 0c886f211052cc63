//! prompt/mod
