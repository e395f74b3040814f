//! Which slice of a listing a request asks for, and the addresses of the neighbouring slices.

use serde::Serialize;

use super::http::{ApiError, Query};
use super::wire::{HOST, PagingWire};

/// Rows of a page when the request does not say.
const LIMIT_DEFAULT: usize = 20;
/// Most rows of a page.
const LIMIT_MAX: usize = 50;

/// Reads `limit`.
pub fn limit(query: &Query<'_>) -> Result<usize, ApiError> {
    const INVALID: ApiError = ApiError::bad_request("Invalid limit");
    let Some(text) = query.get("limit") else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().map_err(|_| INVALID)?;
    if (1..=LIMIT_MAX).contains(&limit) { Ok(limit) } else { Err(INVALID) }
}

/// A slice by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageWindow {
    pub offset: usize,
    pub limit: usize,
}

impl PageWindow {
    /// Reads `offset` and `limit`; no offset may exceed `offset_max`.
    pub fn read(query: &Query<'_>, offset_max: usize) -> Result<PageWindow, ApiError> {
        const INVALID: ApiError = ApiError::bad_request("Invalid offset");
        let limit = limit(query)?;
        let offset = query.get("offset").map_or(Ok(0), str::parse).map_err(|_| INVALID)?;
        if offset <= offset_max { Ok(PageWindow { offset, limit }) } else { Err(INVALID) }
    }

    /// The rows of this page.
    pub fn of<T>(self, list: &[T]) -> &[T] {
        let start = self.offset.min(list.len());
        &list[start..start.saturating_add(self.limit).min(list.len())]
    }

    /// The wire object of this page. `path` is relative to `/v1`; `extra` is appended to each address.
    pub fn wire<T: Serialize>(self, path: &str, extra: &str, total: usize, items: Vec<T>) -> PagingWire<T> {
        let PageWindow { offset, limit } = self;
        let address = |offset: usize| format!("{HOST}{path}?offset={offset}&limit={limit}{extra}");
        let end = offset.saturating_add(limit);
        PagingWire {
            href: address(offset),
            limit,
            next: (end < total).then(|| address(end)),
            offset,
            previous: (offset > 0).then(|| address(offset.saturating_sub(limit))),
            total,
            items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_offsets_out_of_range_are_refused() {
        for bad in ["limit=0", "limit=51", "limit=-1", "limit=ten", "limit="] {
            assert_eq!(read(bad), Err(ApiError::bad_request("Invalid limit")), "{bad}");
        }
        for bad in ["offset=-1", "offset=x", "offset=101"] {
            assert_eq!(read(bad), Err(ApiError::bad_request("Invalid offset")), "{bad}");
        }
        assert_eq!(read(""), Ok(PageWindow { offset: 0, limit: 20 }));
        assert_eq!(read("limit=50&offset=100"), Ok(PageWindow { offset: 100, limit: 50 }));
    }

    #[test]
    fn pages_lead_to_their_neighbours() {
        let list: Vec<u8> = (0..45).collect();
        let page = PageWindow { offset: 30, limit: 20 };
        let wire = page.wire("/me/tracks", "", list.len(), page.of(&list).to_vec());
        assert_eq!((wire.items.len(), wire.next), (15, None));
        assert_eq!(wire.previous.as_deref(), Some("https://api.spotify.com/v1/me/tracks?offset=10&limit=20"));
        let beyond = PageWindow { offset: 90, limit: 20 };
        assert!(beyond.of(&list).is_empty());
    }

    fn read(query: &str) -> Result<PageWindow, ApiError> {
        PageWindow::read(&Query::parse(query.as_bytes()), 100)
    }
}
