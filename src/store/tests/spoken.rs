//! Shows, episodes and audiobooks: what silence erases, who owns what, and since when.

use super::*;
use crate::model::batch::Removal;
use crate::store::ChangeKind;

pub(super) fn show(id: &str) -> Show {
    Show {
        id: id.into(),
        name: format!("show {id}"),
        publisher: Some("a house".into()),
        description: Some("words".into()),
        media_type: Some("audio".into()),
        explicit: Some(false),
        total_episodes: Some(12),
        image_url: None,
    }
}

pub(super) fn episode(id: &str) -> Episode {
    Episode {
        id: id.into(),
        name: format!("episode {id}"),
        show: Some(show("s1")),
        description: None,
        duration_ms: Some(3_600_000),
        explicit: Some(true),
        release_date: Some("2025-01-02".into()),
        release_date_precision: Some("day".into()),
        image_url: None,
    }
}

pub(super) fn audiobook(id: &str) -> Audiobook {
    Audiobook {
        id: id.into(),
        name: format!("audiobook {id}"),
        authors: Some(vec!["Ada".into(), "Bo".into()]),
        narrators: Some(vec!["Cy".into()]),
        publisher: None,
        description: None,
        edition: Some("Unabridged".into()),
        explicit: None,
        total_chapters: Some(7),
        image_url: None,
    }
}

pub(super) fn of_show(show: Show) -> Rows {
    Rows::Listing(vec![slot(Item::Show(Box::new(show)), Some(at(-5)))])
}

pub(super) fn of_episode(episode: Episode) -> Rows {
    Rows::Listing(vec![slot(Item::Episode(Box::new(episode)), Some(at(-5)))])
}

pub(super) fn of_audiobook(audiobook: Audiobook, added_at: Option<DateTime<Utc>>) -> Rows {
    Rows::Listing(vec![slot(Item::Audiobook(Box::new(audiobook)), added_at)])
}

#[test]
fn silence_erases_nothing_and_an_episode_brings_its_show() {
    on_both(async |db| {
        let episodes = db.begin(EntityType::Episodes).await;
        assert_eq!(episodes.commit(of_episode(episode("e1")), at(1)).await.counts, counts(1, 1, 0, 0));
        assert_eq!(db.texts("publisher", "shows").await, ["a house"]);
        assert_eq!(db.texts("show_id", "episodes").await, ["s1"]);
        let silent = Show { publisher: None, description: None, total_episodes: None, ..show("s1") };
        let shows = db.begin(EntityType::Shows).await;
        assert_eq!(shows.commit(of_show(silent), at(2)).await.counts, counts(1, 1, 0, 0));
        assert_eq!(db.texts("publisher || total_episodes", "shows").await, ["a house12"]);
        let shows_again = shows.commit(of_show(Show { publisher: Some("another".into()), ..show("s1") }), at(3)).await;
        assert_eq!(shows_again.counts, counts(1, 0, 1, 0));

        let books = db.begin(EntityType::Audiobooks).await;
        books.commit(of_audiobook(audiobook("a1"), None), at(4)).await;
        let silent = Audiobook { authors: Some(vec![]), narrators: None, ..audiobook("a1") };
        assert_eq!(books.commit(of_audiobook(silent, None), at(5)).await.counts, counts(1, 0, 0, 1));
        assert_eq!(db.texts("authors || narrators", "audiobooks").await, [r#"["Ada","Bo"]["Cy"]"#]);
    });
}

#[test]
fn an_audiobook_without_a_date_came_when_it_was_first_seen() {
    on_both(async |db| {
        let books = db.begin(EntityType::Audiobooks).await;
        books.commit(of_audiobook(audiobook("a1"), None), at(1)).await;
        let removal = Removal { pass: 99, of: Gone::All };
        let gone = Effects { removal: Some(removal), ..Effects::default() };
        books.commit_with(Rows::Listing(vec![]), gone, at(2)).await;
        books.commit(of_audiobook(audiobook("a1"), None), at(3)).await;
        books.commit(of_audiobook(audiobook("a2"), Some(at(-9))), at(4)).await;

        let mut changes = db.store.changes(&[db.account], &[EntityType::Audiobooks], at(-100));
        let mut told = Vec::new();
        while let Some(change) = changes.next().await.unwrap() {
            assert_eq!(change.artist.as_deref(), Some("Ada"));
            told.push(((change.at - at(0)).num_seconds(), change.kind, change.id.unwrap()));
        }
        let expected = [
            (3, ChangeKind::AddedAgain, "a1".to_owned()),
            (1, ChangeKind::Added, "a1".to_owned()),
            (-9, ChangeKind::Added, "a2".to_owned()),
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn what_nobody_has_saved_any_more_goes_with_its_account() {
    on_both(async |db| {
        db.begin(EntityType::Shows).await.commit(of_show(show("s2")), at(1)).await;
        db.begin(EntityType::Episodes).await.commit(of_episode(episode("e1")), at(1)).await;
        db.begin(EntityType::Audiobooks).await.commit(of_audiobook(audiobook("a1"), None), at(1)).await;
        let other = db.store.upsert_account("noor", None, None, at(0)).await.unwrap();
        db.begin_for(other, EntityType::Shows).await.commit(of_show(show("s2")), at(2)).await;

        let purged = db.store.purge(db.account, Imported::Kept).await.unwrap();

        assert_eq!((purged.saved_shows, purged.saved_episodes, purged.saved_audiobooks), (1, 1, 1));
        assert_eq!((purged.shows, purged.episodes, purged.audiobooks), (1, 1, 1), "one show is somebody else's, too");
        assert_eq!(db.texts("id", "shows").await, ["s2"]);
    });
}
