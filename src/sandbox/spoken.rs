//! What is spoken: shows, their episodes, and audiobooks. How they are made up and saved, and how they are spelled in JSON.

use chrono::{DateTime, Utc};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::catalogue::{Audiobook, AudiobookNo, Episode, EpisodeNo, Show, ShowNo};
use super::config::{Dialect, LibrarySpec};
use super::edits::{Applied, Wanted, applied, drain, find_all, saved_now};
use super::generate::Dates;
use super::lens::Lens;
use super::library::Library;
use super::maker::Maker;
use super::names::Namer;
use super::wire::{EpisodeWire, Identity, Kind, MARKETS, ShowWire, ThreeImages, seconds, show_images};

/// Episodes of a made-up show that may be saved.
const EPISODES_PER_SHOW: usize = 12;

/// A row of a listing. Some rows have lost what was saved.
#[derive(Clone, Copy, Debug)]
pub struct Saved<T> {
    pub added_at: DateTime<Utc>,
    pub item: Option<T>,
}

/// The listings of what is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoken {
    Shows,
    Episodes,
    Audiobooks,
}

/// Adds what is spoken to a library that has none. Its dice are its own: the rest of a library stays as it was.
pub fn furnish(library: &mut Library, spec: &LibrarySpec, seed: u64) {
    let mut rng = Rng::with_seed(seed ^ 0x5e60_5b0c);
    let mut maker = Maker { catalogue: &mut library.catalogue, rng: &mut rng };
    let num_shows = spec.shows.max(spec.episodes.div_ceil(EPISODES_PER_SHOW));
    let shows: Vec<ShowNo> = (0..num_shows).map(|_| maker.show()).collect();
    let episodes: Vec<EpisodeNo> = (0..spec.episodes).map(|at| maker.episode_of(shows[at % num_shows])).collect();
    let audiobooks: Vec<AudiobookNo> = (0..spec.audiobooks).map(|_| maker.audiobook()).collect();
    library.shows = dated(&mut rng, shows.into_iter().take(spec.shows));
    library.episodes = dated(&mut rng, episodes.into_iter());
    library.audiobooks = dated(&mut rng, audiobooks.into_iter());
    if spec.odd_rows {
        make_odd(library);
    }
}

fn dated<T>(rng: &mut Rng, items: impl ExactSizeIterator<Item = T>) -> Vec<Saved<T>> {
    let dates = Dates::back_from_newest(items.len());
    dates.zip_with(rng, items, |added_at, item| Saved { added_at, item: Some(item) })
}

/// Spoils a row here and there. The totals stay.
fn make_odd(library: &mut Library) {
    if let Some(row) = library.shows.get_mut(2) {
        row.item = None;
    }
    if let Some(no) = library.episodes.get(3).and_then(|row| row.item) {
        library.catalogue[no].name.clear();
    }
    if let Some(no) = library.audiobooks.get(1).and_then(|row| row.item) {
        library.catalogue[no].authors.clear();
    }
}

impl Maker<'_> {
    pub fn show(&mut self) -> ShowNo {
        let (id, name) = (self.id(), Namer(self.rng).album());
        self.show_named(id, name)
    }

    pub fn show_named(&mut self, id: String, name: String) -> ShowNo {
        let show = Show {
            id,
            name,
            publisher: Namer(self.rng).label().to_owned(),
            description: Namer(self.rng).description(),
            explicit: self.rng.u8(..8) == 0,
            total_episodes: self.rng.u32(1..400),
            art: self.art(),
        };
        self.catalogue.add_show(show)
    }

    pub fn episode_of(&mut self, show: ShowNo) -> EpisodeNo {
        let (id, number) = (self.id(), self.rng.u32(1..400));
        let name = format!("#{number} {}", Namer(self.rng).title(None));
        self.episode_named(id, name, show)
    }

    pub fn episode_named(&mut self, id: String, name: String, show: ShowNo) -> EpisodeNo {
        let episode = Episode {
            id,
            name,
            show,
            duration_ms: self.rng.u32(900_000..7_200_000),
            release_date: format!("2025-{:02}-{:02}", self.rng.u8(1..=12), self.rng.u8(1..=28)),
            art: self.art(),
        };
        self.catalogue.add_episode(episode)
    }

    pub fn audiobook(&mut self) -> AudiobookNo {
        let (id, name) = (self.id(), Namer(self.rng).album());
        self.audiobook_named(id, name)
    }

    pub fn audiobook_named(&mut self, id: String, name: String) -> AudiobookNo {
        let num_authors = if self.rng.u8(..5) == 0 { 2 } else { 1 };
        let audiobook = Audiobook {
            id,
            name,
            authors: (0..num_authors).map(|_| Namer(self.rng).listener()).collect(),
            narrators: vec![Namer(self.rng).listener()],
            publisher: Namer(self.rng).label().to_owned(),
            description: Namer(self.rng).description(),
            total_chapters: self.rng.u32(3..80),
            art: self.art(),
        };
        self.catalogue.add_audiobook(audiobook)
    }

    /// A show that new episodes can be of.
    fn any_show(&mut self) -> ShowNo {
        self.catalogue.show_at(self.rng.f64()).unwrap_or_else(|| self.show())
    }
}

