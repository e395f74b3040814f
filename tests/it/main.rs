//! Integration tests: the real binary, real databases, the sandbox over loopback.

mod layers;
mod support;
mod sync;
