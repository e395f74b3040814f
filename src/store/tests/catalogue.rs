//! The catalogue: what a poorer mention may not erase, and credits.

use super::*;

fn links(of: &str) -> String {
    format!("{of}_artists ORDER BY {of}_id, position")
}

#[test]
fn a_simplified_album_erases_nothing_that_the_full_one_told() {
    on_both(async |db| {
        let full = Album { upc: Some("0042".into()), image_url: Some("https://i/640".into()), ..album("b1") };
        let run = db.begin(EntityType::Albums).await;
        run.commit(Rows::Listing(vec![saved_album(full)]), at(1)).await;
        let run = db.begin(EntityType::Tracks).await;
        let poorer = Album { album_type: None, total_tracks: None, artists: vec![], ..album("b1") };
        let on_it = Track { album: Some(poorer), ..track("t1") };
        run.commit(Rows::Listing(vec![saved(on_it, at(-1))]), at(2)).await;

        assert_eq!(
            db.texts("upc || ' ' || image_url || ' ' || album_type", "albums").await,
            ["0042 https://i/640 album"]
        );
        assert_eq!(db.texts("rev", "albums").await, ["1"]);
        assert_eq!(db.texts("artist_id", &links("album")).await, ["a1"]);
    });
}

#[test]
fn a_mention_of_an_artist_erases_no_genres() {
    on_both(async |db| {
        let full = Artist { id: "a1".into(), name: "Ada".into(), genres: Some(vec![]), image_url: Some("i".into()) };
        let run = db.begin(EntityType::Artists).await;
        run.commit(Rows::Listing(vec![slot(Item::Artist(Box::new(full)), None)]), at(1)).await;
        db.begin(EntityType::Tracks).await.commit(tracks(&["t1"]), at(2)).await;
        assert_eq!(db.texts("name || genres || image_url", "artists WHERE id = 'a1'").await, ["artist a1[]i"]);
    });
}

#[test]
fn a_takedown_does_not_erase_the_name() {
    on_both(async |db| {
        let run = db.begin(EntityType::Albums).await;
        run.commit(Rows::Listing(vec![saved_album(album("b1"))]), at(1)).await;
        let taken_down = Album { name: String::new(), ..album("b1") };
        let report = run.commit(Rows::Listing(vec![saved_album(taken_down)]), at(2)).await;
        assert_eq!(db.texts("name", "albums").await, ["album b1"]);
        assert_eq!(report.counts, counts(1, 0, 0, 1));
    });
}

#[test]
fn of_two_mentions_in_one_batch_the_fuller_wins() {
    on_both(async |db| {
        let poor = Album { name: String::new(), artists: vec![], release_date: None, ..album("b1") };
        let rich = Album { upc: Some("0042".into()), artists: vec![artist_ref("a1"), artist_ref("a3")], ..album("b1") };
        let slots = vec![
            saved(Track { album: Some(poor), ..track("t1") }, at(-1)),
            saved(Track { album: Some(rich), ..track("t2") }, at(-2)),
            saved(track("t3"), at(-3)),
        ];
        db.begin(EntityType::Tracks).await.commit(Rows::Listing(slots), at(1)).await;
        assert_eq!(db.texts("name || ' ' || upc || ' ' || release_date", "albums").await, ["album b1 0042 1999"]);
        assert_eq!(db.texts("artist_id", &links("album")).await, ["a1", "a3"]);
    });
}

#[test]
fn a_shorter_list_of_artists_leaves_no_stale_ones() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let by = |artists: &[&str]| {
            let artists: Vec<ArtistRef> = artists.iter().map(|id| artist_ref(id)).collect();
            let on = Album { artists: artists.clone(), ..album("b1") };
            Rows::Listing(vec![
                saved(Track { artists, album: Some(on), ..track("t1") }, at(-1)),
                saved(track("t2"), at(-2)),
            ])
        };
        run.commit(by(&["a1", "a2", "a3"]), at(1)).await;
        let report = run.commit(by(&["a3"]), at(2)).await;
        assert_eq!(report.counts, counts(2, 0, 1, 1));
        assert_eq!(db.texts("track_id || artist_id", &links("track")).await, ["t1a3", "t2a1", "t2a2"]);
    });
}

#[test]
fn artists_that_changed_places_make_a_track_updated() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        run.commit(tracks(&["t1"]), at(1)).await;
        let swapped = Track { artists: vec![artist_ref("a2"), artist_ref("a1")], ..track("t1") };
        let report = run.commit(Rows::Listing(vec![saved(swapped, at(-1000))]), at(2)).await;
        assert_eq!(report.counts, counts(1, 0, 1, 0));
        assert_eq!(db.texts("artist_id", &links("track")).await, ["a2", "a1"]);
    });
}

