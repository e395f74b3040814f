//! The view "Now" and its controls.

use super::{Page, Service};
use crate::support::{Backend, Database, Login, Sandbox, Segno, both, wait_until};
use serde_json::json;

const TRACKS: &str = ".entity[data-type=tracks]";

#[test]
fn progress_moves_and_a_429_shows_its_countdown_and_goes_away() {
    let sandbox = Sandbox::exact(4_000, 60, 60, 4, 60);
    sandbox.configure(json!({ "latency_ms": 600 }));
    let Some(page) = Page::open(Backend::Sqlite, sandbox, "/") else { return };
    page.wait_for(TRACKS, "Reading");
    let progress = || page.texts(&format!("{TRACKS} .count strong")).join("");
    wait_until("it tells how far it is", || progress().contains(" of 4,000"));
    let seen = progress();
    wait_until("progress moves", || progress() != seen);
    assert!(page.has(&format!("{TRACKS} progress[max=\"4000\"]")));

    page.sandbox
        .rules(json!([{ "family": "tracks", "times": 1, "do": { "kind": "rate_limited", "retry_after": "4" } }]));
    page.wait_for_sentence("Waiting for Spotify's rate limit");
    page.wait_for(".pauses", "All requests wait for the rate limit: ");
    let left = || page.texts(".pauses .countdown").join("");
    wait_until("the countdown is told in minutes and seconds", || left().starts_with("0:0"));
    let seen = left();
    wait_until("it counts", || left() < seen);
    page.wait_for(TRACKS, "continues in 0:0");
    page.sandbox.configure(json!({ "latency_ms": 0 }));
    wait_until("the pause goes away", || !page.has(".pauses li"));
    page.wait_for_sentence("Everything is current");
    page.wait_for(TRACKS, "4,000 listed");
    page.wait_for(".ledger", "Tracks");
    page.assert_silent(&[]);
}

both! {
    fn pause_and_resume_work_and_a_pause_survives_a_restart_that_the_page_notices(backend) {
        let Some(page) = Page::settled(backend, Sandbox::exact(120, 20, 20, 2, 20), "/") else { return };
        page.wait_for(TRACKS, "Current");
        page.browser.click(&format!("{TRACKS} .pause"));
        page.wait_for("#said", "Tracks: paused by hand");
        page.wait_for(TRACKS, "Paused by hand");
        page.wait_for(&format!("{TRACKS} .pause"), "Resume");
        page.wait_for_sentence("Tracks paused by hand");
        assert!(page.shows(".entity[data-type=albums]", "Current"), "the others go on");

        let Page { browser, database, sandbox, service, port } = page;
        service.stop();
        let wait_for = |selector: &str, part: &str| {
            wait_until(&format!("{selector} shows \"{part}\""), || browser.text(selector).contains(part));
        };
        wait_for("#link", "Stale");
        wait_for("#stale", "Stale since ");
        let service = Service::spawn(Service::command(&database, &sandbox, port), port);
        wait_for("#said", "Connected again");
        wait_for("#link", "Live");
        let page = Page { browser, database, sandbox, service, port };
        wait_until("nothing is stale", || page.browser.text("#stale").is_empty());
        page.wait_for(TRACKS, "Paused by hand");

        let asked = page.sandbox.requests("tracks");
        page.sandbox.edit(json!([{ "op": "add_tracks", "count": 2 }]));
        page.browser.click(&format!("{TRACKS} .pause"));
        page.wait_for(&format!("{TRACKS} .pause"), "Pause");
        page.browser.click(&format!("{TRACKS} .sync"));
        page.wait_for(TRACKS, "122 listed");
        page.wait_for(TRACKS, "Current");
        assert!(page.sandbox.requests("tracks") > asked);
        // The browser itself logs that nobody answered.
        page.assert_silent(&["net::ERR_"]);
    }
}

both! {
    fn a_reset_asks_first_and_then_reads_everything_again(backend) {
        let Some(page) = Page::settled(backend, Sandbox::exact(230, 20, 20, 2, 20), "/") else { return };
        page.wait_for(TRACKS, "Current");
        let asked = page.sandbox.requests("tracks");
        page.browser.click(&format!("{TRACKS} .reset"));
        page.wait_for("dialog", "Nothing in your library is deleted");
        let focused = page.browser.run("return document.activeElement.textContent");
        assert_eq!(focused, "Keep it as it is", "Enter does no harm");
        page.browser.click("dialog button:not(.danger)");
        wait_until("the question is gone", || !page.has("dialog"));
        assert_eq!(page.sandbox.requests("tracks"), asked, "no is no");
        let focused = page.browser.run("return document.activeElement.textContent");
        assert_eq!(focused, "Reset… tracks", "whoever uses the keyboard is back where they were");

        page.browser.click(&format!("{TRACKS} .reset"));
        page.browser.click("dialog .danger");
        page.wait_for("#said", "Tracks: the next run starts over");
        wait_until("all of it is asked for again", || page.sandbox.requests("tracks") >= asked + 5);
        page.wait_for(TRACKS, "Current");
        assert_eq!(page.database.count("saved_tracks WHERE removed_at IS NULL"), 230);
        page.assert_silent(&[]);
    }

    fn removals_held_back_are_shown_and_marked_once_confirmed(backend) {
        let waits = |segno: Segno| segno.env("SEGNO_SYNC_REMOVAL_WAIT", "1h");
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(230, 20, 20, 2, 20));
        let Some(page) = Page::open_with(waits, database, sandbox, "/") else { return };
        page.wait_for_sentence("Everything is current");
        page.wait_for(TRACKS, "Current");
        assert!(!page.shows(TRACKS, "Show what would be removed"), "there is nothing to confirm");
        page.sandbox.edit_one(json!({ "op": "remove_tracks", "offset": 0, "count": 100 }));
        page.browser.click(&format!("{TRACKS} .sync"));
        page.wait_for(TRACKS, "100 removals held back");

        let removed = || page.database.count("saved_tracks WHERE removed_at IS NOT NULL");
        page.browser.click(&format!("{TRACKS} .confirm-removals"));
        page.wait_for("dialog", "nothing was marked");
        assert_eq!(page.browser.run("return document.querySelectorAll('dialog .held li').length"), 100);
        page.browser.click("dialog button:not(.danger)");
        wait_until("the question is gone", || !page.has("dialog"));
        assert_eq!((removed(), page.database.count("held_removals WHERE is_confirmed")), (0, 0), "no is no");

        page.browser.click(&format!("{TRACKS} .confirm-removals"));
        page.wait_for("dialog", "nothing was marked");
        page.browser.click("dialog .danger");
        page.wait_for("#said", "Tracks: confirmed");
        wait_until("they are marked", || removed() == 100);
        wait_until("nothing is held back", || !page.shows(TRACKS, "held back"));
        page.assert_silent(&[]);
    }
}

