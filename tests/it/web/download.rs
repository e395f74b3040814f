//! "Download": the page's file equals the output of `segno export`, to the byte.

use super::*;

/// A library with all the oddities of the sandbox, read whole.
fn filled(backend: Backend) -> (Database, Sandbox) {
    let (database, sandbox) = (Database::new(backend), Sandbox::start(&["--tracks", "1300", "--playlists", "4"]));
    Segno::on(&database, &sandbox, &["sync"]).succeed();
    database.execute(
        "INSERT INTO plays (account_id, played_at, track_uri, track_id, ms_played, source) \
         SELECT account_id, added_at, 'spotify:track:' || track_id, track_id, 201340, 'api' FROM saved_tracks \
         WHERE added_at IS NOT NULL AND track_id NOT LIKE 'spotify:%'",
    );
    (database, sandbox)
}

both! {
    fn a_download_is_what_the_command_writes(backend) {
        let (database, sandbox) = filled(backend);
        let page = Page::start(&database, service(&database, &sandbox).env("SEGNO_SYNC_ENTITIES", "shows"));
        let exported = |args: &[&str]| Segno::on(&database, &sandbox, &[&["export"], args].concat()).succeed().stdout;
        for (what, format, media_type, file) in [
            ("tracks", "csv", "text/csv; charset=utf-8", "tracks.csv"),
            ("tracks", "exportify", "text/csv; charset=utf-8", "liked.csv"),
            ("albums", "jsonl", "application/jsonl", "albums.jsonl"),
            ("tracks", "xspf", "application/xspf+xml", "tracks.xspf"),
            ("changes", "csv", "text/csv; charset=utf-8", "changes.csv"),
        ] {
            let answer = page.get(&format!("/api/v1/export/{what}?format={format}"));
            assert_eq!((answer.status, answer.header("content-type")), (200, media_type), "{what} {format}");
            let attachment = answer.header("content-disposition");
            assert!(attachment.starts_with("attachment; ") && attachment.contains(&format!("filename=\"{file}\"")), "{attachment}");
            assert_eq!(answer.body, exported(&[what, "--format", format]), "{what} {format}");
        }
        let spreadsheet = page.get("/api/v1/export/tracks?spreadsheet=true").body;
        assert_eq!(spreadsheet, exported(&["tracks", "--format", "csv", "--spreadsheet"]));
        let id = database.lines("SELECT playlist_id AS line FROM playlist_items GROUP BY playlist_id ORDER BY count(*) DESC LIMIT 1").remove(0);
        let items = page.get(&format!("/api/v1/playlists/{id}/export?format=m3u8")).body;
        assert_eq!(items, exported(&["--playlist", &id, "--format", "m3u8"]));
        page.stop();
    }

    fn what_cannot_be_downloaded_is_said(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(20, 2, 2, 1, 2));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        let page = Page::start(&database, service(&database, &sandbox));
        page.get("/api/v1/export/tracks?format=spotify").assert_problem(400, "does not hold tracks");
        page.get("/api/v1/export/albums?format=m3u8").assert_problem(400, "does not hold albums");
        page.get("/api/v1/export/songs").assert_problem(404, "no such list");
        page.get("/api/v1/export/tracks?format=xls").assert_problem(400, "format is");
        page.get("/api/v1/playlists/none/export").assert_problem(404, "no such playlist");
        page.stop();
    }
}

#[test]
fn a_service_says_whether_it_works_and_nothing_answers_for_it() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let page = Page::start(&database, service(&database, &sandbox));
    let address = page.base.trim_start_matches("http://").to_owned();
    let ready = |listen: &str| Segno::on(&database, &sandbox, &["ready"]).env("SEGNO_WEB_LISTEN", listen).run();
    wait_until("it works", || ready(&address).code == Some(0));
    assert_eq!(ready(&address).stdout, "it works\n");
    ready("off").assert_refused(2, &["cannot be asked"]);
    page.stop();
    ready(&address).assert_refused(1, &["no service answers at", &address]);
}
