//! Ten years in the life of a database: what it contains then, and what a run costs compared with the first month.
//!
//! The store alone, with a calendar of its own: per day four runs of each entity type, most of which find nothing, a
//! share of the verifying pass, a few changes, and plays; once a day old notes are deleted as by the service.
//!
//! `cargo run --example years -- [YEARS [sqlite|postgres]]`; PostgreSQL if `SEGNO_TEST_POSTGRES_URL` names a server.

use chrono::{DateTime, TimeDelta, Utc};
use segno::{
    model::{
        AccountId, Album, ArtistRef, Checkpoint, Commit, Effects, EntityType, Item, Phase, Play, PlaySlot, Playlist,
        PlaylistItem, PlaylistItemKind, PlaylistPart, PlaysCommit, PlaysPage, Rows, SavedAlbum, SavedTrack, Slot,
        Track, batch::PlaylistEnd,
    },
    store::{DatabaseUrl, Store},
};
use std::time::{Duration, Instant};
use uuid::Uuid;

const NUM_TRACKS: u32 = 5000;
const NUM_ALBUMS: u32 = 300;
const NUM_ARTISTS: u32 = 180;
const NUM_PLAYLISTS: u32 = 40;
const ITEMS_PER_PLAYLIST: u32 = 100;
const RUNS_PER_DAY: u32 = 4;
const POLLS_PER_DAY: u32 = 8;
const PLAYS_PER_DAY: u32 = 30;
const KEEP_NOTES: TimeDelta = TimeDelta::days(180);

/// Days at the beginning and at the end with all their runs and polls. In between, a week has one run and a few polls,
/// with the same changes and plays: the database ends up the same, and the years pass sooner.
const NUM_WHOLE_DAYS: i64 = 60;

fn main() {
    let years = std::env::args().nth(1).map_or(10, |years| years.parse().expect("a number of years"));
    let only = std::env::args().nth(2);
    let is_wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        if is_wanted("sqlite") {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let file = folder.path().join("years.db");
            println!("SQLite");
            let url = format!("sqlite:{}", file.display());
            live(&url, years, async |_| std::fs::metadata(&file).expect("a file").len()).await;
        }
        if !is_wanted("postgres") {
            return;
        }
        match std::env::var("SEGNO_TEST_POSTGRES_URL") {
            Ok(server) => {
                println!("PostgreSQL");
                let url = fresh_database(&server).await;
                live(&url, years, async |url| {
                    let (client, connection) = connect(url).await;
                    let connection = tokio::spawn(connection);
                    let row = client.query_one("SELECT pg_database_size(current_database())", &[]).await;
                    drop(client);
                    let _ = connection.await;
                    u64::try_from(row.expect("a size").get::<_, i64>(0)).expect("a size")
                })
                .await;
            }
            Err(_) => println!("PostgreSQL SKIPPED: SEGNO_TEST_POSTGRES_URL is not set"),
        }
    });
}

/// The times of a month, one by one.
#[derive(Default)]
struct Spent {
    runs: Vec<Duration>,
    polls: Vec<Duration>,
    status: Vec<Duration>,
}

/// The median, so that other work of the machine hardly counts.
fn median_ms(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took.get(took.len() / 2).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
}

async fn live(url: &str, years: i64, size: impl AsyncFn(&str) -> u64) {
    let parsed = DatabaseUrl::parse(url).expect("a URL");
    let store = Store::open(&parsed, "years").await.expect("opens");
    let begin = DateTime::from_timestamp(1_790_000_000, 0).expect("a moment");
    let account = store.upsert_account("years", None, None, begin).await.expect("an account");
    let mut life = Life { store, account, num_changed: 0 };
    life.first_sync(begin).await;
    let num_days = years * 365;
    let mut spent = Spent::default();
    println!("{:>5} {:>9} {:>12} {:>12} {:>12} {:>9}", "day", "MiB", "ms/run", "ms/poll", "status ms", "plays");
    for day in 0..num_days {
        let is_whole = day < NUM_WHOLE_DAYS || day >= num_days - NUM_WHOLE_DAYS;
        let today = begin + TimeDelta::days(day);
        let number = u32::try_from(day).expect("days");
        if is_whole {
            life.day(today, number, &mut spent).await;
        } else if day % 7 == 6 {
            life.week(today, number - 6).await;
        }
        if (day + 1) % 30 == 0 {
            let is_told = day < 60 || (day + 1) % 360 == 0 || day + 30 >= num_days;
            let spent = std::mem::take(&mut spent);
            if is_told {
                life.store.fold_log().await.expect("folds");
                let mib = size(url).await as f64 / f64::from(1 << 20);
                let plays = PLAYS_PER_DAY * u32::try_from(day + 1).expect("days");
                println!(
                    "{:>5} {mib:>9.1} {:>12.2} {:>12.2} {:>12.2} {plays:>9}",
                    day + 1,
                    median_ms(spent.runs),
                    median_ms(spent.polls),
                    median_ms(spent.status),
                );
            }
        }
    }
}

