//! The rows of spoken items: shows, episodes, audiobooks, and who has saved them.

use super::rows::words;
use super::types::{At, Words};
use super::upsert::upsert_rows;
use crate::model::{Audiobook, Episode, Show};

upsert_rows! {
    ShowRow<'a> in shows returning (id: String, rev: i64) {
        id: Words<'a> => Key,
        name: Words<'a> => Name,
        publisher: Option<Words<'a>> => Text,
        description: Option<Words<'a>> => Text,
        media_type: Option<Words<'a>> => Text,
        explicit: Option<bool> => Known,
        total_episodes: Option<i32> => Known,
        image_url: Option<Words<'a>> => Known,
        fetched_at: At => Stamp,
    }

    EpisodeRow<'a> in episodes returning (id: String, rev: i64) {
        id: Words<'a> => Key,
        name: Words<'a> => Name,
        show_id: Option<Words<'a>> => Link,
        description: Option<Words<'a>> => Text,
        duration_ms: Option<i32> => Known,
        explicit: Option<bool> => Known,
        release_date: Option<Words<'a>> => Text,
        release_date_precision: Option<Words<'a>> => Text,
        image_url: Option<Words<'a>> => Known,
        fetched_at: At => Stamp,
    }

    AudiobookRow<'a> in audiobooks returning (id: String, rev: i64) {
        id: Words<'a> => Key,
        name: Words<'a> => Name,
        authors: Option<String> => List,
        narrators: Option<String> => List,
        publisher: Option<Words<'a>> => Text,
        description: Option<Words<'a>> => Text,
        edition: Option<Words<'a>> => Text,
        explicit: Option<bool> => Known,
        total_chapters: Option<i32> => Known,
        image_url: Option<Words<'a>> => Known,
        fetched_at: At => Stamp,
    }

    SavedShowRow<'a> in saved_shows returning (show_id: String, rev: i64) {
        account_id: i64 => Key,
        show_id: Words<'a> => Key,
        added_at: Option<At> => Known,
        removed_at: Option<At> => Follow,
    }

    SavedEpisodeRow<'a> in saved_episodes returning (episode_id: String, rev: i64) {
        account_id: i64 => Key,
        episode_id: Words<'a> => Key,
        added_at: Option<At> => Known,
        removed_at: Option<At> => Follow,
    }

    /// The source may not say when it was saved. Then the time when it was first seen counts.
    SavedAudiobookRow<'a> in saved_audiobooks returning (audiobook_id: String, rev: i64) {
        account_id: i64 => Key,
        audiobook_id: Words<'a> => Key,
        added_at: Option<At> => Known,
        first_seen_at: Option<At> => Once,
        removed_at: Option<At> => Follow,
    }
}

fn list(names: &Option<Vec<String>>) -> Option<String> {
    names.as_ref().map(|names| serde_json::Value::from(names.clone()).to_string())
}

impl<'a> ShowRow<'a> {
    pub fn new(show: &'a Show, at: At) -> ShowRow<'a> {
        ShowRow {
            id: Words(&show.id),
            name: Words(&show.name),
            publisher: words(&show.publisher),
            description: words(&show.description),
            media_type: words(&show.media_type),
            explicit: show.explicit,
            total_episodes: show.total_episodes,
            image_url: words(&show.image_url),
            fetched_at: at,
        }
    }
}

impl<'a> EpisodeRow<'a> {
    pub fn new(episode: &'a Episode, at: At) -> EpisodeRow<'a> {
        EpisodeRow {
            id: Words(&episode.id),
            name: Words(&episode.name),
            show_id: episode.show.as_ref().map(|show| Words(&show.id)),
            description: words(&episode.description),
            duration_ms: episode.duration_ms,
            explicit: episode.explicit,
            release_date: words(&episode.release_date),
            release_date_precision: words(&episode.release_date_precision),
            image_url: words(&episode.image_url),
            fetched_at: at,
        }
    }
}

impl<'a> AudiobookRow<'a> {
    pub fn new(audiobook: &'a Audiobook, at: At) -> AudiobookRow<'a> {
        AudiobookRow {
            id: Words(&audiobook.id),
            name: Words(&audiobook.name),
            authors: list(&audiobook.authors),
            narrators: list(&audiobook.narrators),
            publisher: words(&audiobook.publisher),
            description: words(&audiobook.description),
            edition: words(&audiobook.edition),
            explicit: audiobook.explicit,
            total_chapters: audiobook.total_chapters,
            image_url: words(&audiobook.image_url),
            fetched_at: at,
        }
    }
}
