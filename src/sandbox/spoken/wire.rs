//! The JSON of shows, episodes and audiobooks.

use serde::Serialize;

use super::Saved;
use crate::sandbox::catalogue::{AudiobookNo, EpisodeNo, ShowNo};
use crate::sandbox::config::Dialect;
use crate::sandbox::renderer::Renderer;
use crate::sandbox::wire::{EpisodeWire, Identity, Kind, MARKETS, ShowWire, ThreeImages, seconds, show_images};

#[derive(Serialize)]
pub struct SavedShowWire<'a> {
    pub added_at: String,
    pub show: Option<ShowWire<'a>>,
}

#[derive(Serialize)]
pub struct SavedEpisodeWire<'a> {
    pub added_at: String,
    pub episode: Option<EpisodeWire<'a>>,
}

/// The current dialect does not say when an audiobook was saved.
#[derive(Serialize)]
#[serde(untagged)]
pub enum SavedAudiobookWire<'a> {
    Bare(Option<AudiobookWire<'a>>),
    Wrapped { added_at: String, audiobook: Option<AudiobookWire<'a>> },
}

#[derive(Serialize)]
pub struct AudiobookWire<'a> {
    #[serde(flatten)]
    identity: Identity<'a>,
    authors: Vec<NamedWire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_markets: Option<&'static [&'static str]>,
    description: &'a str,
    edition: &'static str,
    explicit: bool,
    images: ThreeImages,
    languages: [&'static str; 1],
    media_type: &'static str,
    name: &'a str,
    narrators: Vec<NamedWire<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<&'a String>,
    total_chapters: u32,
}

#[derive(Serialize)]
struct NamedWire<'a> {
    name: &'a str,
}

impl<'a> Renderer<'a> {
    pub fn show(self, no: ShowNo) -> ShowWire<'a> {
        let show = &self.catalogue[no];
        ShowWire {
            identity: Identity::of(Kind::Show, &show.id),
            available_markets: self.legacy(MARKETS),
            description: &show.description,
            explicit: show.explicit,
            images: show_images(show.art),
            media_type: "audio",
            name: &show.name,
            publisher: self.legacy(&show.publisher),
            total_episodes: show.total_episodes,
        }
    }

    /// An episode in full.
    pub fn episode(self, no: EpisodeNo) -> EpisodeWire<'a> {
        let episode = &self.catalogue[no];
        EpisodeWire {
            identity: Identity::of(Kind::Episode, &episode.id),
            duration_ms: episode.duration_ms,
            explicit: false,
            images: show_images(episode.art),
            is_externally_hosted: false,
            is_playable: true,
            languages: ["en"],
            name: &episode.name,
            release_date: &episode.release_date,
            release_date_precision: "day",
            show: self.show(episode.show),
        }
    }

    pub fn audiobook(self, no: AudiobookNo) -> AudiobookWire<'a> {
        let audiobook = &self.catalogue[no];
        let named = |names: &'a [String]| names.iter().map(|name| NamedWire { name }).collect();
        AudiobookWire {
            identity: Identity::of(Kind::Audiobook, &audiobook.id),
            authors: named(&audiobook.authors),
            available_markets: self.legacy(MARKETS),
            description: &audiobook.description,
            edition: "Unabridged",
            explicit: false,
            images: show_images(audiobook.art),
            languages: ["en"],
            media_type: "audio",
            name: &audiobook.name,
            narrators: named(&audiobook.narrators),
            publisher: self.legacy(&audiobook.publisher),
            total_chapters: audiobook.total_chapters,
        }
    }

    pub fn saved_show(self, row: &Saved<ShowNo>) -> SavedShowWire<'a> {
        SavedShowWire { added_at: seconds(row.added_at), show: row.item.map(|no| self.show(no)) }
    }

    pub fn saved_episode(self, row: &Saved<EpisodeNo>) -> SavedEpisodeWire<'a> {
        SavedEpisodeWire { added_at: seconds(row.added_at), episode: row.item.map(|no| self.episode(no)) }
    }

    pub fn saved_audiobook(self, row: &Saved<AudiobookNo>) -> SavedAudiobookWire<'a> {
        let audiobook = row.item.map(|no| self.audiobook(no));
        match self.dialect {
            Dialect::Current => SavedAudiobookWire::Bare(audiobook),
            Dialect::Legacy => SavedAudiobookWire::Wrapped { added_at: seconds(row.added_at), audiobook },
        }
    }
}

/// A row in its plain form, for tests.
#[derive(Serialize)]
pub struct SpokenTruth<'a> {
    id: &'a str,
    name: &'a str,
    /// Null if the dialect does not say.
    added_at: Option<String>,
}

impl<'a> SpokenTruth<'a> {
    pub fn of<T: Copy>(
        rows: &[Saved<T>],
        is_dated: bool,
        names: impl Fn(T) -> (&'a str, &'a str),
    ) -> Vec<Option<SpokenTruth<'a>>> {
        let truth = |row: &Saved<T>| {
            let (id, name) = names(row.item?);
            Some(SpokenTruth { id, name, added_at: is_dated.then(|| seconds(row.added_at)) })
        };
        rows.iter().map(truth).collect()
    }
}
