//! An HTTP client for tests that use HTTP themselves.

use reqwest::{Client, ClientBuilder};

pub fn client() -> Client {
    builder().build().expect("a client")
}

pub fn builder() -> ClientBuilder {
    segno::tls::install();
    Client::builder()
}
