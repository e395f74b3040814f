//! The views "Library" and "Changes".

use super::Page;
use crate::support::{Backend, Sandbox, both, wait_until};
use segno::model::text::is_unseen;
use serde_json::json;

const ROWS: &str = ".rows li";

/// A name that would do harm if it were parsed as markup.
const ODD_NAME: &str = "<img src=x onerror=document.title='harm'>Rain & <b>Roof</b>";

both! {
    fn a_search_finds_and_the_address_keeps_it(backend) {
        let sandbox = Sandbox::exact(330, 40, 40, 3, 40);
        sandbox.edit(json!([{ "op": "rename_track", "offset": 300, "name": ODD_NAME }]));
        let Some(page) = Page::settled(backend, sandbox, "/library") else { return };
        page.wait_for("h1", "Library");
        wait_until("tracks are listed", || page.texts(ROWS).len() >= 50);
        assert!(page.texts(ROWS).len() < 100, "it reads on when somebody scrolls");
        page.browser.run("window.scrollTo(0, document.body.scrollHeight)");
        wait_until("it reads on", || page.texts(ROWS).len() >= 100);

        page.browser.fill("input[type=search]", "rain & <b>roof");
        page.wait_for(".told", "1 track, and that is all.");
        assert_eq!(page.texts(".rows .name"), [ODD_NAME], "a name is text, whatever it holds");
        assert!(!page.has("main img") && page.browser.title() == "Tracks · segno");
        assert!(page.browser.url().contains("q=rain"), "{}", page.browser.url());
        page.browser.reload();
        page.wait_for(".told", "1 track, and that is all.");
        page.browser.fill("input[type=search]", "nothing is called that");
        page.wait_for(".told", "No track with \"nothing is called that\" in it.");

        page.browser.click(".tabs a[href*='tab=artists']");
        page.wait_for(".told", "40 artists, and that is all.");
        let sorted = |mut names: Vec<String>| {
            names.sort_by_key(|name| name.to_lowercase());
            names
        };
        let names = page.listed();
        assert_eq!(names, sorted(names.clone()));
        page.browser.back();
        page.wait_for(".told", "No track with \"nothing is called that\" in it.");
        page.assert_silent(&[]);
    }
}

both! {
    fn what_is_spoken_has_its_tabs(backend) {
        let sandbox = Sandbox::exact_with([3, 2, 2, 1, 1], [14, 60, 9], &[]);
        let library = sandbox.library();
        let Some(page) = Page::settled(backend, sandbox, "/library?tab=shows") else { return };
        for (tab, told) in [("shows", "14 shows"), ("episodes", "60 episodes"), ("audiobooks", "9 audiobooks")] {
            page.browser.click(&format!(".tabs a[href*='tab={tab}']"));
            let all = format!("{told}, and that is all.");
            wait_until(&all, || {
                page.browser.run("window.scrollTo(0, document.body.scrollHeight)");
                page.shows(".told", &all)
            });
            let name = library.rows(tab)[1]["name"].as_str().expect("a name").to_owned();
            assert!(page.listed().contains(&name), "{tab}: {name}");
        }
        page.browser.fill("input[type=search]", "nothing is called that");
        page.wait_for(".told", "No audiobook with \"nothing is called that\" in it.");
        page.assert_silent(&[]);
    }
}