#[test]
fn all_entity_types_of_an_account_are_paused_and_resumed_at_once() {
    let Some(page) = Page::settled(Backend::Sqlite, Sandbox::exact(60, 20, 20, 2, 20), "/") else { return };
    let account = ".account > header";
    page.wait_for(account, "Pause all");
    assert!(!page.shows(account, "Resume all"), "there is nothing to resume");
    page.browser.click(&format!("{account} .pause"));
    page.wait_for_sentence("Tracks, artists, albums, playlists, shows, episodes and audiobooks paused by hand");
    wait_until("there is nothing left to pause", || !page.shows(account, "Pause all"));
    page.browser.click(&format!("{account} .resume"));
    page.wait_for_sentence("Everything is current");
    page.assert_silent(&[]);
}

both! {
    fn several_accounts_are_all_shown_and_elsewhere_one_is_chosen(backend) {
        let numbers = ["--tracks", "60", "--albums", "20", "--artists", "20", "--playlists", "2", "--playlist-items", "20"];
        let mut sandbox = Sandbox::start(&[&["--no-odd-rows", "--users", "2"], &numbers[..]].concat());
        let database = Database::new(backend);
        for user in [0, 1] {
            Login::complete(&database, &sandbox, user);
        }
        sandbox.env.remove("SEGNO_SPOTIFY_REFRESH_TOKEN");
        let Some(page) = Page::open_on(database, sandbox, "/") else { return };
        page.wait_for_sentence("Everything is current");
        let names = page.texts(".account h2");
        assert!(names.len() == 2 && names[1].starts_with("Sandbox Listener 2 ("), "{names:?}");
        page.browser.click(".account:last-child .entity[data-type=albums] .pause");
        page.wait_for(".account:last-child .entity[data-type=albums]", "Paused by hand");
        assert!(page.shows(".account:first-child .entity[data-type=albums]", "Current"), "the other one's goes on");

        page.browser.click(".top nav a[href='/library']");
        wait_until("there is a choice", || page.has("select[name=account] option:nth-child(2)"));
        wait_until("the first library is listed", || page.listed().len() >= 50);
        let first = page.listed();
        page.browser.run(
            "const whose = document.querySelector('select[name=account]'); \
             whose.selectedIndex = 1; whose.dispatchEvent(new Event('change'))",
        );
        wait_until("the other library is listed", || {
            let listed = page.listed();
            listed.len() >= 50 && listed[..50] != first[..50]
        });
        assert!(page.browser.url().ends_with("?account=2"), "{}", page.browser.url());
        page.assert_silent(&[]);
    }
}

#[test]
fn before_anybody_has_signed_in_it_says_how_to() {
    let sandbox = Sandbox::exact(60, 20, 20, 2, 20);
    sandbox.rules(json!([{ "family": "token", "do": { "kind": "status", "status": 503 } }]));
    let Some(page) = Page::open(Backend::Sqlite, sandbox, "/") else { return };
    page.wait_for_sentence("Nobody is signed in");
    page.wait_for(".verdict", "run segno login in a terminal");
    for (path, heading) in
        [("/changes", "Changes"), ("/library", "Library"), ("/listening", "Listening"), ("/activity", "Activity")]
    {
        page.browser.click(&format!(".top nav a[href='{path}']"));
        page.wait_for("h1", heading);
        page.wait_for("main", "Nobody has signed in yet");
    }
    page.assert_silent(&["404"]);
}

#[test]
fn a_webhook_that_takes_nothing_is_shown_by_its_host_until_it_does() {
    let Some(page) = Page::settled(Backend::Sqlite, Sandbox::exact(20, 2, 2, 1, 2), "/") else { return };
    assert!(!page.has(".webhooks li"));
    page.database.execute(
        "INSERT INTO feed_positions (name, seq, host, events, failing_since, next_try_at, error) VALUES ('webhook a', 0, 'ntfy.sh', \
         'sync_failing', '2026-11-29 08:00:00.000000+00:00', '2099-01-01 08:00:00.000000+00:00', 'ntfy.sh answered with 500')",
    );
    for part in ["ntfy.sh", "has accepted nothing since ", "0 entries waiting", "next try ", "answered with 500"] {
        page.wait_for(".webhooks li", part);
    }
    page.database.execute("UPDATE feed_positions SET failing_since = NULL, error = NULL WHERE name = 'webhook a'");
    wait_until("it is gone", || !page.has(".webhooks li"));
    page.assert_silent(&[]);
}
