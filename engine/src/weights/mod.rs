//! weights/mod