both! {
    fn what_came_and_went_is_told_and_a_playlist_has_its_history(backend) {
        let Some(page) = Page::settled(backend, Sandbox::exact(130, 20, 20, 3, 20), "/") else { return };
        let edits = json!([
            { "op": "remove_tracks", "offset": 5 }, { "op": "add_tracks", "count": 1 },
            { "op": "playlist_remove", "index": 0, "position": 2 }, { "op": "playlist_insert", "index": 0, "position": 0 },
        ]);
        page.sandbox.edit(edits);
        page.browser.click(".account > header .sync");
        wait_until("it is noticed", || {
            page.database.count("saved_tracks WHERE removed_at IS NOT NULL") == 1
                && page.database.count("playlist_versions WHERE NOT is_first") == 1
        });

        page.browser.click(".top nav a[href='/changes']");
        page.wait_for("h1", "Changes");
        wait_until("both kinds are told", || page.has(".sign.added") && page.has(".sign.removed"));
        assert!(page.shows(".rows h2", "Today"));
        page.browser.run(
            "const which = document.querySelector('select[name=kind]'); \
             which.value = 'removed'; which.dispatchEvent(new Event('change'))",
        );
        wait_until("only what went is told", || page.has(".sign.removed") && !page.has(".sign.added"));
        assert!(page.browser.url().ends_with("/changes?kind=removed"), "{}", page.browser.url());
        page.wait_for(".told", "2 changes, and that is all.");

        // From the removed item to its playlist.
        page.browser.click(".rows .sub a");
        page.wait_for(".parts", "History");
        page.wait_for(".told", " items, and that is all.");
        page.browser.fill("input[type=search]", "nothing is called that");
        page.wait_for(".told", "No item with \"nothing is called that\" in it.");
        page.browser.click(".parts a[href*='part=history']");
        page.wait_for(".version", "+1 added, −1 removed");
        page.wait_for(".version", "first seen");
        page.browser.back();
        page.browser.back();
        page.wait_for("h1", "Changes");
        page.wait_for(".told", "2 changes, and that is all.");
        page.assert_silent(&[]);
    }
}

both! {
    fn a_database_that_goes_away_is_told_and_comes_back_by_itself(backend) {
        let Some(page) = Page::settled(backend, Sandbox::exact(60, 20, 20, 2, 20), "/library?tab=albums") else { return };
        page.wait_for(".told", "20 albums, and that is all.");
        page.wait_for("#link", "Live");
        page.database.take_away();
        page.wait_for("#stale", "The database does not answer. Trying again every 2 seconds.");
        page.wait_for("#link", "Stale");
        page.wait_for("#stale", "Stale since ");
        assert_eq!(page.listed().len(), 20, "what was read is still there");
        page.browser.reload();
        page.wait_for(".told", "The database does not answer");
        page.wait_for(".choice", "Try again");
        page.browser.click(".top nav a[href='/']");
        page.wait_for("#stale", "No answer yet. The database does not answer.");
        page.wait_for_sentence("Asking the service");
        page.browser.back();

        page.database.bring_back();
        page.wait_for(".told", "20 albums, and that is all.");
        page.wait_for("#link", "Live");
        wait_until("nothing is stale", || page.browser.text("#stale").is_empty());
        page.browser.click(".top nav a[href='/']");
        page.wait_for_sentence("Everything is current");
        page.sandbox.edit(json!([{ "op": "add_albums", "count": 2 }]));
        page.browser.click(".entity[data-type=albums] .sync");
        page.wait_for(".entity[data-type=albums]", "22 listed");
        page.assert_silent(&["503"]);
    }
}

#[test]
fn a_name_neither_hides_nor_turns_around_what_stands_beside_it() {
    let evil = "Mi\nra \u{202e}evil\u{2066}\u{200b}\u{feff}\u{2028}x\u{e0041}";
    let sandbox = Sandbox::exact(12, 4, 4, 1, 4);
    sandbox.edit(json!([
        { "op": "rename_track", "offset": 0, "name": evil }, { "op": "rename_playlist", "index": 0, "name": evil },
    ]));
    let Some(page) = Page::settled(Backend::Sqlite, sandbox, "/library") else { return };
    page.database.execute(&format!("UPDATE accounts SET display_name = '{evil}'"));
    for path in ["/library", "/library?tab=playlists", "/changes", "/"] {
        page.browser.go(&page.url(path));
        // In an element that keeps it from reversing its surroundings.
        let isolated = "return [...document.querySelectorAll('bdi')].some((e) => e.textContent.includes('evil'))";
        wait_until(&format!("{path}: the name is shown"), || page.browser.run(isolated) == true);
        let shown = page.browser.run("return document.body.textContent");
        let found = shown.as_str().expect("text").chars().find(|c| is_unseen(*c) && *c != '\n');
        assert_eq!(found, None, "{path}: {shown}");
    }
    page.assert_silent(&[]);
}
