//! The tables of spoken items, and of who has saved them.

tables! {
    shows (id) {
        id -> Text,
        name -> Text,
        publisher -> Nullable<Text>,
        description -> Nullable<Text>,
        media_type -> Nullable<Text>,
        explicit -> Nullable<Bool>,
        total_episodes -> Nullable<Integer>,
        image_url -> Nullable<Text>,
        fetched_at -> Instant,
        rev -> BigInt,
    }

    episodes (id) {
        id -> Text,
        name -> Text,
        show_id -> Nullable<Text>,
        description -> Nullable<Text>,
        duration_ms -> Nullable<Integer>,
        explicit -> Nullable<Bool>,
        release_date -> Nullable<Text>,
        release_date_precision -> Nullable<Text>,
        image_url -> Nullable<Text>,
        fetched_at -> Instant,
        rev -> BigInt,
    }

    audiobooks (id) {
        id -> Text,
        name -> Text,
        authors -> Nullable<Text>,
        narrators -> Nullable<Text>,
        publisher -> Nullable<Text>,
        description -> Nullable<Text>,
        edition -> Nullable<Text>,
        explicit -> Nullable<Bool>,
        total_chapters -> Nullable<Integer>,
        image_url -> Nullable<Text>,
        fetched_at -> Instant,
        rev -> BigInt,
    }

    saved_shows (account_id, show_id) {
        account_id -> BigInt,
        show_id -> Text,
        added_at -> Nullable<Instant>,
        removed_at -> Nullable<Instant>,
        rev -> BigInt,
    }

    saved_episodes (account_id, episode_id) {
        account_id -> BigInt,
        episode_id -> Text,
        added_at -> Nullable<Instant>,
        removed_at -> Nullable<Instant>,
        rev -> BigInt,
    }

    saved_audiobooks (account_id, audiobook_id) {
        account_id -> BigInt,
        audiobook_id -> Text,
        added_at -> Nullable<Instant>,
        first_seen_at -> Nullable<Instant>,
        returned_at -> Nullable<Instant>,
        removed_at -> Nullable<Instant>,
        rev -> BigInt,
    }
}
