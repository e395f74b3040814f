//! Lists that are longer than one request may read.

use super::*;
use crate::store::browse::{DateKey, LOOKED_AT_MAX, ListPage, Members, NameKey, Search, TrackEntry, Walk};
use std::collections::BTreeSet;

/// Saved tracks, some removed, with as many tracks of the catalogue that are not saved.
const NUM_SAVED: usize = 2 * LOOKED_AT_MAX + 300;

#[test]
fn a_long_list_is_sorted_by_name_once_it_has_been_read_and_indexed() {
    on_both(async |db| {
        let members = Members { account: db.account, search: None, are_removed: false };
        let run = db.begin(EntityType::Tracks).await;
        fill(db).await;
        assert_eq!(db.store.index_names().await.unwrap(), Vec::<&str>::new(), "not while it is being read");
        let walk = Walk { after: None, is_descending: false, limit: 50 };
        assert_eq!(db.store.members_by_name::<TrackEntry>(&members, &walk).await.unwrap(), None);

        let complete = Checkpoint { is_complete: true, ..run.checkpoint.clone() };
        let end = Commit { checkpoint: complete, ..run.commit_of(Rows::Listing(vec![])) };
        db.store.commit(end, at(5)).await.unwrap();
        assert_eq!(db.store.index_names().await.unwrap(), ["tracks_by_name"]);
        assert_eq!(db.store.index_names().await.unwrap(), Vec::<&str>::new(), "once is enough");

        for (is_descending, are_removed) in [(false, false), (true, false), (false, true), (true, true)] {
            let members = Members { are_removed, ..members.clone() };
            let shown = all_by_name(db, &members, is_descending).await;
            let names: Vec<String> = shown.iter().map(|track| track.name.to_ascii_lowercase()).collect();
            let is_sorted = if is_descending { names.iter().rev().is_sorted() } else { names.is_sorted() };
            assert!(is_sorted, "down: {is_descending}, gone: {are_removed}");
            let ids: BTreeSet<&str> = shown.iter().map(|track| track.id.as_str()).collect();
            let expected = if are_removed { NUM_SAVED / 10 } else { NUM_SAVED - NUM_SAVED / 10 };
            assert_eq!((ids.len(), shown.len()), (expected, expected));
        }
    });
}

#[test]
fn no_request_looks_at_more_than_it_may_and_all_are_looked_at_in_the_end() {
    on_both(async |db| {
        db.begin(EntityType::Tracks).await;
        fill(db).await;
        let find = async |words: &str, are_removed| {
            let members = Members { account: db.account, search: Search::new(words), are_removed };
            let mut walk = Walk { after: None, is_descending: true, limit: 50 };
            let (mut found, mut num_requests) = (Vec::new(), 0);
            loop {
                num_requests += 1;
                let ListPage { items, next }: ListPage<TrackEntry, DateKey> =
                    db.store.members_by_date(&members, &walk).await.unwrap();
                found.extend(items.into_iter().map(|track| track.name));
                let Some(next) = next else { return (found, num_requests) };
                walk.after = Some(next);
            }
        };
        assert_eq!(find("nothing is called this", false).await, (vec![], NUM_SAVED.div_ceil(LOOKED_AT_MAX)));
        assert_eq!(
            find("NAME 0000011", false).await,
            (vec!["name 0000011".to_owned()], NUM_SAVED.div_ceil(LOOKED_AT_MAX))
        );
        let (gone, num_requests) = find("name", true).await;
        assert_eq!((gone.len(), num_requests), (NUM_SAVED / 10, (NUM_SAVED / 10).div_ceil(50)));
    });
}

async fn all_by_name(db: &Db, members: &Members, is_descending: bool) -> Vec<TrackEntry> {
    let mut walk: Walk<NameKey> = Walk { after: None, is_descending, limit: 200 };
    let mut shown = Vec::new();
    loop {
        let page = db.store.members_by_name(members, &walk).await.unwrap().expect("it is indexed, or short");
        shown.extend(page.items);
        let Some(next) = page.next else { return shown };
        walk.after = Some(next);
    }
}

/// Every tenth is removed; names are not in the order of ids or dates, and every second begins with a capital.
async fn fill(db: &Db) {
    let series =
        format!("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {})", 2 * NUM_SAVED - 1);
    let id = "'t' || substr(CAST(10000000 + i * 7919 % 100003 AS TEXT), 2)";
    let gone = match db.store {
        Store::Sqlite(_) => "'2026-03-02 10:00:00.000000+00:00'",
        Store::Pg(_) => "CAST('2026-03-02 10:00:00+00:00' AS TIMESTAMPTZ)",
    };
    let number = "substr(CAST(10000000 + i AS TEXT), 2)";
    db.execute(&format!(
        "{series} INSERT INTO tracks (id, name, fetched_at) \
         SELECT {id}, CASE WHEN i % 2 = 0 THEN 'Name ' ELSE 'name ' END || {number}, '2026-03-01 10:00:00.000000+00:00' FROM n"
    ))
    .await;
    db.execute(&format!(
        "{series} INSERT INTO saved_tracks (account_id, track_id, added_at, removed_at) \
         SELECT {}, {id}, '2026-03-01 10:00:00.000000+00:00', \
         CASE WHEN i % 10 = 0 THEN {gone} END FROM n WHERE i < {NUM_SAVED}",
        db.account.0
    ))
    .await;
    if matches!(db.store, Store::Pg(_)) {
        db.execute("ANALYZE").await;
    }
}
