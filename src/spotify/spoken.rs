//! Shows, their episodes, and audiobooks: their JSON types, and how their rows are decoded.
//!
//! An audiobook comes bare in one dialect, and in the other inside a row that says when it was saved. New applications
//! are not given the `publisher` of anything.

use super::{
    row::Row,
    wire::{ImagesWire, Lax, Names, OrName, objects},
};
use crate::model::{Audiobook, Episode, Item, Oddity, Show};
use serde_json::Number;
use std::mem::take;

/// Objects or texts, or only one in the place of the list.
type NamesWire = Names<NamedWire, 100>;

impl From<String> for NamedWire {
    fn from(name: String) -> NamedWire {
        NamedWire { name: Lax::Given(name) }
    }
}

objects! {
    struct SavedShowWire {
        added_at: String,
        show: ShowWire,
        item: ShowWire,
    }

    /// A show, in full or as part of an episode.
    struct ShowWire {
        id: String,
        uri: String,
        name: String,
        publisher: String,
        description: String,
        media_type: String,
        explicit: bool,
        total_episodes: Number,
        images: ImagesWire,
    }

    struct SavedEpisodeWire {
        added_at: String,
        episode: EpisodeWire,
        item: EpisodeWire,
    }

    struct EpisodeWire {
        id: String,
        uri: String,
        name: String,
        show: ShowWire,
        description: String,
        duration_ms: Number,
        explicit: bool,
        release_date: String,
        release_date_precision: String,
        images: ImagesWire,
    }

    /// An audiobook, or the row around one.
    struct AudiobookWire {
        added_at: String,
        audiobook: Box<AudiobookWire>,
        item: Box<AudiobookWire>,
        id: String,
        uri: String,
        name: String,
        authors: NamesWire,
        narrators: NamesWire,
        publisher: String,
        description: String,
        edition: String,
        explicit: bool,
        total_chapters: Number,
        images: ImagesWire,
    }

    /// An author, or a narrator.
    struct NamedWire {
        name: String,
    }
}

pub(super) fn show_row(wire: Lax<SavedShowWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    row.date("added_at", wire.added_at);
    let inner = row.inner("show", wire.show.or(wire.item))?;
    let show = row.within("show", |row| {
        let show = show(inner, row)?;
        row.expect_name(&show.name);
        Ok(show)
    })?;
    Ok(Item::Show(Box::new(show)))
}

fn show(wire: ShowWire, row: &mut Row) -> Result<Show, Oddity> {
    let uri = row.uri("uri", wire.uri);
    let name = row.text("name", wire.name).unwrap_or_default();
    Ok(Show {
        id: row.identity("show", wire.id, uri.as_deref(), Some(&name))?,
        name,
        publisher: row.words("publisher", wire.publisher),
        description: row.words("description", wire.description),
        media_type: row.words("media_type", wire.media_type),
        explicit: row.take("explicit", wire.explicit),
        total_episodes: row.positive("total_episodes", wire.total_episodes),
        image_url: row.widest_image(wire.images),
    })
}

pub(super) fn episode_row(wire: Lax<SavedEpisodeWire>, row: &mut Row) -> Result<Item, Oddity> {
    let wire = row.open(wire)?;
    row.date("added_at", wire.added_at);
    let inner = row.inner("episode", wire.episode.or(wire.item))?;
    let episode = row.within("episode", |row| {
        let episode = episode(inner, row)?;
        row.expect_name(&episode.name);
        Ok(episode)
    })?;
    Ok(Item::Episode(Box::new(episode)))
}

fn episode(mut wire: EpisodeWire, row: &mut Row) -> Result<Episode, Oddity> {
    let uri = row.uri("uri", wire.uri);
    let name = row.text("name", wire.name).unwrap_or_default();
    let date = row.release_date(wire.release_date);
    let precision = row.words("release_date_precision", wire.release_date_precision);
    Ok(Episode {
        id: row.identity("episode", wire.id, uri.as_deref(), Some(&name))?,
        name,
        show: part_of(take(&mut wire.show), row),
        description: row.words("description", wire.description),
        duration_ms: row.positive("duration_ms", wire.duration_ms),
        explicit: row.take("explicit", wire.explicit),
        release_date_precision: precision.filter(|_| date.is_some()),
        release_date: date,
        image_url: row.widest_image(wire.images),
    })
}

/// The show of an episode, which is optional.
fn part_of(field: Lax<ShowWire>, row: &mut Row) -> Option<Show> {
    let wire = row.take("show", field)?;
    row.within("show", |row| {
        let show = row.unlabelled(|row| show(wire, row));
        row.optional(show)
    })
}

pub(super) fn audiobook_row(wire: Lax<AudiobookWire>, row: &mut Row) -> Result<Item, Oddity> {
    let mut wire = row.open(wire)?;
    row.date("added_at", take(&mut wire.added_at));
    let audiobook = match take(&mut wire.audiobook).or(take(&mut wire.item)) {
        Lax::Missing => audiobook(wire, row),
        inner => {
            let inner = row.inner("audiobook", inner)?;
            row.within("audiobook", |row| audiobook(*inner, row))
        }
    }?;
    Ok(Item::Audiobook(Box::new(audiobook)))
}

fn audiobook(wire: AudiobookWire, row: &mut Row) -> Result<Audiobook, Oddity> {
    let uri = row.uri("uri", wire.uri);
    let name = row.text("name", wire.name).unwrap_or_default();
    let audiobook = Audiobook {
        id: audiobook_id(wire.id, uri.as_deref(), &name, row)?,
        name,
        authors: names("authors", wire.authors, row),
        narrators: names("narrators", wire.narrators, row),
        publisher: row.words("publisher", wire.publisher),
        description: row.words("description", wire.description),
        edition: row.words("edition", wire.edition),
        explicit: row.take("explicit", wire.explicit),
        total_chapters: row.positive("total_chapters", wire.total_chapters),
        image_url: row.widest_image(wire.images),
    };
    row.expect_name(&audiobook.name);
    Ok(audiobook)
}

