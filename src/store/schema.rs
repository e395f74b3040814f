//! The tables as queries see them, one description for both databases. Kept by hand: a test reads every column of every
//! table on both.

/// Tables, with the types that their columns have in both databases.
macro_rules! tables {
    ($($name:ident $key:tt $columns:tt)+) => { $(
        diesel::table! {
            use diesel::sql_types::*;
            use crate::store::types::Instant;

            $name $key $columns
        }
    )+ };
}

mod bookkeeping;
mod feed;
mod listening;
mod spoken;

pub use bookkeeping::*;
pub use feed::*;
pub use listening::*;
pub use spoken::*;

tables! {
    accounts (id) {
        id -> BigInt,
        spotify_id -> Text,
        spotify_account_id -> Nullable<Text>,
        display_name -> Nullable<Text>,
        authorized_at -> Instant,
        owner -> Nullable<Text>,
        owner_label -> Nullable<Text>,
        epoch -> BigInt,
        released_at -> Nullable<Instant>,
    }

    account_tokens (account_id) {
        account_id -> BigInt,
        client_id -> Text,
        refresh_token -> Text,
        access_token -> Nullable<Text>,
        expires_at -> Nullable<Instant>,
        scopes -> Nullable<Text>,
        imported_hash -> Nullable<Text>,
        updated_at -> Instant,
        refused_at -> Nullable<Instant>,
        refused_why -> Nullable<Text>,
        trouble -> Nullable<Text>,
        retry_at -> Nullable<Instant>,
        doubted_at -> Nullable<Instant>,
    }

    pending_sign_ins (imported_hash) {
        imported_hash -> Text,
        client_id -> Text,
        refresh_token -> Text,
        access_token -> Nullable<Text>,
        expires_at -> Nullable<Instant>,
        scopes -> Nullable<Text>,
        trouble -> Nullable<Text>,
        retry_at -> Nullable<Instant>,
        doubted_at -> Nullable<Instant>,
        noted_at -> Instant,
    }

    artists (id) {
        id -> Text,
        name -> Text,
        genres -> Nullable<Text>,
        image_url -> Nullable<Text>,
        fetched_at -> Instant,
        rev -> BigInt,
    }

    albums (id) {
        id -> Text,
        name -> Text,
        album_type -> Nullable<Text>,
        release_date -> Nullable<Text>,
        release_date_precision -> Nullable<Text>,
        total_tracks -> Nullable<Integer>,
        upc -> Nullable<Text>,
        image_url -> Nullable<Text>,
        num_artists -> Nullable<BigInt>,
        fetched_at -> Instant,
        rev -> BigInt,
    }

    tracks (id) {
        id -> Text,
        uri -> Nullable<Text>,
        name -> Text,
        album_id -> Nullable<Text>,
        duration_ms -> Nullable<Integer>,
        explicit -> Nullable<Bool>,
        disc_number -> Nullable<Integer>,
        track_number -> Nullable<Integer>,
        isrc -> Nullable<Text>,
        num_artists -> Nullable<BigInt>,
        fetched_at -> Instant,
        rev -> BigInt,
        source -> Text,
    }

    album_artists (album_id, position) {
        album_id -> Text,
        position -> BigInt,
        artist_id -> Text,
    }

    track_artists (track_id, position) {
        track_id -> Text,
        position -> BigInt,
        artist_id -> Text,
    }

    saved_tracks (account_id, track_id) {
        account_id -> BigInt,
        track_id -> Text,
        added_at -> Nullable<Instant>,
        removed_at -> Nullable<Instant>,
        rev -> BigInt,
    }

    saved_albums (account_id, album_id) {
        account_id -> BigInt,
        album_id -> Text,
        added_at -> Nullable<Instant>,
        removed_at -> Nullable<Instant>,
        rev -> BigInt,
    }

    followed_artists (account_id, artist_id) {
        account_id -> BigInt,
        artist_id -> Text,
        first_seen_at -> Instant,
        returned_at -> Nullable<Instant>,
        removed_at -> Nullable<Instant>,
        rev -> BigInt,
    }

    playlists (id) {
        id -> Text,
        name -> Text,
        description -> Nullable<Text>,
        owner_id -> Nullable<Text>,
        owner_name -> Nullable<Text>,
        public -> Nullable<Bool>,
        collaborative -> Nullable<Bool>,
        snapshot_id -> Nullable<Text>,
        total_items -> Nullable<Integer>,
        image_url -> Nullable<Text>,
        items_readable -> Bool,
        items_snapshot_id -> Nullable<Text>,
        items_checked_at -> Nullable<Instant>,
        items_held -> Nullable<BigInt>,
        items_hidden -> BigInt,
        items_generation -> BigInt,
        fetched_at -> Instant,
        rev -> BigInt,
    }

    library_playlists (account_id, playlist_id) {
        account_id -> BigInt,
        playlist_id -> Text,
        position -> BigInt,
        first_seen_at -> Nullable<Instant>,
        returned_at -> Nullable<Instant>,
        removed_at -> Nullable<Instant>,
        rev -> BigInt,
    }

    playlist_items (playlist_id, position) {
        playlist_id -> Text,
        position -> BigInt,
        uri -> Nullable<Text>,
        kind -> Text,
        track_id -> Nullable<Text>,
        name -> Nullable<Text>,
        added_at -> Nullable<Instant>,
        added_by -> Nullable<Text>,
        rev -> BigInt,
    }

    playlist_versions (id) {
        id -> BigInt,
        playlist_id -> Text,
        snapshot_id -> Nullable<Text>,
        seen_at -> Instant,
        is_first -> Bool,
        items_added -> BigInt,
        items_removed -> BigInt,
        run_id -> Text,
    }

    playlist_changes (version_id, number) {
        version_id -> BigInt,
        number -> BigInt,
        kind -> Text,
        position -> BigInt,
        uri -> Nullable<Text>,
        name -> Nullable<Text>,
        track_id -> Nullable<Text>,
        added_at -> Nullable<Instant>,
    }

    playlist_walks (playlist_id) {
        playlist_id -> Text,
        began_at -> Instant,
        is_first -> Bool,
    }

    playlist_items_before (playlist_id, position) {
        playlist_id -> Text,
        position -> BigInt,
        uri -> Nullable<Text>,
        name -> Nullable<Text>,
        track_id -> Nullable<Text>,
        added_at -> Nullable<Instant>,
    }

    playlist_readings (account_id, playlist_id) {
        account_id -> BigInt,
        playlist_id -> Text,
        items_readable -> Bool,
        snapshot_id -> Nullable<Text>,
        read_at -> Nullable<Instant>,
        failure -> Nullable<Text>,
        reason -> Nullable<Text>,
        tries -> BigInt,
        since -> Nullable<Instant>,
        tried_snapshot_id -> Nullable<Text>,
        tried_total -> Nullable<BigInt>,
        next_try_at -> Nullable<Instant>,
        look_again_at -> Nullable<Instant>,
        walk_generation -> Nullable<BigInt>,
        walk_offset -> Nullable<BigInt>,
        walk_hidden -> BigInt,
        walk_in_place -> Bool,
    }

    playlist_items_read (account_id, playlist_id, position) {
        account_id -> BigInt,
        playlist_id -> Text,
        position -> BigInt,
        uri -> Nullable<Text>,
        kind -> Text,
        track_id -> Nullable<Text>,
        name -> Nullable<Text>,
        added_at -> Nullable<Instant>,
        added_by -> Nullable<Text>,
    }

    plays (account_id, played_at, track_uri) {
        account_id -> BigInt,
        played_at -> Instant,
        track_uri -> Text,
        track_id -> Nullable<Text>,
        ms_played -> Nullable<Integer>,
        context_uri -> Nullable<Text>,
        source -> Text,
    }

    playback_states (account_id) {
        account_id -> BigInt,
        last_polled_at -> Nullable<Instant>,
        last_new_at -> Nullable<Instant>,
        next_poll_at -> Nullable<Instant>,
        parked_until -> Nullable<Instant>,
        error_message -> Nullable<Text>,
        updated_at -> Instant,
    }

    play_gaps (account_id, played_after, played_before) {
        account_id -> BigInt,
        played_after -> Instant,
        played_before -> Instant,
        detected_at -> Instant,
        healed_at -> Nullable<Instant>,
        filled_by -> Nullable<BigInt>,
    }

    paused_entities (account_id, entity_type) {
        account_id -> BigInt,
        entity_type -> Text,
        paused_at -> Instant,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    account_tokens,
    accounts,
    album_artists,
    albums,
    artists,
    audiobooks,
    cooldowns,
    episodes,
    feed_positions,
    followed_artists,
    gate_processes,
    held_removals,
    imports,
    library_playlists,
    nodes,
    orders,
    outbox,
    paused_entities,
    pending_sign_ins,
    play_gaps,
    playback_states,
    playlist_changes,
    playlist_items,
    playlist_items_before,
    playlist_items_read,
    playlist_readings,
    playlist_versions,
    playlist_walks,
    playlists,
    plays,
    rate_limits,
    request_ledger,
    saved_albums,
    saved_audiobooks,
    saved_episodes,
    saved_shows,
    saved_tracks,
    shows,
    streams,
    sync_batches,
    sync_gaps,
    sync_odd_items,
    sync_seen,
    sync_states,
    track_artists,
    tracks,
);
