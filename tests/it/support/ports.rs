//! Ports for servers that are started, and come back, at an address known before.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range from which Linux takes a port for whoever asks for any: there, another test may get the same one
/// before its server listens.
const FIRST: u16 = 12_000;
const NUM: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port without a listener. No other test gets it, or has it.
pub fn free_port() -> u16 {
    // Two runs at a time begin far from each other.
    let begin = process::id() as u16 % NUM;
    let ports = std::iter::repeat_with(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        FIRST + ((u32::from(begin) * 61 + u32::from(number)) % u32::from(NUM)) as u16
    });
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(usize::from(NUM)).find(is_free).expect("a free port")
}
