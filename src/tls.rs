//! TLS: which cryptography the connections to Spotify and the database use.

use rustls::crypto::{CryptoProvider, ring};

/// Sets it for the whole process. Call before a client is built; repeating it is free.
pub fn install() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may be faster, with the same one.
        let _ = ring::default_provider().install_default();
    }
}
