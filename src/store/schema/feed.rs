//! The tables of events, for those who follow the feed.

tables! {
    outbox (seq) {
        seq -> BigInt,
        account_id -> BigInt,
        kind -> Text,
        body -> Text,
        noted_at -> Instant,
        once -> Nullable<Text>,
    }

    feed_positions (name) {
        name -> Text,
        seq -> BigInt,
        moved_at -> Nullable<Instant>,
        failing_since -> Nullable<Instant>,
        failures -> BigInt,
        error -> Nullable<Text>,
        host -> Nullable<Text>,
        events -> Nullable<Text>,
        next_try_at -> Nullable<Instant>,
        owner -> Nullable<Text>,
    }
}
