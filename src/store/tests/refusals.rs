//! A row that the database refuses is lost alone: the rest of its batch commits, and it is noted as odd.
//!
//! Each refusal is one that a person can cause: with an index of their own on one of our columns, or a constraint.

use super::playlists::{complete, item, items_of, one, uncounted};
use super::plays::{heard, poll};
use super::spoken::{audiobook, episode, show};
use super::*;
use crate::model::Membership::{New, Unidentified};
use crate::store::browse::{self, LOOKED_AT_MAX, Members, Search, TrackEntry, Walk};

#[test]
fn a_name_that_no_index_holds_is_stored_found_and_sorted() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let ids: Vec<String> = (0..=LOOKED_AT_MAX).map(|n| format!("t{n:04}")).collect();
        run.commit(tracks(&ids.iter().map(String::as_str).collect::<Vec<_>>()), at(1)).await;
        let complete = Checkpoint { is_complete: true, ..run.checkpoint.clone() };
        db.store.commit(Commit { checkpoint: complete, ..run.commit_of(Rows::Listing(vec![])) }, at(2)).await.unwrap();
        assert_eq!(db.store.index_names().await.unwrap(), ["tracks_by_name"]);

        let names = [format!("a{} same {}", noise(1, 16_000), 2), format!("a{} same {}", noise(1, 16_000), 1)];
        let [first, second] = ["x1", "x2"].map(track);
        let long = [(first, &names[0]), (second, &names[1])].map(|(track, name)| Track { name: name.clone(), ..track });
        let report =
            run.commit(Rows::Listing(long.into_iter().map(|track| saved(track, at(0))).collect()), at(3)).await;
        assert_eq!((report.counts, db.count("sync_odd_items").await), (counts(2, 2, 0, 0), 0));

        let by_name = async |members: &Members, is_descending| {
            let walk = Walk { after: None, is_descending, limit: 3 };
            let page = db.store.members_by_name::<TrackEntry>(members, &walk).await.unwrap().expect("it is indexed");
            page.items.into_iter().map(|track| track.id).collect::<Vec<_>>()
        };
        let all = Members { account: db.account, search: None, are_removed: false };
        assert_eq!(by_name(&all, false).await, ["x1", "x2", "t0000"], "equal beginnings are ordered by their ids");
        assert_eq!(by_name(&all, true).await[0], "t0250");
        let found = Members { search: Search::new("SAME 1"), ..all };
        let page = db
            .store
            .members_by_date::<TrackEntry>(&found, &Walk { after: None, is_descending: true, limit: 3 })
            .await
            .unwrap();
        assert_eq!(page.items.iter().map(|track| track.id.as_str()).collect::<Vec<_>>(), ["x2"], "by any part of it");
        assert!(plan_of_names(db).await.contains("tracks_by_name"), "{}", plan_of_names(db).await);
    });
}

