//! Integration tests: the real binary, real databases, the sandbox over loopback.

mod support;
mod sync;
