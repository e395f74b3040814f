//! Saving and removing shows, episodes and audiobooks.

use chrono::{DateTime, Utc};

use super::{Saved, Spoken};
use crate::sandbox::applied::{Applied, Wanted, applied, drain, find_all, saved_now};
use crate::sandbox::library::Library;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{config::LibrarySpec, generate};

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