#[test]
fn a_large_batch_is_cut_and_arrives_whole() {
    on_both(async |db| {
        let ids: Vec<String> = (0..451).map(|n| format!("t{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let report = db.begin(EntityType::Tracks).await.commit(tracks(&ids), at(1)).await;
        assert_eq!(report.counts, counts(451, 451, 0, 0));
        assert_eq!((db.count("tracks").await, db.count("track_artists").await), (451, 902));
    });
}

#[test]
fn silence_erases_nothing_that_is_known() {
    on_both(async |db| {
        let (full, run) = (track("t1"), db.begin(EntityType::Tracks).await);
        let on = Album { upc: Some("0042".into()), image_url: Some("i".into()), ..album("b1") };
        run.commit(Rows::Listing(vec![saved(Track { album: Some(on), ..full }, at(-1))]), at(1)).await;
        let columns = "coalesce(name, '') || coalesce(album_id, '') || coalesce(duration_ms, 0) || coalesce(isrc, '') \
                       || CAST(explicit AS TEXT) || coalesce(disc_number, 0) || coalesce(track_number, 0)";
        let known =
            (db.texts(columns, "tracks").await, db.texts("name || upc || image_url || total_tracks", "albums").await);
        let silent = Track {
            name: String::new(),
            album: None,
            duration_ms: None,
            explicit: None,
            disc_number: None,
            track_number: None,
            isrc: None,
            artists: vec![],
            ..track("t1")
        };
        let report = run.commit(Rows::Listing(vec![saved(silent.clone(), at(-1))]), at(2)).await;
        assert_eq!(report.counts, counts(1, 0, 0, 1));
        let empty = Album {
            name: String::new(),
            release_date: None,
            release_date_precision: None,
            total_tracks: None,
            artists: vec![ArtistRef::unread()],
            ..album("b1")
        };
        run.commit(Rows::Listing(vec![saved(Track { album: Some(empty), ..silent }, at(-1))]), at(3)).await;
        let now =
            (db.texts(columns, "tracks").await, db.texts("name || upc || image_url || total_tracks", "albums").await);
        assert_eq!(now, known);
        assert_eq!(db.texts("artist_id", &links("track")).await, ["a1", "a2"]);
        assert_eq!(db.texts("artist_id", &links("album")).await, ["a1"]);
    });
}

#[test]
fn genres_that_are_known_stay_when_none_are_told() {
    on_both(async |db| {
        let run = db.begin(EntityType::Artists).await;
        let told = async |genres: Option<Vec<&str>>| {
            let genres = genres.map(|genres| genres.into_iter().map(str::to_owned).collect());
            let artist = Artist { id: "a1".into(), name: "Ada".into(), genres, image_url: None };
            run.commit(Rows::Listing(vec![slot(Item::Artist(Box::new(artist)), None)]), at(1)).await;
            db.cells("genres", "artists").await.remove(0)
        };
        assert_eq!(told(None).await, None);
        assert_eq!(told(Some(vec![])).await.as_deref(), Some("[]"));
        assert_eq!(told(Some(vec!["jazz", "rock"])).await.as_deref(), Some(r#"["jazz","rock"]"#));
        for silence in [None, Some(vec![])] {
            assert_eq!(told(silence).await.as_deref(), Some(r#"["jazz","rock"]"#));
        }
        assert_eq!(told(Some(vec!["folk"])).await.as_deref(), Some(r#"["folk"]"#));
    });
}

#[test]
fn a_name_that_arrives_damaged_does_not_replace_a_whole_one() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        for (name, kept) in [
            ("\u{FFFD} half", "\u{FFFD} half"),
            ("a \u{FFFD}", "a \u{FFFD}"),
            ("whole", "whole"),
            ("\u{FFFD} half", "whole"),
            ("", "whole"),
            ("new", "new"),
        ] {
            let named = Track { name: name.into(), ..track("t1") };
            run.commit(Rows::Listing(vec![saved(named, at(-1))]), at(1)).await;
            assert_eq!(db.texts("name", "tracks").await, [kept], "after {name:?}");
        }
    });
}

#[test]
fn an_artist_without_an_id_takes_nobodys_place() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let only_named = || ArtistRef { id: "local:X".into(), name: "X".into() };
        let by = async |artists: Vec<ArtistRef>| {
            run.commit(Rows::Listing(vec![saved(Track { artists, ..track("t1") }, at(-1))]), at(1)).await;
            db.texts("artist_id", &links("track")).await
        };
        assert_eq!(by(vec![only_named(), artist_ref("a2")]).await, ["local:X", "a2"]);
        assert_eq!(by(vec![artist_ref("a1"), artist_ref("a2")]).await, ["a1", "a2"]);
        assert_eq!(by(vec![only_named(), artist_ref("a2")]).await, ["a1", "a2"]);
        assert_eq!(by(vec![ArtistRef::unread(), artist_ref("a3")]).await, ["a1", "a3"]);
        assert_eq!(by(vec![ArtistRef::unread()]).await, ["a1", "a3"]);
        assert_eq!(db.texts("name", "artists WHERE id = 'local:X'").await, ["X"]);
    });
}

#[test]
fn the_tracks_on_a_saved_album_enter_the_catalogue_and_erase_nothing() {
    on_both(async |db| {
        db.begin(EntityType::Tracks).await.commit(tracks(&["t1"]), at(1)).await;
        let simplified = |id: &str, number| Track { album: None, isrc: None, track_number: Some(number), ..track(id) };
        let on_it = |tracks| {
            let saved = SavedAlbum { added_at: Some(at(-1)), album: album("b1"), tracks };
            Rows::Listing(vec![slot(Item::Album(Box::new(saved)), Some(at(-1)))])
        };
        let run = db.begin(EntityType::Albums).await;
        run.commit(on_it(vec![simplified("t1", 3), simplified("t2", 4)]), at(2)).await;
        let columns = "id || ' ' || album_id || ' ' || track_number || ' ' || coalesce(isrc, '-')";
        assert_eq!(db.texts(columns, "tracks ORDER BY id").await, ["t1 b1 3 ISRCt1", "t2 b1 4 -"]);
        assert_eq!(db.texts("track_id", "saved_tracks").await, ["t1"]);
        assert_eq!(db.count("track_artists").await, 4);
        let before = db.fingerprint("tracks").await;
        let report = run.commit(on_it(vec![simplified("t1", 3), simplified("t2", 4)]), at(3)).await;
        assert_eq!(report.counts, counts(1, 0, 0, 1));
        if let Store::Pg(_) = db.store {
            assert_eq!(db.fingerprint("tracks").await, before);
        }
        assert_eq!(db.texts("rev", "tracks").await, ["1", "1"]);
    });
}