#[test]
fn a_row_of_any_table_that_a_batch_writes_costs_itself_only() {
    on_both(async |db| {
        for (table, column) in
            [("artists", "name"), ("albums", "upc"), ("tracks", "name"), ("playlists", "description")]
        {
            db.limit_length(table, column).await;
        }
        let long = || noise(7, 8_000);
        let run = db.begin(EntityType::Tracks).await;
        let unfit_album = Album { upc: Some(long()), ..album("b2") };
        let unfit_artist = ArtistRef { id: "a9".into(), name: long() };
        let rows = [
            track("t1"),
            Track { name: long(), ..track("t2") },
            Track { album: Some(unfit_album), ..track("t3") },
            Track { artists: vec![unfit_artist], ..track("t4") },
            track("t5"),
        ];
        let report =
            run.commit(Rows::Listing(rows.into_iter().map(|track| saved(track, at(-9))).collect()), at(1)).await;

        assert_eq!(report.counts, ItemCounts { odd: 3, ..counts(5, 5, 0, 0) });
        assert_eq!(report.memberships, [New; 5], "the library has them all");
        assert_eq!(db.texts("position", "sync_odd_items ORDER BY position").await, ["1", "2", "3"]);
        for reason in db.texts("reason", "sync_odd_items").await {
            assert!(reason.starts_with("refused by the database: "), "{reason}");
        }
        let stored = db.texts("t.id || ' ' || t.name || ' ' || t.isrc || ' ' || a.name", TRACKS_AND_ALBUMS).await;
        assert_eq!(stored[1], "t2   album b1", "without its texts, since they were refused");
        assert_eq!(stored[2], "t3 track t3 ISRCt3 ", "its own texts were not");
        assert_eq!(db.texts("last_synced_offset", "sync_states").await, ["5"]);

        // Known values stay, and a row that is repaired is no longer odd.
        let rows = ["t1", "t2", "t3", "t4", "t5"].map(|id| saved(track(id), at(-9)));
        run.commit(Rows::Listing(rows.into()), at(2)).await;
        assert_eq!(db.count("sync_odd_items").await, 0);
        let again = Track { name: long(), ..track("t2") };
        run.commit(Rows::Listing(vec![saved(again, at(-9))]), at(3)).await;
        assert_eq!(db.texts("name || isrc", "tracks WHERE id = 't2'").await, ["track t2ISRCt2"]);

        let run = db.begin(EntityType::Playlists).await;
        let unfit = Playlist { description: Some(long()), ..playlist("p2", "s1") };
        let report = run.commit(playlists([playlist("p1", "s1"), unfit, playlist("p3", "s1")]), at(1)).await;
        assert_eq!((report.counts.odd, report.memberships), (1, vec![New; 3]));
        assert_eq!(db.texts("snapshot_id", "playlists").await, ["s1"; 3], "that is no text to leave out");
    });
}

#[test]
fn what_is_refused_of_a_show_an_episode_or_an_audiobook_costs_that_row_only() {
    on_both(async |db| {
        for (table, column) in [("shows", "publisher"), ("episodes", "description"), ("audiobooks", "edition")] {
            db.limit_length(table, column).await;
        }
        let long = || Some(noise(11, 8_000));
        let of = |item: fn(&str) -> Item, unfit: Item| {
            Rows::Listing([item("x1"), unfit, item("x3")].map(|item| slot(item, Some(at(-5)))).into())
        };
        let rows = [
            (EntityType::Shows, of(a_show, Item::Show(Box::new(Show { publisher: long(), ..show("x2") })))),
            (
                EntityType::Episodes,
                of(an_episode, Item::Episode(Box::new(Episode { description: long(), ..episode("x2") }))),
            ),
            (
                EntityType::Audiobooks,
                of(an_audiobook, Item::Audiobook(Box::new(Audiobook { edition: long(), ..audiobook("x2") }))),
            ),
        ];
        for (entity, rows) in rows {
            let report = db.begin(entity).await.commit(rows, at(1)).await;
            assert_eq!((report.counts.odd, report.memberships), (1, vec![New; 3]), "{entity}");
            let ids = db.texts("id", &format!("{entity} WHERE id LIKE 'x%' ORDER BY id")).await;
            assert_eq!(ids, ["x1", "x2", "x3"], "{entity}: stored without its texts");
        }
    });
}

fn a_show(id: &str) -> Item {
    Item::Show(Box::new(show(id)))
}

fn an_episode(id: &str) -> Item {
    Item::Episode(Box::new(episode(id)))
}

fn an_audiobook(id: &str) -> Item {
    Item::Audiobook(Box::new(audiobook(id)))
}

#[test]
fn an_item_of_a_playlist_keeps_its_place_and_its_identity() {
    on_both(async |db| {
        db.limit_length("playlist_items", "name").await;
        let unfit = |id: &str| PlaylistItem { name: Some(noise(3, 8_000)), ..item(id) };
        let run = db.begin(EntityType::Playlists).await;
        run.commit(playlists([uncounted("p1", "s1")]), at(1)).await;
        let items = vec![item("t1"), unfit("t2"), item("t3")];
        let first = PlaylistPart { items, end: complete("s1", 3), ..one("p1") };
        let report = run.commit(Rows::PlaylistItems(vec![first]), at(1)).await;
        assert_eq!(report.counts, ItemCounts { odd: 1, ..counts(3, 3, 0, 0) });
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t2", "2t3"]);

        // Read in parts, it is kept apart first, where nothing refuses it, and then replaces the rows.
        let parts = [
            PlaylistPart { items: vec![item("t1"), unfit("t2")], ..one("p1") },
            PlaylistPart { items: vec![item("t3"), unfit("t4")], offset: 2, end: complete("s2", 4), ..one("p1") },
        ];
        for part in parts {
            run.commit(Rows::PlaylistItems(vec![part]), at(2)).await;
        }
        assert_eq!(items_of(db, "p1").await, ["0t1", "1t2", "2t3", "3t4"]);
        assert_eq!(db.texts("position", "sync_odd_items ORDER BY position").await, ["1", "3"]);
        assert_eq!(db.count("playlist_changes WHERE kind = 'removed'").await, 0, "nothing is gone");
        assert_eq!(db.texts("items_snapshot_id", "playlists").await, ["s2"]);
    });
}

