//! The way out to Spotify: the Web API client and the tokens that it needs.
//!
//! It asks for one page when told to and answers in the words of [`crate::model`]. It never decides: when to ask, how
//! often to try again and how long to wait is the engine's. What went wrong is therefore reported by what can be done
//! about it ([`ApiError`]), and nothing that a row of a listing holds can make a page fail.
//!
//! | file | idea |
//! |---|---|
//! | `client` | one request: its URL, its bearer token, its body |
//! | `auth` | the tokens of one account, refreshed by one caller for all |
//! | `authorize` | a person signs in: authorization code with PKCE |
//! | `decode`, `row`, `wire` | a body becomes slots; a row's fields; the JSON as it comes |
//! | `identity`, `media` | what a row is about; tracks, local files, episodes and the like |
//! | `repair` | what to make of characters that cannot be |
//! | `plays` | the same for the listening history |
//! | `answer` | the body of an answer, within bounds |
//! | `token_endpoint` | a refresh token, or the code of a sign-in, is exchanged |
//! | `token_rest` | how long the token endpoint is left alone after it gave no token |
//! | `refusal` | an answer that is not a 200 becomes an error |
//! | `error` | the errors, and what can be done about each |

mod answer;
mod auth;
mod authorize;
mod client;
mod decode;
mod error;
mod identity;
mod media;
mod plays;
#[doc(hidden)]
pub mod probes;
mod refusal;
mod room;
mod row;
mod spoken;
mod token_endpoint;
mod token_rest;
mod wire;

#[cfg(test)]
mod tests;

pub use auth::{KeepInMemory, Keeping, Kept, StoredTokens, TokenVault, Tokens};
pub use authorize::{Answer, Authorization, NotTheAnswer};
pub use client::{Client, ClientConfig};
pub use decode::Profile;
pub use error::{ApiError, ForbiddenReason, NetworkKind, VaultError};
pub use refusal::{RATE_RETRY_AFTER_MAX, RETRY_AFTER_CAP};
pub use token_rest::TokenRests;