/// Saves new ones at the head, or old ones again by id.
pub fn save(library: &mut Library, what: Spoken, wanted: &Wanted<'_>, now: DateTime<Utc>) -> Result<Applied, String> {
    macro_rules! save {
        ($rows:ident, $noun:literal, $all:ident, $new:expr) => {{
            let items: Vec<_> = match wanted {
                Wanted::New(count) => (0..*count).map(|_| $new).collect(),
                Wanted::Known(ids) => find_all(ids, $noun, |id| {
                    let no = library.catalogue.$all().find(|no| library.catalogue[*no].id == id)?;
                    Some((no, library.$rows.iter().any(|row| row.item == Some(no))))
                })?,
            };
            let added_at = saved_now(now, library.$rows.first().map(|row| row.added_at));
            let ids = items.iter().map(|no| Some(library.catalogue[*no].id.clone())).collect::<Vec<_>>();
            library.$rows.splice(0..0, items.into_iter().map(|no| Saved { added_at, item: Some(no) }));
            ids
        }};
    }
    let ids = match what {
        Spoken::Shows => save!(shows, "show", shows, library.maker().show()),
        Spoken::Episodes => save!(episodes, "episode", episodes, {
            let mut maker = library.maker();
            let show = maker.any_show();
            maker.episode_of(show)
        }),
        Spoken::Audiobooks => save!(audiobooks, "audiobook", audiobooks, library.maker().audiobook()),
    };
    Ok(applied("save", ids))
}

/// Removes saved ones.
pub fn unsave(library: &mut Library, what: Spoken, offset: usize, count: usize) -> Result<Applied, String> {
    macro_rules! unsave {
        ($rows:ident, $noun:literal) => {{
            let rows = drain($noun, &mut library.$rows, offset, count)?;
            rows.into_iter().map(|row| row.item.map(|no| library.catalogue[no].id.clone())).collect::<Vec<_>>()
        }};
    }
    let ids = match what {
        Spoken::Shows => unsave!(shows, "show"),
        Spoken::Episodes => unsave!(episodes, "episode"),
        Spoken::Audiobooks => unsave!(audiobooks, "audiobook"),
    };
    Ok(applied("unsave", ids))
}

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

impl<'a> Lens<'a> {
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

/// A row as a test looks at it.
#[derive(Serialize)]
pub struct SpokenTruth<'a> {
    id: &'a str,
    name: &'a str,
    /// Null where the dialect does not say.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{generate, truth::Truth};

    #[test]
    fn what_is_spoken_changes_nothing_else_and_is_made_up_alike() {
        let spec = LibrarySpec::exact(40, 5, 5, 2, 5);
        let told = |spec: &LibrarySpec| {
            let library = generate::library(spec, 7);
            serde_json::to_value(Truth::of(&library, Dialect::Legacy)).expect("it serialises")
        };
        let (without, with) = (told(&spec), told(&spec.clone().with_spoken(3, 30, 2)));
        assert_eq!((&without["tracks"], &without["playlists"]), (&with["tracks"], &with["playlists"]));
        let lens = ["shows", "episodes", "audiobooks"].map(|listing| with[listing].as_array().map_or(0, Vec::len));
        assert_eq!(lens, [3, 30, 2]);
        assert_eq!(with, told(&spec.with_spoken(3, 30, 2)));
    }

    #[test]
    fn what_was_removed_can_be_saved_again_at_the_head() {
        let mut library = generate::library(&LibrarySpec::empty().with_spoken(4, 4, 4), 7);
        for what in [Spoken::Shows, Spoken::Episodes, Spoken::Audiobooks] {
            let gone = unsave(&mut library, what, 2, 9).expect("possible");
            assert_eq!(gone.ids.len(), 2);
            let ids: Vec<String> = gone.ids.into_iter().flatten().collect();
            let back = save(&mut library, what, &Wanted::Known(&ids), Utc::now()).expect("possible");
            assert_eq!(back.ids, ids.iter().cloned().map(Some).collect::<Vec<_>>());
            assert!(save(&mut library, what, &Wanted::Known(&ids), Utc::now()).is_err(), "it is there already");
            save(&mut library, what, &Wanted::New(2), Utc::now()).expect("possible");
        }
        assert_eq!((library.shows.len(), library.episodes.len(), library.audiobooks.len()), (6, 6, 6));
        assert!(library.shows.is_sorted_by(|one, other| one.added_at >= other.added_at));
    }
}