/// Its URI calls an audiobook a show.
fn audiobook_id(id: Lax<String>, uri: Option<&str>, name: &str, row: &mut Row) -> Result<String, Oddity> {
    let kind = if uri.is_some_and(|uri| uri.starts_with("spotify:audiobook:")) { "audiobook" } else { "show" };
    row.identity(kind, id, uri, Some(name))
}

/// Names without unreadable ones; `None` if the field contains nothing at all.
fn names(field: &'static str, wire: Lax<NamesWire>, row: &mut Row) -> Option<Vec<String>> {
    let names = wire.map(|Names(list)| list);
    let names = row.list(field, names)?;
    row.within(field, |row| {
        let name = |wire: Lax<OrName<NamedWire>>| {
            let OrName(named) = row.take("[]", wire)?;
            row.words("name", named.name)
        };
        Some(names.into_iter().filter_map(name).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntityType, PageRequest, Slot};
    use crate::spotify::decode::page;
    use serde_json::{Value, json};

    #[test]
    fn an_audiobook_is_read_bare_and_wrapped_and_only_the_row_dates_it() {
        let book = json!({ "id": "a1", "name": "Book", "authors": [{ "name": "Ada" }, { "name": "" }, null],
            "narrators": [], "total_chapters": 7, "uri": "spotify:show:a1" });
        let wrapped = json!({ "added_at": "2026-01-02T03:04:05Z", "audiobook": book });
        let slots = slots(EntityType::Audiobooks, json!([book, wrapped]));
        assert_eq!(slots[0].item, slots[1].item);
        assert_eq!(slots.iter().map(|slot| slot.added_at.is_some()).collect::<Vec<_>>(), [false, true]);
        let Some(Item::Audiobook(book)) = &slots[0].item else { panic!("{slots:?}") };
        assert_eq!(
            (book.authors.as_deref(), book.narrators.as_deref()),
            (Some(&["Ada".to_owned()][..]), Some(&[][..]))
        );
        assert_eq!((&book.publisher, book.total_chapters), (&None, Some(7)));
    }

    #[test]
    fn authors_are_kept_however_they_are_written() {
        let of = |authors: Value| json!({ "id": "a1", "name": "Book", "authors": authors });
        for (authors, names) in [
            (json!(["Ada", { "name": "Bo" }, "", 7]), Some(&["Ada", "Bo"][..])),
            (json!("Ada"), Some(&["Ada"][..])),
            (json!({ "name": "Ada" }), Some(&["Ada"][..])),
            (json!({ "name": " " }), Some(&[][..])),
            (json!(7), None),
        ] {
            // Beside a number that does not parse, every field is read by itself.
            for chapters in ["7", "1e999"] {
                let other = json!({ "id": "a2", "total_chapters": "CHAPTERS" });
                let body = json!({ "items": [of(authors.clone()), other], "next": null, "total": 2 }).to_string();
                let body = body.replace("\"CHAPTERS\"", chapters);
                let request = PageRequest::Listing { entity: EntityType::Audiobooks, offset: 0, limit: 50 };
                let slots = page(&request, body.as_bytes()).unwrap().slots;
                let Some(Item::Audiobook(book)) = &slots[0].item else { panic!("{slots:?}") };
                let names = names.map(|names| names.iter().map(|name| String::from(*name)).collect::<Vec<_>>());
                assert_eq!(book.authors, names, "{authors}");
            }
        }
    }

    #[test]
    fn rows_without_their_object_or_its_id_are_odd_and_keep_their_place() {
        let rows = json!([null, { "added_at": "2026-01-02T03:04:05Z", "audiobook": null }, { "name": "Nameless" },
            { "id": null, "uri": "spotify:audiobook:a2", "name": "" }, 7]);
        let slots = slots(EntityType::Audiobooks, rows);
        let odd: Vec<_> = slots.iter().map(|slot| slot.odd.as_ref().map(Oddity::reason)).collect();
        let expected = ["null", "null", "missing_id", "missing_id", "undecodable: row"];
        assert_eq!(odd, expected.map(|reason| Some(reason.to_owned())));
        assert_eq!(slots.iter().map(Slot::id).collect::<Vec<_>>(), [None, None, None, Some("a2"), None]);
    }

    #[test]
    fn a_show_without_a_publisher_and_an_episode_without_a_show_are_whole() {
        let rows = json!([{ "added_at": "2026-01-02T03:04:05Z", "show": { "id": "s1", "name": "Show", "total_episodes": 0 } }]);
        let [slot] = &slots(EntityType::Shows, rows)[..] else { panic!() };
        let Some(Item::Show(show)) = &slot.item else { panic!("{slot:?}") };
        assert_eq!((&show.publisher, show.total_episodes, &slot.odd), (&None, None, &None));
        let rows =
            json!([{ "episode": { "id": "e1", "name": "E", "show": { "name": "no id" }, "duration_ms": 1000 } }]);
        let [slot] = &slots(EntityType::Episodes, rows)[..] else { panic!() };
        let Some(Item::Episode(episode)) = &slot.item else { panic!("{slot:?}") };
        assert_eq!((&episode.show, episode.duration_ms, &slot.odd), (&None, Some(1000), &None));
    }

    fn slots(entity: EntityType, items: Value) -> Vec<Slot> {
        let body = json!({ "items": items, "next": null, "total": 9 });
        page(&PageRequest::Listing { entity, offset: 0, limit: 50 }, body.to_string().as_bytes()).unwrap().slots
    }
}
