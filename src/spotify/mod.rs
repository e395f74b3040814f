//! The connection to Spotify: the Web API client and the tokens that it needs.
//!
//! It requests one page when told to and answers with types of [`crate::model`]. It never decides: when to request, how
//! often to retry and how long to wait is up to the engine. Errors are therefore classified by what can be done about
//! them ([`ApiError`]), and no content of a row can make a page fail.
//!
//! | file | idea |
//! |---|---|
//! | `client` | one request: its URL, its bearer token, its body |
//! | `auth` | the tokens of one account, refreshed by one caller for all |
//! | `authorize` | a person signs in: authorization code with PKCE |
//! | `decode`, `row`, `wire` | decodes a body into slots; a row's fields; the JSON types |
//! | `identity`, `media` | what a row is about; tracks, local files, episodes and the like |
//! | `repair` | how invalid characters are handled |
//! | `plays` | the same for the listening history |
//! | `answer` | the body of an answer, within bounds |
//! | `token_endpoint` | exchanges a refresh token, or the code of a sign-in |
//! | `token_rest` | how long the token endpoint is not asked after it gave no token |
//! | `refusal` | turns an answer that is not a 200 into an error |
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
mod retry_after;
mod room;
mod row;
mod spoken;
mod token_endpoint;
mod token_rest;
mod vault;
mod wire;

#[cfg(test)]
mod tests;

pub use auth::Tokens;
pub use authorize::{Answer, Authorization, NotTheAnswer};
pub use client::{Client, ClientConfig};
pub use decode::Profile;
pub use error::{ApiError, ForbiddenReason, NetworkKind, VaultError};
pub use refusal::RATE_RETRY_AFTER_MAX;
pub use retry_after::RETRY_AFTER_CAP;
pub use token_rest::TokenRests;
pub use vault::{KeepInMemory, Keeping, Kept, StoredTokens, TokenVault};