#[test]
fn a_play_costs_itself_only() {
    on_both(async |db| {
        db.limit_length("plays", "context_uri").await;
        let mut unfit = heard("t2", -200);
        unfit.play.as_mut().unwrap().context_uri = Some(noise(5, 8_000));
        db.store
            .commit_plays(&poll(db, vec![heard("t1", -100), unfit, heard("t3", -300)], 0), Uuid::nil())
            .await
            .unwrap();
        assert_eq!(db.texts("track_id", "plays ORDER BY track_id").await, ["t1", "t2", "t3"]);
        assert_eq!(db.cells("context_uri", "plays WHERE track_id = 't2'").await, [None]);
        assert_eq!(db.texts("entity_type", "sync_odd_items").await, ["plays"]);
    });
}

#[test]
fn a_row_that_breaks_a_rule_in_any_form_is_left_out_and_noted() {
    on_both(async |db| {
        db.execute("CREATE UNIQUE INDEX theirs ON saved_tracks (account_id, added_at)").await;
        let run = db.begin(EntityType::Tracks).await;
        let rows = [("t1", -1), ("t2", -2), ("t3", -2), ("t4", -4)].map(|(id, added)| saved(track(id), at(added)));
        let effects = Effects { record_seen: Some(1), ..Effects::default() };
        let report = run.commit_with(Rows::Listing(rows.into()), effects, at(1)).await;
        assert_eq!(report.memberships, [New, New, Unidentified, New]);
        assert_eq!(report.counts, ItemCounts { odd: 1, ..counts(4, 3, 0, 0) });
        assert_eq!(db.texts("track_id", "saved_tracks ORDER BY track_id").await, ["t1", "t2", "t4"]);
        assert_eq!(db.texts("position", "sync_odd_items").await, ["2"]);
        assert_eq!(db.count("sync_seen").await, 4, "the source has it, whatever the database says");

        // Nothing may refer to a row that is not there.
        db.execute("CREATE UNIQUE INDEX theirs_too ON albums (fetched_at)").await;
        let albums = ["b7", "b8"].map(|id| Track { album: Some(album(id)), ..track(id) });
        run.commit(Rows::Listing(albums.map(|track| saved(track, at(9))).into()), at(2)).await;
        let dangling = "tracks t LEFT JOIN albums a ON a.id = t.album_id WHERE t.album_id IS NOT NULL AND a.id IS NULL";
        assert_eq!((db.count(dangling).await, db.count("tracks WHERE id IN ('b7', 'b8')").await), (0, 2));
    });
}

#[test]
fn a_refusal_of_every_row_is_no_rows_fault_and_writes_nothing() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        db.refuse_inserts("tracks", "TRUE").await;
        let error = db.store.commit(run.commit_of(tracks(&["t1", "t2"])), at(1)).await.unwrap_err();
        assert!(error.to_string().contains("not today") && !error.is_transient(), "{error}");
        assert_eq!((db.count("saved_tracks").await, db.count("sync_odd_items").await), (0, 0));
        assert_eq!(db.texts("last_synced_offset", "sync_states").await, ["0"]);

        db.accept_inserts("tracks").await;
        let report = run.commit(tracks(&["t1", "t2"]), at(2)).await;
        assert_eq!(report.counts, counts(2, 2, 0, 0), "the connection is as good as before");
    });
}

