//! The feed: everything that happened, in order, from any position that is still kept, as lines and as a stream.

use super::*;
use serde_json::json;
use std::collections::BTreeSet;

fn hasty(database: &Database, sandbox: &Sandbox) -> Segno {
    service(database, sandbox).env("SEGNO_SYNC_INTERVAL", "1m").env("SEGNO_FAULT_HASTE", "60")
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/jsonl"), "{answer:?}");
    answer.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// `added tracks ID`, for each change of these entries.
fn changes(entries: &[Value]) -> Vec<String> {
    let of = |entry: &Value| entry["changes"].as_array().cloned().unwrap_or_default();
    let all = entries.iter().flat_map(of);
    let text = |change: &Value, name: &str| change[name].as_str().unwrap_or_default().to_owned();
    all.map(|change| ["change", "entity_type", "id"].map(|name| text(&change, name)).join(" ")).collect()
}

fn last(entries: &[Value]) -> i64 {
    entries.last().expect("an entry")["seq"].as_i64().expect("a number")
}

/// The text of a stream, until it has contained this many events.
fn stream(page: &Page, path: &str, headers: &[(&str, &str)], events: usize) -> String {
    block_on(async {
        let mut request = http::client().get(format!("{}{path}", page.base)).header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send().await.expect("it listens");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut said = String::new();
        while said.matches("\n\n").count() < events {
            said += &String::from_utf8_lossy(&response.chunk().await.expect("a chunk").expect("it goes on"));
        }
        said
    })
}

both! {
    fn the_feed_tells_what_changes_tells_each_once_and_in_order(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(300, 20, 15, 2, 20));
        let page = Page::start(&database, hasty(&database, &sandbox));
        database.wait_for_first_sync();
        let first = lines(&page.get("/api/v1/feed"));
        let seqs: Vec<i64> = first.iter().filter_map(|entry| entry["seq"].as_i64()).collect();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>(), "without a gap");
        let ids: BTreeSet<&str> = first.iter().filter_map(|entry| entry["id"].as_str()).collect();
        assert_eq!(ids.len(), first.len());
        let told = changes(&first);
        let unique: BTreeSet<&String> = told.iter().collect();
        assert_eq!(unique.len(), told.len(), "each once");
        assert_eq!(told.iter().filter(|change| change.starts_with("added tracks ")).count(), 300);

        sandbox.edit(json!([{ "op": "add_tracks", "count": 2 }, { "op": "remove_tracks", "offset": 40 }, { "op": "remove_albums", "offset": 3 }]));
        let path = format!("/api/v1/feed?after={}", last(&first));
        wait_until("what changed is told", || changes(&lines(&page.get(&path))).len() >= 4);
        let later = lines(&page.get(&path));
        let mut told = changes(&later);
        told.sort_unstable();
        let since = "SELECT 'removed tracks ' || track_id AS line FROM saved_tracks WHERE removed_at IS NOT NULL \
                     UNION SELECT 'removed albums ' || album_id FROM saved_albums WHERE removed_at IS NOT NULL";
        let mut expected = database.lines(since);
        let news = |line: &String| line.starts_with("added ");
        expected.extend(told.iter().filter(|line| news(line)).cloned());
        expected.sort_unstable();
        assert_eq!(told, expected);
        assert_eq!(told.iter().filter(|line| news(line)).count(), 2);
        // For comparison: `segno changes` has the same two.
        let command = Segno::on(&database, &sandbox, &["changes", "--json"]).succeed().stdout;
        for line in told.iter().filter(|line| news(line)) {
            assert!(command.contains(line.rsplit(' ').next().expect("an id")), "{line}");
        }
        assert_eq!(lines(&page.get(&format!("/api/v1/feed?after={}", last(&later)))), Vec::<Value>::new());
        assert_eq!(lines(&page.get("/api/v1/feed?after=end")), Vec::<Value>::new());
        page.stop();
    }

    fn a_stream_goes_on_from_where_it_was_left(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(60, 10, 10, 1, 10));
        let page = Page::start(&database, hasty(&database, &sandbox));
        database.wait_for_first_sync();
        let first = lines(&page.get("/api/v1/feed"));
        let said = stream(&page, "/api/v1/feed?after=1", &[], 2);
        assert!(said.starts_with("id: 2\nevent: changes\ndata: {\"seq\":2,"), "{said}");
        // A browser that reconnects sends the last id it has seen.
        let end = last(&first).to_string();
        std::thread::scope(|scope| {
            let follower = scope.spawn(|| stream(&page, "/api/v1/feed?after=0", &[("last-event-id", &end)], 1));
            sandbox.edit(json!([{ "op": "add_tracks", "count": 1 }]));
            let said = follower.join().expect("it hears");
            assert!(said.contains("\"change\":\"added\"") && said.starts_with(&format!("id: {}\n", last(&first) + 1)), "{said}");
        });
        page.stop();
    }

    fn a_position_that_cannot_be_gone_on_from_is_refused_with_what_to_do(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(60, 10, 10, 1, 10));
        Segno::on(&database, &sandbox, &["sync"]).succeed();
        // As the retention does.
        database.execute("DELETE FROM outbox WHERE seq <= 3");
        database.execute("UPDATE feed_positions SET seq = 3 WHERE name = 'forgotten'");
        let page = Page::start(&database, service(&database, &sandbox));
        page.get("/api/v1/feed?after=2").assert_problem(410, "go on after 3");
        page.get("/api/v1/feed?after=999999").assert_problem(409, "the last is ");
        page.get("/api/v1/feed?after=yesterday").assert_problem(400, "the `seq` of an entry");
        page.get("/api/v1/feed?account=99").assert_problem(404, "no account 99");
        assert_eq!(lines(&page.get("/api/v1/feed"))[0]["seq"], 4, "the oldest that is kept");
        assert_eq!(lines(&page.get("/api/v1/feed?after=3&account=1"))[0]["seq"], 4);
        page.stop();
    }
}