struct Life {
    store: Store,
    account: AccountId,
    num_changed: u32,
}

impl Life {
    async fn first_sync(&mut self, now: DateTime<Utc>) {
        let nothing = Effects::default;
        for from in (0..NUM_TRACKS).step_by(200) {
            let rows = Rows::Listing((from..from + 200).map(|n| saved_track(n, now)).collect());
            self.run(EntityType::Tracks, rows, nothing(), now).await;
        }
        for from in (0..NUM_ALBUMS).step_by(100) {
            let rows = Rows::Listing((from..from + 100).map(|n| saved_album(n, now)).collect());
            self.run(EntityType::Albums, rows, nothing(), now).await;
        }
        let artists = Rows::Listing((0..NUM_ARTISTS).map(artist).collect());
        self.run(EntityType::Artists, artists, nothing(), now).await;
        self.run(EntityType::Playlists, playlists(0), nothing(), now).await;
        for playlist in 0..NUM_PLAYLISTS {
            self.run(EntityType::Playlists, self.items(playlist, 0).await, nothing(), now).await;
        }
    }

    async fn day(&mut self, now: DateTime<Utc>, day: u32, spent: &mut Spent) {
        for number in 0..RUNS_PER_DAY {
            let now = now + TimeDelta::hours(6) * i32::try_from(number).expect("few");
            let began = Instant::now();
            self.routine(now, day, number).await;
            spent.runs.push(began.elapsed());
        }
        for number in 1..=POLLS_PER_DAY {
            let now = now + TimeDelta::hours(3) * i32::try_from(number).expect("few");
            let began = Instant::now();
            self.poll(now, day * PLAYS_PER_DAY + number * PLAYS_PER_DAY / POLLS_PER_DAY).await;
            spent.polls.push(began.elapsed());
        }
        let began = Instant::now();
        self.store.status(now).await.expect("a status");
        spent.status.push(began.elapsed());
        self.store.forget_notes_before(now - KEEP_NOTES).await.expect("forgets");
    }

    /// What happens in a week, at its end.
    async fn week(&mut self, now: DateTime<Utc>, first_day: u32) {
        let days = first_day..first_day + 7;
        let came = days.clone().flat_map(|day| (0..2).map(move |n| saved_track(NUM_TRACKS + day * 2 + n, now)));
        let removed_ids = days.clone().map(|day| id("t", NUM_TRACKS + (day - 30) * 2)).collect();
        let effects = Effects { removed_ids, ..Effects::default() };
        self.run(EntityType::Tracks, Rows::Listing(came.collect()), effects, now).await;
        self.num_changed += 7;
        self.run(EntityType::Playlists, playlists(self.num_changed), Effects::default(), now).await;
        let mut changed = Vec::new();
        for day in days {
            if let Rows::PlaylistItems(parts) = self.items(day % NUM_PLAYLISTS, self.num_changed).await {
                changed.extend(parts);
            }
        }
        self.run(EntityType::Playlists, Rows::PlaylistItems(changed), Effects::default(), now).await;
        for poll in 1..=5 {
            self.poll(now, first_day * PLAYS_PER_DAY + poll * 7 * PLAYS_PER_DAY / 5).await;
        }
        self.store.forget_notes_before(now - KEEP_NOTES).await.expect("forgets");
    }

