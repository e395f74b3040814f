//! Makes up shows, episodes and audiobooks.

use fastrand::Rng;

use super::Saved;
use crate::sandbox::catalogue::{Audiobook, AudiobookNo, Episode, EpisodeNo, Show, ShowNo};
use crate::sandbox::config::LibrarySpec;
use crate::sandbox::dates::Dates;
use crate::sandbox::library::Library;
use crate::sandbox::maker::Maker;
use crate::sandbox::names::Namer;

/// Episodes of a made-up show that may be saved.
const EPISODES_PER_SHOW: usize = 12;

/// Adds spoken items to a library that has none. It has its own random source, so the rest of a library stays the same.
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

/// Damages a row here and there. The totals stay.
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

    /// A show for new episodes.
    pub fn any_show(&mut self) -> ShowNo {
        self.catalogue.show_at(self.rng.f64()).unwrap_or_else(|| self.show())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{config::Dialect, generate, truth::Truth};

    #[test]
    fn what_is_spoken_changes_nothing_else_and_is_made_up_alike() {
        let spec = LibrarySpec::exact(40, 5, 5, 2, 5);
        let told = |spec: &LibrarySpec| {
            let library = generate::library(spec, 7);
            serde_json::to_value(Truth::of(&library, Dialect::Legacy)).expect("it serialises")
        };
        let (without, with) = (told(&spec), told(&spec.clone().with_spoken(3, 30, 2)));
        assert_eq!((&without["tracks"], &without["playlists"]), (&with["tracks"], &with["playlists"]));
        let renderer = ["shows", "episodes", "audiobooks"].map(|listing| with[listing].as_array().map_or(0, Vec::len));
        assert_eq!(renderer, [3, 30, 2]);
        assert_eq!(with, told(&spec.with_spoken(3, 30, 2)));
    }
}
