//! What is documented as stable works on both databases: the views, the queries of docs/tables.md, `segno listening`
//! and the API.

use super::*;
use chrono::{DateTime, Utc};

/// Every query in these pages.
fn documented() -> Vec<&'static str> {
    let (_, tables) = include_str!("../../../docs/tables.md").split_once("\n## Views\n").expect("the section");
    let dashboards = include_str!("../../../docs/dashboards.md");
    let queries = |page: &'static str| page.split("```sql\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let queries: Vec<&str> = queries(tables).chain(queries(dashboards)).collect();
    assert!(queries.len() >= 17, "{} queries", queries.len());
    queries
}

both! {
    fn every_query_of_the_documentation_runs(backend) {
        let (database, sandbox) = signed_in(backend);
        report(&database, &sandbox, &[&export(&database)]);
        database.execute("UPDATE streams SET offset_ms = 500 WHERE kind = 'track'");
        for query in documented() {
            let query = query.trim().trim_end_matches(';');
            let answer = database.lines(&format!("SELECT CAST(count(*) AS TEXT) AS line FROM ({query}) AS q"));
            assert_ne!(answer, ["0"], "{query}");
        }
    }

    fn each_listening_is_shown_once_by_view_command_and_api(backend) {
        let (database, sandbox) = signed_in(backend);
        report(&database, &sandbox, &[&export(&database)]);
        let saved = sandbox.library().state["tracks"][0]["id"].as_str().expect("an id").to_owned();
        // A play that only the API reported, and one that both sources contain.
        database.execute(&format!(
            "INSERT INTO plays (account_id, played_at, track_uri, track_id, source) \
             VALUES (1, '2026-03-01 10:00:00.123000+00:00', 'spotify:track:{saved}', '{saved}', 'api')"
        ));
        let both = "UPDATE streams SET played_at = '2025-03-02 18:04:31.500000+00:00', offset_ms = 500 WHERE uri LIKE '%3'";
        let told = "UPDATE plays SET played_at = '2025-03-02 18:04:31.500000+00:00', source = 'api' WHERE track_uri LIKE '%0003'";
        database.execute(&both.replace("'%3'", "'spotify:track:%0003'"));
        database.execute(told);
        database.execute("INSERT INTO heard_stale (account_id, period) VALUES (1, 202503), (1, 202603) ON CONFLICT DO NOTHING");
        let sources = "SELECT source || ' ' || CAST(count(*) AS TEXT) AS line FROM listening GROUP BY source ORDER BY source";
        assert_eq!(database.lines(sources), ["api 1", "both 1", "export 9"]);
        assert_eq!(database.count("listening WHERE counts"), 8);

        let artists = Segno::on(&database, &sandbox, &["listening", "--json"]).succeed().json();
        let first = &artists["listening"][0];
        assert_eq!((&first["name"], &first["plays"], &first["ms"]), (&json!("The Tin Lanterns"), &json!(5), &json!(801_340)), "{artists}");
        let tracks = Segno::on(&database, &sandbox, &["listening", "--by", "track", "--since", "2025-01-01", "--limit", "2"]).succeed().stdout;
        assert!(tracks.contains("Song 4, The Tin Lanterns") && tracks.lines().count() == 3, "{tracks}");
        let shows = Segno::on(&database, &sandbox, &["listening", "--by", "show"]).succeed().stdout;
        assert!(shows.contains("  S\n") && shows.contains("A Field Guide to Fog"), "{shows}");
        let years = Segno::on(&database, &sandbox, &["listening", "--by", "year", "--json"]).succeed().json();
        let of_years: Vec<&Value> = years["listening"].as_array().expect("years").iter().map(|year| &year["stretch"]).collect();
        assert_eq!(of_years, ["2019", "2024", "2025", "2026"]);
        assert_summed_up(&database);
        // In another part of the world the same moment is another day, and a span need not begin with a month.
        let days = |more: &[&str]| -> Vec<String> {
            let ended = Segno::on(&database, &sandbox, &[&["listening", "--by", "day", "--json"], more].concat()).succeed();
            ended.json()["listening"].as_array().expect("days").iter().map(|day| day["stretch"].to_string()).collect()
        };
        assert!(days(&["--zone", "UTC"]).contains(&"\"2024-01-01\"".to_owned()));
        assert!(days(&["--zone", "America/New_York"]).contains(&"\"2023-12-31\"".to_owned()));
        let since = |when: &str| Segno::on(&database, &sandbox, &["listening", "--since", when, "--json"]).succeed().json();
        for (when, ms) in [("2019-05-01T10:02:00Z", 601_340), ("2019-04-20", 801_340), ("2025-03-02T18:04:31Z", 561_340)] {
            assert_eq!(since(when)["listening"][0]["ms"], ms, "since {when}");
        }
        Segno::on(&database, &sandbox, &["listening", "--zone", "Mars/Base"]).run().assert_refused(2, &["\"Mars/Base\" is not the name of a time zone"]);
        Segno::on(&database, &sandbox, &["listening", "--by", "mood"]).run().assert_refused(2, &["\"mood\" is not one of artist, track"]);
    }
    fn each_listening_is_exported_once_as_the_view_has_it(backend) {
        let (database, sandbox) = signed_in(backend);
        report(&database, &sandbox, &[&export(&database)]);
        let saved = sandbox.library().state["tracks"][0]["id"].as_str().expect("an id").to_owned();
        // Plays that only the API reported, between streams and beside one; one that both sources contain; one whose
        // track a sync has brought.
        for at in ["2019-05-01 10:04:00.000000+00:00", "2026-03-01 10:00:00.123000+00:00"] {
            database.execute(&format!(
                "INSERT INTO plays (account_id, played_at, track_uri, track_id, context_uri, source) \
                 VALUES (1, '{at}', 'spotify:track:{saved}', '{saved}', 'spotify:album:x', 'api')"
            ));
        }
        database.execute("UPDATE streams SET played_at = '2025-03-02 18:04:31.500000+00:00', offset_ms = 500 WHERE uri LIKE 'spotify:track:%0003'");
        database.execute("UPDATE plays SET played_at = '2025-03-02 18:04:31.500000+00:00', source = 'api', context_uri = 'spotify:album:y' \
                          WHERE track_uri LIKE '%0003'");
        database.execute("UPDATE tracks SET source = 'api', name = 'As the API has it' WHERE id LIKE '%0004'");
        let exported = |args: &[&str]| Segno::on(&database, &sandbox, &[&["export", "listening"], args].concat()).succeed();
        let lines: Vec<Value> = exported(&["--format", "jsonl"]).stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let ends: Vec<DateTime<Utc>> = lines.iter().map(|line| line["ended_at"].as_str().expect("text").parse().expect("a moment")).collect();
        assert!(ends.is_sorted(), "oldest first: {ends:?}");
        let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default();
        let mut told: Vec<String> = lines
            .iter()
            .zip(&ends)
            .map(|(line, end)| {
                let fields = [&line["kind"], &line["uri"], &line["name"], &line["artists"][0]["name"], &line["album"]["name"], &line["source"]];
                format!("{} {} {}", end.timestamp(), line["ms_played"], fields.map(text).join("|"))
            })
            .collect();
        told.sort();
        let seconds = if backend == Backend::Postgres { "floor(extract(epoch FROM ended_at))::bigint" } else { "unixepoch(ended_at)" };
        let view = format!(
            "SELECT CAST({seconds} AS TEXT) || ' ' || coalesce(CAST(ms_played AS TEXT), 'null') || ' ' || kind || '|' || coalesce(uri, '') \
             || '|' || coalesce(name, '') || '|' || coalesce(artist, '') || '|' || coalesce(album, '') || '|' || source AS line FROM listening"
        );
        let mut held = database.lines(&view);
        held.sort();
        assert_eq!(told, held);
        let both = lines.iter().find(|line| line["source"] == "both").expect("one");
        assert_eq!((&both["context_uri"], &both["played_at"]), (&json!("spotify:album:y"), &json!("2025-03-02T18:04:31.500Z")));
        assert!(both["started_at"].is_string() && lines.iter().any(|line| line["name"] == "As the API has it"));
        let num_since = exported(&["--format", "csv", "--since", "2025-01-01"]).stdout.lines().count() - 1;
        assert_eq!(num_since as u64, database.count("listening WHERE ended_at >= '2025-01-01 00:00:00.000000+00:00'"));
        // ListenBrainz accepts music that was listened to; everything else is counted.
        let listens = exported(&["--format", "listenbrainz"]);
        let music = "listening WHERE kind IN ('track', 'unknown') AND coalesce(incognito, FALSE) = FALSE AND counts AND name IS NOT NULL AND artist IS NOT NULL";
        assert_eq!(listens.stdout.lines().count() as u64, database.count(music), "{}", listens.stdout);
        assert!(listens.stderr.contains("left out, as ListenBrainz requires"), "{}", listens.stderr);
    }
}
