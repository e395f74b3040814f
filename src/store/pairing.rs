//! The kind of a stream and the play that it is paired with, in SQL: defined once, in the same terms as the view
//! `listening`.

/// The kind of a stream `s`. A row without a name that was paired with a play is that play's track.
pub(super) const KIND: &str = "CASE WHEN s.kind = 'unknown' AND s.played_uri IS NOT NULL THEN 'track' ELSE s.kind END";

/// Whether a stream `s` is paired with one of `plays`, as the query calls them.
pub(super) fn is_paired(plays: &str) -> String {
    format!(
        "s.account_id = {plays}.account_id AND s.played_at = {plays}.played_at AND s.offset_ms IS NOT NULL \
         AND coalesce(s.played_uri, s.uri) = {plays}.track_uri"
    )
}

/// Whether no stream is paired with one of `plays`, as the query calls them.
pub(super) fn is_alone(plays: &str) -> String {
    format!("NOT EXISTS (SELECT 1 FROM streams s WHERE {})", is_paired(plays))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_of_both_databases_says_the_same() {
        for migration in [
            include_str!("../../migrations/sqlite/2026-11-29-310000_listening/up.sql"),
            include_str!("../../migrations/postgres/2026-11-29-310000_listening/up.sql"),
        ] {
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let view = words(migration);
            assert!(view.contains(&words(KIND)), "{view}");
            assert!(view.contains(&words(&is_paired("p"))), "{view}");
        }
    }
}
