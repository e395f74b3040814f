//! Tests of the store, each on both databases. SQLite needs nothing. PostgreSQL is the server at
//! `SEGNO_TEST_POSTGRES_URL`, where each test makes a database of its own and drops it again; without that variable the
//! test says so, and fails if `SEGNO_REQUIRE_SERVICES=1`.

mod accounts;
mod backup;
mod browse;
mod catalogue;
mod changes;
mod commit;
mod downgrade;
mod effects;
mod heard;
mod held;
mod held_items;
mod kept;
mod ledger;
mod nodes;
mod opening;
mod outbox;
mod pending;
mod playlists;
mod plays;
mod purge;
mod read_again;
mod refusals;
mod relay;
mod retention;
mod runs;
mod shared_doubts;
mod spoken;
mod states;
mod status;
mod tokens;
mod versions;

use super::sync_states::{self, StateKey, SyncState};
use super::{Conn, DatabaseUrl, Imported, PlayCounts, Store, StoreError, with_conn};
use crate::model::batch::{Effects, Rows};
use crate::model::*;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;
use uuid::Uuid;

/// An open database with one account, and where it is.
struct Db {
    store: Store,
    url: DatabaseUrl,
    account: AccountId,
}

/// Runs a test on each database, on a runtime like an actix System's: one thread.
fn on_both(test: impl AsyncFn(&Db)) {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::sqlite_file(folder.path().join("segno.db"));
    on_one_thread(async { test(&Db::new(url).await).await });

    let Some(server) = postgres_server() else { return };
    let name = format!("segno_test_{}", Uuid::new_v4().simple());
    let admin = |sql: String| {
        on_one_thread(async {
            let config: tokio_postgres::Config = server.parse().unwrap();
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client.batch_execute(&sql).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        });
    };
    admin(format!("CREATE DATABASE {name}"));
    let url = DatabaseUrl::parse(&in_database(&server, &name)).unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| on_one_thread(async { test(&Db::new(url).await).await })));
    admin(format!("DROP DATABASE {name} WITH (FORCE)"));
    outcome.unwrap_or_else(|panic| resume_unwind(panic));
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn postgres_server() -> Option<String> {
    let server = std::env::var("SEGNO_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty());
    if server.is_none() {
        let required = std::env::var("SEGNO_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
        assert!(!required, "SEGNO_REQUIRE_SERVICES=1, but SEGNO_TEST_POSTGRES_URL names no PostgreSQL server");
        // Not eprintln, whose output the harness would capture.
        let _ = writeln!(std::io::stderr(), "SKIPPED on PostgreSQL: SEGNO_TEST_POSTGRES_URL is not set");
    }
    server
}

fn in_database(server: &str, name: &str) -> String {
    let (base, query) = server.split_once('?').map_or((server, String::new()), |(b, q)| (b, format!("?{q}")));
    let (host, _) = base.rsplit_once('/').unwrap();
    format!("{host}/{name}{query}")
}

#[derive(QueryableByName)]
struct Cell {
    #[diesel(sql_type = Nullable<Text>)]
    cell: Option<String>,
}

impl Db {
    async fn new(url: DatabaseUrl) -> Db {
        let store = Store::open(&url, "test").await.unwrap();
        let account = store.upsert_account("mira", None, Some("Mira"), at(0)).await.unwrap();
        Db { store, url, account }
    }

    async fn state(&self, key: StateKey) -> Option<SyncState> {
        sync_states::get(&mut self.store.connect().await.unwrap(), key).await.unwrap()
    }

    async fn get_or_create(&self, key: StateKey) -> SyncState {
        sync_states::get_or_create(&mut self.store.connect().await.unwrap(), key).await.unwrap()
    }

    /// As a commit without rows does.
    async fn update_checkpoint(
        &self,
        entity: EntityType,
        fence: Fence,
        checkpoint: &Checkpoint,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let key = StateKey { account: self.account, entity, phase: checkpoint.phase };
        let update =
            async |conn: &mut Conn| sync_states::update_checkpoint(conn, key, fence, checkpoint, now.into()).await;
        self.store.transaction(update).await
    }

    async fn mark_complete(&self, key: StateKey, fence: Fence, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.store.transaction(async |conn| sync_states::mark_complete(conn, key, fence, now.into()).await).await
    }

    /// What an expression yields for each row, as text: `cells("name", "tracks ORDER BY id")`.
    async fn cells(&self, expression: &str, from: &str) -> Vec<Option<String>> {
        let sql = format!("SELECT CAST({expression} AS TEXT) AS cell FROM {from}");
        let mut conn = self.store.connect().await.unwrap();
        let cells: Vec<Cell> = with_conn!(&mut conn, |c| sql_query(sql).load(c).await).unwrap();
        cells.into_iter().map(|cell| cell.cell).collect()
    }

    /// The same, if nothing is null.
    async fn texts(&self, expression: &str, from: &str) -> Vec<String> {
        self.cells(expression, from).await.into_iter().map(Option::unwrap).collect()
    }

    async fn count(&self, from: &str) -> u64 {
        self.texts("count(*)", from).await[0].parse().unwrap()
    }

    async fn execute(&self, sql: &str) {
        let mut conn = self.store.connect().await.unwrap();
        with_conn!(&mut conn, |c| c.batch_execute(sql).await).unwrap();
    }

    /// Something that changes whenever the table's rows are written, even with the same values.
    async fn fingerprint(&self, table: &str) -> Vec<String> {
        match self.store {
            Store::Pg(_) => self.texts("xmin", &format!("{table} ORDER BY 1")).await,
            // SQLite has no row version, but it can count the changes of a connection, and there is only one.
            Store::Sqlite(_) => self.texts("total_changes()", "(SELECT 1) AS one").await,
        }
    }

    async fn begin(&self, entity: EntityType) -> Run<'_> {
        self.begin_for(self.account, entity).await
    }

    async fn begin_for(&self, account: AccountId, entity: EntityType) -> Run<'_> {
        let owner = Uuid::new_v4();
        let begun = self.store.begin_run(account, entity, Phase::InitialSync, owner, "test", at(0)).await;
        let (fence, checkpoint) = begun.unwrap();
        Run { db: self, account, entity, fence, checkpoint }
    }
}

