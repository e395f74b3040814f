//! TLS: which cryptography the two ways out use.

use rustls::crypto::{CryptoProvider, ring};

/// Sets it for the whole process. Call before a client is built; again is free.
pub fn install() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may be faster, with the same one.
        let _ = ring::default_provider().install_default();
    }
}
