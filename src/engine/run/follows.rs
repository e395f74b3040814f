//! What follows a page, according to the page itself: rows received, rows asked for, `limit`, `next` and `total`
//! together.
//!
//! `n` rows were received of the `asked` ones from `offset` on. No field of the answer is trusted alone.
//!
//! | rows | the answer says | what follows | where the next page begins |
//! |---|---|---|---|
//! | as many as asked | anything | [`Follows::More`] | with the last row of this page |
//! | fewer | `limit` is less than asked, or `next` names `offset + n`, and `total` counts more; or both, whatever `total` counts | [`Follows::Capped`] | with the last row of this page, at `offset + n - 1` |
//! | fewer | `next` names `offset + asked`, and `total` counts more | [`Follows::Hidden`]: rows are counted but not given | the same: the last row stands there, or as many places further on as rows are hidden |
//! | fewer | `total` counts more, and `next` is null or nothing else is said; or `total` counts fewer than were received; or it is reached, but `next` goes on | [`Follows::Doubtful`] | the same; if nothing new is found there, one page further on decides |
//! | none | `total` counts more | [`Follows::Nothing`] | one page further on, as long as the answer says that its pages are |
//! | fewer, or none | `total` is reached, and `next` does not go on after this page; or nothing was received after the first row, there is no total, and `next` is null or missing | [`Follows::End`] | - |
//!
//! One rule serves every kind of short page: the next one is requested from where its last row would stand if nothing
//! were hidden, and that row is looked for among the first `asked - n + 1` slots. At index 0 the page was cut, by a cap
//! or a fault; at index `i`, `i` rows before it are counted but not given. If it is not among them, the listing has
//! moved.

use crate::model::Next;

/// What follows a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// As many rows as were asked for: the next page shows what follows.
    More,
    /// No page holds more rows than this.
    Capped(u32),
    /// This many rows of the page are counted but not given.
    Hidden(u32),
    /// Fewer rows than are counted, without an explanation.
    Doubtful,
    /// No rows, although more are counted, where this many should be.
    Nothing(u32),
    End,
}

/// The part of an answer that tells what follows it.
#[derive(Debug, Clone, Copy)]
pub struct Claims {
    pub offset: u32,
    pub asked: u32,
    pub num_rows: u32,
    pub total: Option<u32>,
    pub limit: Option<u32>,
    pub next: Next,
}

impl Follows {
    pub fn of(claims: Claims) -> Follows {
        let Claims { offset, asked, num_rows, total, limit, next } = claims;
        let reached = offset.saturating_add(num_rows);
        if num_rows >= asked {
            return Follows::More;
        }
        let goes_to = |at: u32| num_rows > 0 && next == Next::Goes { offset: Some(at) };
        let mut ends = [Some(asked), limit].into_iter().flatten();
        let goes_on = goes_to(reached) || ends.any(|len| goes_to(offset.saturating_add(len)));
        match (total, next) {
            // A page that is full by its own limit and names the next one: the count is wrong.
            (Some(total), _) if total <= reached && limit == Some(num_rows) && goes_to(reached) => {
                return Follows::Capped(num_rows);
            }
            (Some(total), _) if total == reached && !goes_on || total < reached && num_rows == 0 => {
                return Follows::End;
            }
            // More rows than are counted, or more to come: the count is wrong, and may be wrong by more than that.
            (Some(total), _) if total <= reached => return Follows::Doubtful,
            (None, Next::End | Next::Unsaid) if num_rows == 0 && offset > 0 => return Follows::End,
            (Some(_) | None, _) => {}
        }
        if num_rows == 0 {
            // All rows of a capped page may be hidden.
            let by_next = if let Next::Goes { offset: Some(at) } = next { at.checked_sub(offset) } else { None };
            let shorter = [by_next, limit].into_iter().flatten().find(|len| (1..asked).contains(len));
            return Follows::Nothing(shorter.unwrap_or(asked));
        }
        match (limit, next) {
            (Some(limit), _) if limit < asked && limit >= num_rows => Follows::Capped(limit),
            (_, Next::Goes { offset: Some(at) }) if at == reached => Follows::Capped(num_rows),
            (_, Next::Goes { offset: Some(at) }) if at == offset.saturating_add(asked) => {
                Follows::Hidden(asked - num_rows)
            }
            (_, Next::Goes { .. } | Next::End | Next::Unsaid) => Follows::Doubtful,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u32) -> Next {
        Next::Goes { offset: Some(offset) }
    }

    const ODD: Next = Next::Goes { offset: None };

    #[test]
    fn rows_limit_next_and_total_together_tell_what_follows() {
        use Follows::{Capped, Doubtful, End, Hidden, More, Nothing};
        // 50 rows were asked for, from 100 on.
        for (num_rows, total, limit, next, follows) in [
            (50, Some(230), Some(50), at(150), More),
            (50, Some(150), Some(50), Next::End, More),
            (50, Some(0), None, Next::Unsaid, More),
            (50, None, None, Next::Unsaid, More),
            (20, Some(230), Some(20), at(120), Capped(20)),
            (20, Some(230), Some(20), Next::Unsaid, Capped(20)),
            (19, Some(230), Some(20), at(120), Capped(20)),
            (19, Some(119), Some(20), at(120), Doubtful),
            (20, Some(230), Some(50), at(120), Capped(20)),
            (20, Some(230), None, at(120), Capped(20)),
            (49, Some(230), Some(50), at(150), Hidden(1)),
            (1, Some(230), None, at(150), Hidden(49)),
            (49, None, Some(50), at(150), Hidden(1)),
            (25, Some(230), Some(50), Next::End, Doubtful),
            (25, Some(230), Some(50), Next::Unsaid, Doubtful),
            (25, Some(230), Some(50), ODD, Doubtful),
            (25, Some(230), Some(50), at(0), Doubtful),
            (25, Some(230), Some(10), Next::End, Doubtful),
            (25, Some(126), Some(50), Next::End, Doubtful),
            (25, Some(125), Some(50), Next::End, End),
            (25, Some(125), Some(25), Next::End, End),
            (25, Some(125), Some(50), at(0), End),
            (25, Some(125), Some(50), ODD, End),
            (25, Some(125), Some(50), at(125), Doubtful),
            (25, Some(125), Some(50), at(150), Doubtful),
            (25, Some(125), Some(25), at(125), Capped(25)),
            (25, Some(3), Some(25), at(125), Capped(25)),
            (25, Some(3), Some(50), at(150), Doubtful),
            (25, Some(124), Some(50), Next::End, Doubtful),
            (25, None, None, Next::End, Doubtful),
            (25, None, Some(25), Next::Unsaid, Capped(25)),
            (25, None, None, ODD, Doubtful),
            (0, Some(230), Some(50), Next::End, Nothing(50)),
            (0, Some(230), Some(50), at(150), Nothing(50)),
            (0, Some(230), Some(20), at(120), Nothing(20)),
            (0, Some(230), Some(20), Next::End, Nothing(20)),
            (0, Some(230), Some(50), at(120), Nothing(20)),
            (0, Some(230), Some(50), at(100), Nothing(50)),
            (0, Some(230), Some(0), at(0), Nothing(50)),
            (0, Some(100), Some(50), at(150), End),
            (0, None, None, Next::Unsaid, End),
        ] {
            let claims = Claims { offset: 100, asked: 50, num_rows, total, limit, next };
            assert_eq!(Follows::of(claims), follows, "{claims:?}");
        }
    }
}