#[test]
fn texts_numbers_and_moments_at_their_limits_are_stored() {
    on_both(async |db| {
        let run = db.begin(EntityType::Tracks).await;
        let odd = Track {
            name: "nul \0 in it, \u{FFFD} half, \u{10FFFF} last, \u{202E} turned".into(),
            duration_ms: Some(i32::MAX),
            disc_number: Some(i32::MIN),
            isrc: Some("\0".into()),
            ..track("t1")
        };
        let [first, last] = [(-62_135_596_800, 0), (253_402_300_799, 999_999_000)]
            .map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap());
        let rows = vec![saved(odd, first), saved(track("t2"), last), saved(track("t3"), at(0))];
        let report = run.commit(Rows::Listing(rows), at(1)).await;
        assert_eq!(report.counts, counts(3, 3, 0, 0));
        assert_eq!(db.texts("track_id", "saved_tracks ORDER BY added_at").await, ["t1", "t3", "t2"]);
        let all = Members { account: db.account, search: None, are_removed: false };
        let page = db
            .store
            .members_by_date::<TrackEntry>(&all, &Walk { after: None, is_descending: false, limit: 9 })
            .await
            .unwrap();
        let listed: Vec<_> = page.items.iter().map(|track| (track.id.as_str(), track.added_at)).collect();
        assert_eq!(listed, [("t1", Some(first)), ("t3", Some(at(0))), ("t2", Some(last))]);
        assert_eq!(page.items[0].name, "nul  in it, \u{FFFD} half, \u{10FFFF} last, \u{202E} turned");
    });
}

const TRACKS_AND_ALBUMS: &str = "(SELECT id, name, coalesce(isrc, '') AS isrc, album_id FROM tracks) t \
                                 JOIN (SELECT id, CASE WHEN upc IS NULL AND id = 'b2' THEN '' ELSE name END AS name \
                                 FROM albums) a ON a.id = t.album_id ORDER BY t.id";

/// Letters and digits without a pattern: no compression makes them fit an index.
fn noise(seed: u64, len: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.alphanumeric()).take(len).collect()
}

async fn plan_of_names(db: &Db) -> String {
    let conn = &mut db.store.connect().await.unwrap();
    let name = browse::folded_sql(conn, "tracks.name");
    let select = format!("SELECT tracks.id FROM tracks WHERE {name} >= 'a' ORDER BY {name}, tracks.id LIMIT 5");
    let lines: Vec<String> = match conn {
        Conn::Sqlite(c) => {
            let steps: Vec<Step> = sql_query(format!("EXPLAIN QUERY PLAN {select}")).load(&mut **c).await.unwrap();
            steps.into_iter().map(|step| step.detail).collect()
        }
        Conn::Pg(c) => {
            c.batch_execute("ANALYZE tracks").await.unwrap();
            let lines: Vec<Line> = sql_query(format!("EXPLAIN {select}")).load(&mut **c).await.unwrap();
            lines.into_iter().map(|line| line.plan).collect()
        }
    };
    lines.join("\n")
}

/// A step of a SQLite query plan.
#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// A line of a PostgreSQL query plan.
#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    plan: String,
}

impl Db {
    /// Limits the length of a column by an index that a person created for their own queries, on PostgreSQL; SQLite's
    /// indexes hold anything, so there it is a constraint.
    async fn limit_length(&self, table: &str, column: &str) {
        match self.store {
            Store::Sqlite(_) => self.refuse_inserts(table, &format!("length(NEW.{column}) > 2704")).await,
            Store::Pg(_) => self.execute(&format!("CREATE INDEX {table}_theirs ON {table} ({column})")).await,
        }
    }

    async fn refuse_inserts(&self, table: &str, when: &str) {
        let sql = match self.store {
            Store::Sqlite(_) => format!(
                "CREATE TRIGGER {table}_theirs BEFORE INSERT ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, 'not today'); END"
            ),
            Store::Pg(_) => format!(
                "CREATE FUNCTION {table}_no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$; \
                 CREATE TRIGGER {table}_theirs BEFORE INSERT ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {table}_no()"
            ),
        };
        self.execute(&sql).await;
    }

    async fn accept_inserts(&self, table: &str) {
        match self.store {
            Store::Sqlite(_) => self.execute(&format!("DROP TRIGGER {table}_theirs")).await,
            Store::Pg(_) => self.execute(&format!("DROP TRIGGER {table}_theirs ON {table}")).await,
        }
    }
}
