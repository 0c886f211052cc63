//! schedule/mod