    /// The head of each listing, a share of the verifying pass, and what changed today.
    async fn routine(&mut self, now: DateTime<Utc>, day: u32, number: u32) {
        let mut effects = Effects::default();
        let mut head: Vec<Slot> = (0..50).map(|n| saved_track(n, now - TimeDelta::days(4000))).collect();
        if number == 0 {
            // Two tracks a day are added; one that was added a month ago is removed.
            head.extend((0..2).map(|n| saved_track(NUM_TRACKS + day * 2 + n, now)));
            if day >= 30 {
                effects.removed_ids = vec![id("t", NUM_TRACKS + (day - 30) * 2)];
            }
        }
        self.run(EntityType::Tracks, Rows::Listing(head), effects, now).await;
        // Everything is looked at once a week.
        let share = NUM_TRACKS / (7 * RUNS_PER_DAY);
        let from = (day * RUNS_PER_DAY + number) % (7 * RUNS_PER_DAY) * share;
        let slots = (from..from + share).map(|n| saved_track(n, now - TimeDelta::days(4000))).collect();
        self.run(EntityType::Tracks, Rows::Listing(slots), Effects::default(), now).await;
        let albums = Rows::Listing((0..20).map(|n| saved_album(n, now - TimeDelta::days(4000))).collect());
        self.run(EntityType::Albums, albums, Effects::default(), now).await;
        if number == 0 {
            let artists = Rows::Listing((0..50).map(artist).collect());
            self.run(EntityType::Artists, artists, Effects::default(), now).await;
            self.num_changed += 1;
        }
        self.run(EntityType::Playlists, playlists(self.num_changed), Effects::default(), now).await;
        if number == 0 {
            let changed = self.items(day % NUM_PLAYLISTS, self.num_changed).await;
            self.run(EntityType::Playlists, changed, Effects::default(), now).await;
        }
    }

    async fn run(&self, entity: EntityType, rows: Rows, effects: Effects, now: DateTime<Utc>) {
        let (phase, run_id) = (Phase::IncrementalSync, Uuid::new_v4());
        let begun = self.store.begin_run(self.account, entity, phase, run_id, "years", now).await;
        let (fence, checkpoint) = begun.expect("begins");
        let len = u32::try_from(rows.len()).expect("few");
        let commit = Commit {
            account_id: self.account,
            entity,
            fence,
            run_id,
            rows,
            effects,
            checkpoint: Checkpoint { offset: len, total: None, is_complete: true, ..checkpoint },
            offset_from: 0,
            offset_to: len,
            num_requests: 1,
            duration: Duration::ZERO,
        };
        self.store.commit(Box::new(commit), now).await.expect("commits");
    }

    /// The items of a playlist, one of which differs with each change.
    async fn items(&self, playlist: u32, changed: u32) -> Rows {
        let items = (0..ITEMS_PER_PLAYLIST).map(|n| {
            let n =
                if n == changed % ITEMS_PER_PLAYLIST { NUM_TRACKS + changed } else { (playlist * 97 + n) % NUM_TRACKS };
            let track = track(n);
            PlaylistItem {
                kind: PlaylistItemKind::Track,
                uri: Some(format!("spotify:track:{}", track.id)),
                name: Some(track.name.clone()),
                added_at: None,
                added_by: Some("years".into()),
                track: Some(track),
            }
        });
        let due = self.store.due_playlists(self.account, DateTime::UNIX_EPOCH).await.expect("due ones");
        let generation = due.into_iter().find(|due| due.id == id("p", playlist)).map_or(0, |due| due.generation);
        let end = PlaylistEnd::Complete {
            snapshot_id: Some(format!("s{changed}")),
            total: ITEMS_PER_PLAYLIST,
            failure: None,
            healed: Vec::new(),
        };
        Rows::PlaylistItems(vec![PlaylistPart {
            playlist_id: id("p", playlist),
            generation,
            items: items.collect(),
            end: Some(end),
            ..PlaylistPart::default()
        }])
    }

