//! Numbers, address arithmetic, atomics, texts and mixing: nothing here knows the system or has state.

pub(crate) mod address;
pub(crate) mod atomic;
pub(crate) mod config;
pub(crate) mod random;
pub(crate) mod text;
