//! Listening: what was heard, over any span of time, and the page of each artist and track.

use super::{Page, Service};
use crate::support::{Backend, Database, Sandbox, Segno, browser::Browser, free_port, wait_until};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::fs;

/// Plays of the export, one every seventeen hours.
const NUM_PLAYS: u32 = 600;

fn moment(number: u32) -> DateTime<Utc> {
    let first: DateTime<Utc> = "2024-12-30T20:00:00Z".parse().expect("a moment");
    first + TimeDelta::hours(17 * i64::from(number))
}

/// Which artist is heard: half of the time the first one.
fn artist(number: u32) -> &'static str {
    ["The Tin Lanterns", "Salt & <i>Light</i>", "The Tin Lanterns", "A Field Guide"][number as usize % 4]
}

/// A service on a database with some years of listening. `None` if there is no browser.
fn heard(set: impl Fn(Segno) -> Segno) -> Option<Page> {
    let browser = Browser::start()?;
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(30, 5, 5, 2, 10));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    // Plays reported by the API would count as well.
    sandbox.rules(json!([{ "family": "player", "do": { "kind": "status", "status": 503 } }]));
    let row = |number: u32| {
        json!({"ts": moment(number).format("%Y-%m-%dT%H:%M:%SZ").to_string(), "ms_played": 180_000, "offline": false,
            "master_metadata_track_name": format!("Song {}", number % 8),
            "master_metadata_album_artist_name": artist(number), "master_metadata_album_album_name": "Low Tide",
            "spotify_track_uri": format!("spotify:track:{:022}", number % 8)})
    };
    let rows: Value = (0..NUM_PLAYS).map(row).collect();
    let file = database.folder.path().join("endsong_0.json");
    fs::write(&file, rows.to_string()).expect("a file");
    Segno::on(&database, &sandbox, &["import", file.to_str().expect("UTF-8")]).succeed();
    let port = free_port();
    let service = Service::spawn(set(Service::command(&database, &sandbox, port)), port);
    Some(Page { browser, database, sandbox, service, port })
}

#[test]
fn what_was_heard_is_shown_for_any_span_of_time() {
    let Some(page) = heard(|segno| segno.env("SEGNO_LISTENING_TIME_ZONE", "Asia/Tokyo")) else { return };
    page.browser.go(&page.url("/listening"));
    page.wait_for(".facts", "600 plays");
    page.wait_for(".listening", "Days are those of Asia/Tokyo.");
    for part in ["summary", "over", "most", "calendar", "week", "found", "unheard", "unsaved"] {
        assert!(page.has(&format!("#{part}")), "{part}");
    }
    // At the moment that was the last hour of 2024 in London, it was 2025 in Tokyo.
    let years = page.browser.run("return document.querySelectorAll('[aria-labelledby=over] tbody tr').length");
    assert_eq!(years, 3, "2024 to 2026");
    assert_eq!(page.texts(".heard .name")[0], "The Tin Lanterns");
    assert_eq!(page.texts("[aria-labelledby=unheard] .rows li").len(), 20, "nothing of the library was heard");

    page.browser.go(&page.url("/listening?span=year&at=2025-05-01"));
    page.wait_for("#summary", "2025");
    let told = |page: &Page| page.texts(".facts dd").first().cloned().unwrap_or_default();
    let of_2025 = (0..NUM_PLAYS)
        .filter(|number| (moment(*number) + TimeDelta::hours(9)).format("%Y").to_string() == "2025")
        .count();
    assert!(told(&page).contains(&format!("{of_2025} plays")), "{}", told(&page));
    let bars = "return document.querySelectorAll('[aria-labelledby=over] .bar').length";
    wait_until("a bar for each month", || page.browser.run(bars) == 12);
    page.browser.run("[...document.querySelectorAll('.step')].find((node) => node.textContent === 'Later').focus()");
    page.browser.run("document.activeElement.click()");
    page.wait_for("#summary", "2026");
    assert!(page.browser.run("return location.search").as_str().expect("text").contains("at=2026-01-01"));
    assert_eq!(page.browser.run("return document.activeElement.textContent"), "Later", "it is pressed again and again");

    let choose = "const select = document.querySelector('select[name=span]'); select.value = 'any'; \
                  select.dispatchEvent(new Event('change'))";
    page.browser.run(choose);
    page.wait_for(".filters", "From");
    page.browser.go(&page.url("/listening?span=any&from=2025-03-01&to=2025-03-03&top=track"));
    page.wait_for("#summary", "1 Mar 2025 to 3 Mar 2025");
    let of_days = (0..NUM_PLAYS).filter(|number| {
        let day = (moment(*number) + TimeDelta::hours(9)).format("%Y-%m-%d").to_string();
        ("2025-03-01".."2025-03-04").contains(&day.as_str())
    });
    assert!(told(&page).contains(&format!("{} plays", of_days.count())), "{}", told(&page));
    page.assert_silent(&[]);
}

#[test]
fn each_artist_and_track_has_its_page() {
    let Some(page) = heard(|segno| segno) else { return };
    page.browser.go(&page.url("/listening"));
    page.wait_for(".heard", "The Tin Lanterns");
    // A name is text and not markup, here and in the address.
    page.browser.run(
        "[...document.querySelectorAll('.heard .name')].find((node) => node.textContent.startsWith('Salt')).click()",
    );
    page.wait_for("h1", "Salt & <i>Light</i>");
    page.wait_for(".facts", "150 plays");
    page.wait_for(".facts", "no");
    page.wait_for("[aria-labelledby=playlists]", "In none of yours.");
    assert_eq!(page.browser.title(), "Salt & <i>Light</i> · segno");
    let months = page.browser.run("return document.querySelectorAll('[aria-labelledby=months] tbody tr').length");
    assert_eq!(months, page.database.count("heard_sums s JOIN heard_items i ON i.id = s.item_id WHERE i.artist LIKE 'Salt%' AND s.period > 9999 AND i.uri LIKE '%1'"));
    page.browser.click("[aria-labelledby=tracks] .name");
    page.wait_for(".facts", "75 plays");
    page.wait_for(".sub", "by Salt & <i>Light</i>");
    page.browser.run("history.back()");
    page.wait_for(".facts", "150 plays");
    page.browser.go(&page.url("/listening?of=artist&name=nobody"));
    page.wait_for(".trouble", "Nothing of that name was heard.");
    page.assert_silent(&["404"]);
}
