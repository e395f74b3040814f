//! Every view, in both colour schemes, on a desktop and on a phone: nothing overflows, nothing is reported, and it is
//! accessible.

use super::{Page, Service};
use crate::support::{Backend, Sandbox, Segno, entity_types, needs, wait_until};
use serde_json::json;

const DESK: (u32, u32) = (1120, 860);
const PHONE: (u32, u32) = (360, 760);

/// The name of a view, its address, and an element that exists once it has loaded.
const VIEWS: [(&str, &str, &str); 11] = [
    ("now", "/", ".entity"),
    ("changes", "/changes", ".rows li"),
    ("library", "/library", ".rows li"),
    ("albums", "/library?tab=albums&removed=true", ".told:not(:empty)"),
    ("artists", "/library?tab=artists", ".rows li"),
    ("playlists", "/library?tab=playlists", ".rows li"),
    ("playlist", "", ".version"),
    ("plays", "/library?tab=plays", ".rows li"),
    ("listening", "/listening", "#unsaved"),
    ("heard", "", "#playlists"),
    ("activity", "/activity", ".chart .bar"),
];

#[test]
fn every_view_is_accessible_fits_a_phone_and_loads_nothing_from_elsewhere() {
    let Some(axe) = axe() else { return };
    let Some(page) = lived_in() else { return };
    let playlist = page.database.lines("SELECT playlist_id AS line FROM playlist_versions WHERE NOT is_first LIMIT 1");
    let history = format!("/library?tab=playlists&playlist={}&part=history", playlist[0]);
    let most = page.database.lines("SELECT uri AS line FROM heard_items ORDER BY id LIMIT 1");
    let heard = format!("/listening?of=track&name={}", most[0]);
    page.browser.run_in_every_document(&axe);
    for scheme in ["light", "dark"] {
        page.browser.prefer(&[("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]);
        for (name, path, sign) in VIEWS {
            page.browser.resize(DESK);
            let path = match name {
                "playlist" => &history,
                "heard" => &heard,
                _ => path,
            };
            page.browser.go(&page.url(path));
            for (device, size) in [("desk", DESK), ("phone", PHONE)] {
                let what = format!("{name}, {scheme}, {device}");
                page.browser.resize(size);
                wait_until(&format!("{what}: it is read"), || page.has(sign) && page.shows("#link", "Live"));
                assert!(page.fits(), "{what}: something sticks out");
                // Colours do not depend on the size, so each scheme is checked in one of them.
                if matches!((scheme, device), ("light", "desk") | ("dark", "phone")) {
                    let violations = page.browser.run_async(AXE_RUN);
                    assert_eq!(violations, json!([]), "{what}");
                }
            }
            let moving = page.browser.run("return document.getAnimations().length");
            assert_eq!(moving, 0, "{name}: something moves for those who asked that nothing does");
            assert_eq!(page.browser.run(FOREIGN), json!([]), "{name}: nothing is loaded from elsewhere");
        }
    }
    page.assert_silent(&[]);
}

/// The rows of a list are alike and each takes time, so a few of them stand for all; the element that would load more
/// is removed, too.
const AXE_RUN: &str = "document.querySelectorAll('.rows li:nth-child(n + 9), .list > .choice').forEach((node) => node.remove());\
    axe.run({ resultTypes: ['violations'] }).then(({ violations }) => done(violations.map((each) => \
    ({ rule: each.id, help: each.help, at: each.nodes.map((node) => node.html.slice(0, 200)) }))))";

const FOREIGN: &str = "return performance.getEntriesByType('resource').map((each) => each.name)\
    .filter((url) => new URL(url).origin !== location.origin)";

#[test]
fn the_keyboard_alone_reaches_everything_and_the_view_is_announced() {
    let Some(page) = Page::settled(Backend::Sqlite, Sandbox::exact(60, 20, 20, 2, 20), "/") else { return };
    page.wait_for(".entity[data-type=tracks]", "Current");
    let reached = page.browser.run(
        "return [...document.querySelectorAll('a[href], button, input, select, summary')]\
         .filter((node) => node.checkVisibility() && node.tabIndex < 0).length",
    );
    assert_eq!(reached, 0, "all that can be used is in the order of the Tab key");
    page.browser.run("document.querySelector(\".top nav a[href='/activity']\").focus()");
    page.browser.run("document.activeElement.click()");
    page.wait_for("h1", "Activity");
    assert_eq!(page.browser.run("return document.activeElement.textContent"), "Activity");
    assert_eq!(page.browser.title(), "Activity · segno");
    assert_eq!(page.browser.run("return document.querySelectorAll('[aria-current=page]').length"), 1);
    page.assert_silent(&[]);
}

#[test]
fn a_page_of_which_a_part_does_not_arrive_is_loaded_again() {
    let Some(page) = Page::settled(Backend::Sqlite, Sandbox::exact(60, 20, 20, 2, 20), "/") else { return };
    page.assert_silent(&[]);
    page.browser.block(&["*/assets/list.js"]);
    page.browser.go(&page.url("/library"));
    page.wait_for("#view > .notice", "did not arrive. Trying again.");
    page.browser.block(&[]);
    page.wait_for("h1", "Library");
    page.assert_silent(&["net::ERR_BLOCKED_BY_CLIENT"]);
}

/// A service with some history: additions and removals, plays, and requests of a whole day. And one at work: it reads
/// tracks, as fast as a limit allows, waits for a quota, and has albums paused.
fn lived_in() -> Option<Page> {
    let page = Page::settled(Backend::Sqlite, Sandbox::exact(3_000, 160, 90, 8, 45), "/")?;
    page.sandbox.edit(json!([
        { "op": "remove_tracks", "offset": 40, "count": 2 }, { "op": "add_tracks", "count": 6 },
        { "op": "remove_albums", "offset": 12 }, { "op": "add_albums", "count": 2 },
        { "op": "follow", "count": 2 }, { "op": "unfollow", "index": 7 },
        { "op": "playlist_insert", "index": 1, "position": 3, "count": 4 },
        { "op": "playlist_remove", "index": 1, "position": 9, "count": 2 },
    ]));
    page.browser.click(".account > header .sync");
    wait_until("it is noticed", || {
        let gone = ["saved_tracks", "saved_albums", "followed_artists"];
        gone.iter().all(|table| page.database.count(&format!("{table} WHERE removed_at IS NOT NULL")) > 0)
            && page.database.count("playlist_versions WHERE NOT is_first") == 1
    });
    page.wait_for_sentence("Everything is current");

    let Page { browser, database, sandbox, service, port } = page;
    service.stop();
    for statement in [PLAYED, STALE, REQUESTED, REFUSED] {
        database.execute(statement);
    }
    Segno::on(&database, &sandbox, &["listening"]).succeed();
    let limited = Service::command(&database, &sandbox, port)
        .env("SEGNO_RATE_LIMIT_REQUESTS", "12")
        .env("SEGNO_RATE_LIMIT_WINDOW", "30s")
        .env("SEGNO_RATE_LIMIT_DAILY_TRACKS", "600")
        .env("SEGNO_RATE_LIMIT_DAILY_PLAYLIST_ITEMS", "400");
    let service = Service::spawn(limited, port);
    let page = Page { browser, database, sandbox, service, port };
    page.sandbox.rules(json!([{ "family": "playlists", "do": { "kind": "quota", "retry_after": "9000" } }]));
    page.browser.go(&page.url("/"));
    page.wait_for("#link", "Live");
    // The browser logged the time when nobody served it.
    page.browser.complaints();
    wait_until("the service takes orders again", || page.browser.run_async(SYNC_ARTISTS) == 1);
    page.browser.click(".entity[data-type=playlists] .reset");
    page.browser.click("dialog .danger");
    page.wait_for(".entity[data-type=playlists]", "Waiting");
    page.browser.click(".entity[data-type=albums] .pause");
    page.wait_for(".entity[data-type=albums]", "Paused by hand");
    page.browser.click(".entity[data-type=tracks] .reset");
    page.browser.click("dialog .danger");
    page.wait_for(".entity[data-type=tracks] .count", " of 3,004");
    page.wait_for(".gate", "the window is full");
    entity_types().for_each(|table| page.database.execute(&legible(table)));
    Some(page)
}

const SYNC_ARTISTS: &str = "fetch('/api/v1/sync', { method: 'POST', headers: { 'content-type': 'application/json' },\
    body: JSON.stringify({ entity_types: ['artists'] }) })\
    .then((answer) => answer.json()).then(({ accepted }) => done(accepted.length))";

/// Not every machine has fonts for every name, and the screenshots have to look the same everywhere.
fn legible(table: &str) -> String {
    format!("UPDATE {table} SET name = 'Salt and Light, No. ' || (rowid % 90) WHERE name GLOB '*[^ -\u{24f}]*'")
}

/// On all but a few days of the last month.
const PLAYED: &str = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 640) \
    INSERT OR IGNORE INTO plays (account_id, played_at, track_uri, track_id, source) \
    SELECT 1, strftime('%Y-%m-%d %H:%M:%S.000000+00:00', 'now', (-600 - i * 4000 - (i % 11) * 900) || ' seconds'), \
    'spotify:track:' || t.id, t.id, 'api' \
    FROM n JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place FROM tracks) t ON t.place = 1 + (i * 37) % 900 \
    WHERE (i / 21) % 7 <> 3";

/// The sums are computed from what was inserted.
const STALE: &str = "INSERT OR IGNORE INTO heard_stale (account_id, period) \
    SELECT DISTINCT account_id, CAST(substr(played_at, 1, 4) || substr(played_at, 6, 2) AS INTEGER) FROM plays";

const REQUESTED: &str = "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 286) \
    INSERT OR IGNORE INTO request_ledger (family, started_at, requests, refusals) \
    SELECT f.name, strftime('%Y-%m-%d %H:%M:%S.000000+00:00', (unixepoch() / 300 - i) * 300, 'unixepoch'), \
    1 + (i * i + length(f.name)) % f.most, 0 \
    FROM n JOIN (SELECT 'tracks' AS name, 9 AS most, 72 AS every UNION ALL SELECT 'albums', 3, 72 \
    UNION ALL SELECT 'artists', 2, 72 UNION ALL SELECT 'playlists', 3, 72 \
    UNION ALL SELECT 'playlist_items', 14, 72 UNION ALL SELECT 'player', 1, 4) f \
    WHERE i % f.every < CASE f.name WHEN 'player' THEN 1 ELSE 5 END";

const REFUSED: &str = "UPDATE request_ledger SET refusals = 1 WHERE family = 'playlist_items' AND requests > 12";

/// The accessibility checker's script. `None`, with a notice, if it is missing; a failure if it is required.
fn axe() -> Option<String> {
    let Some(file) = std::env::var_os("SEGNO_TEST_AXE").filter(|file| !file.is_empty()) else {
        needs::left_out("SEGNO_TEST_AXE names no axe.min.js; tests/run sets it");
        return None;
    };
    Some(std::fs::read_to_string(file).expect("SEGNO_TEST_AXE is the file axe.min.js"))
}