    /// A poll shows the last 50 of all plays until then.
    async fn poll(&self, now: DateTime<Utc>, played: u32) {
        let slots: Vec<PlaySlot> = (played.saturating_sub(50)..played)
            .map(|n| {
                let track = track(n * 31 % NUM_TRACKS);
                let played_at = DateTime::from_timestamp(1_790_000_000, 0).expect("a moment")
                    + TimeDelta::minutes(i64::from(n) * 24 * 60 / i64::from(PLAYS_PER_DAY));
                let track_uri = format!("spotify:track:{}", track.id);
                let play = Play { played_at, track_uri, track: Some(track), context_uri: None };
                PlaySlot { play: Some(play), played_at: Some(played_at), odd: None }
            })
            .collect();
        let page = PlaysPage { slots };
        let known = self.store.known_plays(self.account, &page, now).await.expect("known plays");
        let num_new = page.plays().filter(|play| !known.keys.contains(&play.key())).count();
        let commit = PlaysCommit {
            account_id: self.account,
            page,
            gap: None,
            pairs: Vec::new(),
            num_new: u32::try_from(num_new).expect("few"),
            polled_at: now,
            next_poll_at: now + TimeDelta::hours(1),
        };
        self.store.commit_plays(&commit, Uuid::nil()).await.expect("commits");
    }
}

fn id(kind: &str, number: u32) -> String {
    format!("{kind}{:021}", u64::from(number) * 7919)
}

fn artist_ref(number: u32) -> ArtistRef {
    ArtistRef { id: id("a", number % 2000), name: format!("Artist {}", number % 2000) }
}

fn album(number: u32) -> Album {
    Album {
        id: id("b", number % 3000),
        name: format!("An album called {}", number % 3000),
        album_type: Some("album".into()),
        release_date: Some("2019-05-03".into()),
        release_date_precision: Some("day".into()),
        total_tracks: Some(11),
        upc: None,
        image_url: Some(format!("https://images.example/{number}")),
        artists: vec![artist_ref(number % 3000)],
    }
}

fn track(number: u32) -> Track {
    Track {
        id: id("t", number),
        uri: None,
        name: format!("A track called {number}"),
        album: Some(album(number)),
        duration_ms: Some(200_000),
        explicit: Some(false),
        disc_number: Some(1),
        track_number: Some(3),
        isrc: Some(format!("XX{number:010}")),
        artists: vec![artist_ref(number), artist_ref(number + 1)],
    }
}

fn saved_track(number: u32, now: DateTime<Utc>) -> Slot {
    let added_at = Some(now).filter(|_| number >= NUM_TRACKS).or(DateTime::from_timestamp(1_700_000_000, 0));
    Slot { item: Some(Item::Track(Box::new(SavedTrack { added_at, track: track(number) }))), added_at, odd: None }
}

fn saved_album(number: u32, _: DateTime<Utc>) -> Slot {
    let added_at = DateTime::from_timestamp(1_700_000_000, 0);
    let saved = SavedAlbum { added_at, album: album(number), tracks: vec![] };
    Slot { item: Some(Item::Album(Box::new(saved))), added_at, odd: None }
}

fn artist(number: u32) -> Slot {
    let ArtistRef { id, name } = artist_ref(number);
    let artist = segno::model::Artist { id, name, genres: None, image_url: None };
    Slot { item: Some(Item::Artist(Box::new(artist))), added_at: None, odd: None }
}

fn playlists(changed: u32) -> Rows {
    let playlist = |number: u32| Playlist {
        id: id("p", number),
        name: format!("Playlist {number}"),
        description: None,
        owner_id: Some("years".into()),
        owner_name: Some("Years".into()),
        public: Some(false),
        collaborative: Some(false),
        snapshot_id: Some(format!("s{}", changed.saturating_sub((changed + number) % NUM_PLAYLISTS))),
        total_items: Some(i32::try_from(ITEMS_PER_PLAYLIST).expect("few")),
        image_url: None,
    };
    let slot = |number| Slot { item: Some(Item::Playlist(Box::new(playlist(number)))), added_at: None, odd: None };
    Rows::Listing((0..NUM_PLAYLISTS).map(slot).collect())
}

async fn connect(
    url: &str,
) -> (tokio_postgres::Client, impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the server answers");
    (client, connection)
}

async fn fresh_database(server: &str) -> String {
    let (client, connection) = connect(server).await;
    let connection = tokio::spawn(connection);
    for sql in ["DROP DATABASE IF EXISTS segno_years WITH (FORCE)", "CREATE DATABASE segno_years"] {
        client.batch_execute(sql).await.expect("the server does it");
    }
    drop(client);
    let _ = connection.await;
    let (host, _) = server.rsplit_once('/').expect("a database in the URL");
    format!("{host}/segno_years")
}