/// A run under its fence.
struct Run<'a> {
    db: &'a Db,
    account: AccountId,
    entity: EntityType,
    fence: Fence,
    checkpoint: Checkpoint,
}

impl Run<'_> {
    /// A batch that reads nothing and moves nothing.
    fn commit_of(&self, rows: Rows) -> Commit {
        let len = u32::try_from(rows.len()).unwrap();
        Commit {
            account_id: self.account,
            entity: self.entity,
            fence: self.fence,
            run_id: Uuid::nil(),
            checkpoint: Checkpoint { offset: len, total: Some(len), ..self.checkpoint.clone() },
            rows,
            effects: Effects::default(),
            offset_from: 0,
            offset_to: len,
            num_requests: 1,
            duration: Duration::from_millis(120),
        }
    }

    /// The rows as a walk decided on just now would commit them.
    async fn current(&self, mut rows: Rows) -> Rows {
        if let Rows::PlaylistItems(parts) = &mut rows {
            for part in parts {
                let of_playlist = format!("playlists WHERE id = '{}'", part.playlist_id);
                part.generation = self.db.texts("items_generation", &of_playlist).await[0].parse().unwrap();
            }
        }
        rows
    }

    async fn commit(&self, rows: Rows, now: DateTime<Utc>) -> CommitReport {
        let rows = self.current(rows).await;
        self.db.store.commit(Box::new(self.commit_of(rows)), now).await.unwrap()
    }

    async fn commit_with(&self, rows: Rows, effects: Effects, now: DateTime<Utc>) -> CommitReport {
        let rows = self.current(rows).await;
        self.db.store.commit(Box::new(Commit { effects, ..self.commit_of(rows) }), now).await.unwrap()
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

fn artist_ref(id: &str) -> ArtistRef {
    ArtistRef { id: id.into(), name: format!("artist {id}") }
}

fn album(id: &str) -> Album {
    Album {
        id: id.into(),
        name: format!("album {id}"),
        album_type: Some("album".into()),
        release_date: Some("1999".into()),
        release_date_precision: Some("year".into()),
        total_tracks: Some(9),
        upc: None,
        image_url: None,
        artists: vec![artist_ref("a1")],
    }
}

fn track(id: &str) -> Track {
    Track {
        id: id.into(),
        uri: None,
        name: format!("track {id}"),
        album: Some(album("b1")),
        duration_ms: Some(180_000),
        explicit: Some(false),
        disc_number: Some(1),
        track_number: Some(3),
        isrc: Some(format!("ISRC{id}")),
        artists: vec![artist_ref("a1"), artist_ref("a2")],
    }
}

fn slot(item: Item, added_at: Option<DateTime<Utc>>) -> Slot {
    Slot { item: Some(item), added_at, odd: None }
}

fn saved(track: Track, added_at: DateTime<Utc>) -> Slot {
    slot(Item::Track(Box::new(SavedTrack { added_at: Some(added_at), track })), Some(added_at))
}

/// A listing of saved tracks, all added at one moment.
fn tracks(ids: &[&str]) -> Rows {
    Rows::Listing(ids.iter().map(|id| saved(track(id), at(-1000))).collect())
}

fn saved_album(album: Album) -> Slot {
    slot(Item::Album(Box::new(SavedAlbum { added_at: Some(at(-1)), album, tracks: vec![] })), Some(at(-1)))
}

fn playlist(id: &str, snapshot_id: &str) -> Playlist {
    Playlist {
        id: id.into(),
        name: format!("playlist {id}"),
        description: Some("for the road".into()),
        owner_id: Some("mira".into()),
        owner_name: Some("Mira".into()),
        public: Some(true),
        collaborative: Some(false),
        snapshot_id: Some(snapshot_id.into()),
        total_items: Some(2),
        image_url: None,
    }
}

/// Why a reading failed.
fn failed(kind: FailureKind, snapshot_id: &str, rest: u64) -> FailedReading {
    FailedReading {
        kind,
        reason: "403".into(),
        snapshot_id: Some(snapshot_id.into()),
        total: None,
        rest: Duration::from_secs(rest),
        is_unreadable: false,
    }
}

fn playlists(playlists: impl IntoIterator<Item = Playlist>) -> Rows {
    Rows::Listing(playlists.into_iter().map(|playlist| slot(Item::Playlist(Box::new(playlist)), None)).collect())
}

fn counts(processed: u32, new: u32, updated: u32, unchanged: u32) -> ItemCounts {
    ItemCounts { processed, new, updated, unchanged, ..ItemCounts::default() }
}

/// What a gate notes without a look.
impl Store {
    async fn save_pause(&self, pause: Pause, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.transaction(async |conn| super::limits::note_pause(conn, pause, now).await).await
    }

    async fn save_ledger(&self, entries: &[LedgerEntry], now: DateTime<Utc>) -> Result<(), StoreError> {
        self.transaction(async |conn| super::ledger::add_entries(conn, entries, now).await).await
    }
}
