//! `/metrics` of the real service: its values are true, and whatever uses its names uses existing ones.

mod exposition;
mod promql;

use super::support::{Backend, Database, Running, Sandbox, Segno, block_on, both, entity_types, wait_until};
use crate::support::http;
use chrono::Utc;
use exposition::Scrape;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const ALERTS: &str = "deploy/prometheus-alerts.yml";

/// Labels added by Prometheus itself.
const ADDED: [&str; 2] = ["job", "instance"];

/// `segno run` with its page, killed with the test at the latest.
struct Service {
    running: Option<Running>,
    url: String,
}

impl Service {
    fn start(database: &Database, sandbox: &Sandbox, env: &[(&str, &str)]) -> Service {
        let log = database.folder.path().join("run.log");
        let segno = Segno::on(database, sandbox, &["run"]).env("SEGNO_WEB_LISTEN", "127.0.0.1:0").conversing(&log);
        let running = env.iter().fold(segno, |segno, (name, value)| segno.env(name, value)).spawn();
        let mut url = None;
        wait_until("the page is served", || {
            let told = fs::read_to_string(&log).unwrap_or_default();
            let line = told.lines().find_map(|line| line.split_once("the status page is at "));
            url = line.and_then(|(_, url)| url.split_whitespace().next()).map(str::to_owned);
            url.is_some()
        });
        Service { running: Some(running), url: url.expect("an address") }
    }

    fn scrape(&self) -> Scrape {
        let url = format!("{}/metrics", self.url);
        block_on(async {
            let response = http::client().get(url).send().await.expect("it answers");
            assert_eq!(response.status(), 200);
            let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
            assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
            Scrape::read(std::str::from_utf8(&response.bytes().await.expect("a body")).expect("text"))
        })
    }

    /// Scrapes until the condition holds.
    fn scrape_until(&self, what: &str, is_so: impl Fn(&Scrape) -> bool) -> Scrape {
        let mut scrape = self.scrape();
        wait_until(what, || {
            scrape = self.scrape();
            is_so(&scrape)
        });
        scrape
    }

    /// The first scrape after everything was read once.
    fn scrape_when_settled(&self) -> Scrape {
        self.scrape_until("everything was read once", |scrape| {
            let succeeded = |entity: &str| scrape.sum(SUCCESS, &[("entity_type", entity)]).is_some();
            entity_types().all(succeeded) && scrape.sum(POLL, &[]).is_some()
        })
    }
}

const SUCCESS: &str = "segno_last_success_timestamp_seconds";
const POLL: &str = "segno_last_poll_timestamp_seconds";

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }
}

both! {
    fn what_is_counted_is_what_the_api_and_the_database_have_seen(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(330, 60, 60, 4, 60));
        let service = Service::start(&database, &sandbox, &[]);
        service.scrape_when_settled();
        let ledger = "segno_ledger_requests";
        // Requests are stored every few seconds; the request for the owner of the tokens belongs to no family.
        let scrape = service.scrape_until("the ledger is stored", |scrape| {
            scrape.sum(ledger, &[]) == Some((sandbox.requests("*") - 1) as f64)
        });
        let of_kind = |entity_type, change| {
            scrape.value("segno_items_total", &[("entity_type", entity_type), ("change", change)])
        };
        let new = ["tracks", "albums", "artists", "playlists", "playlist_items"].map(|of| of_kind(of, "new"));
        assert_eq!(new, [330.0, 60.0, 60.0, 4.0, database.count("playlist_items") as f64]);
        assert_eq!(of_kind("tracks", "removed") + of_kind("tracks", "odd"), 0.0);
        let requests = |labels: &[(&str, &str)]| scrape.value("segno_requests_total", labels);
        assert_eq!(requests(&[]), sandbox.requests("*") as f64);
        assert_eq!(requests(&[("status", "2xx")]), requests(&[]));
        assert_eq!(requests(&[("family", "tracks")]), sandbox.requests("tracks") as f64);
        assert_eq!(scrape.value("segno_permit_wait_seconds_count", &[]), requests(&[]));
        assert_eq!(scrape.value("segno_request_duration_seconds_count", &[]), requests(&[]));
        let listed = |name| scrape.value(name, &[("account", "1"), ("entity_type", "tracks")]);
        assert_eq!((listed("segno_listing_size"), listed("segno_listing_offset")), (330.0, 330.0));
        assert_eq!(scrape.value("segno_plays", &[]), database.count("plays") as f64);
        assert_eq!(scrape.value("segno_plays_recorded_total", &[]), database.count("plays") as f64);
        let now = Utc::now().timestamp() as f64;
        for entity in entity_types() {
            let at = scrape.value(SUCCESS, &[("account", "1"), ("entity_type", entity)]);
            assert!(at <= now + 1.0 && at >= scrape.value("process_start_time_seconds", &[]), "{entity}: {at}");
            let of_entity = [("entity_type", entity)];
            assert!(scrape.value("segno_batch_duration_seconds_count", &of_entity) > 0.0, "{entity}");
            assert_eq!(scrape.value("segno_sync_failed", &of_entity), 0.0);
        }
        let days_left = scrape.value("segno_sign_in_remaining_seconds", &[("account", "1")]) / 86_400.0;
        assert!((180.0..185.0).contains(&days_left), "{days_left}");
        assert_eq!(scrape.value("segno_sync_interval_seconds", &[]), 6.0 * 3600.0);
        assert_eq!(scrape.value("segno_window_limit", &[]), 100_000.0);
        assert_eq!(scrape.value("segno_database_up", &[]), 1.0);
        let words = match backend {
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgres",
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(scrape.value("segno_build_info", &[("database", words), ("version", version)]), 1.0);
    }

    fn the_last_success_moves_with_every_run_also_where_nothing_has_changed(backend) {
        let (database, sandbox) = (Database::new(backend), Sandbox::exact(60, 10, 10, 2, 10));
        let service = Service::start(&database, &sandbox, &[("SEGNO_FAULT_HASTE", "10800")]);
        let mut before = service.scrape_when_settled();
        for _ in 0..2 {
            let at = |scrape: &Scrape, entity: &str| scrape.value(SUCCESS, &[("entity_type", entity)]);
            before = service.scrape_until("every entity type was read again", |scrape| {
                entity_types().all(|entity| at(scrape, entity) > at(&before, entity))
            });
        }
    }
}

#[test]
fn a_pause_shows_while_it_lasts_and_is_counted_as_it_passes() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(330, 60, 60, 4, 60));
    let limited = json!({ "kind": "rate_limited", "retry_after": "2" });
    sandbox.rules(json!([{ "family": "*", "skip": 5, "times": 1, "do": limited }]));
    let service = Service::start(&database, &sandbox, &[]);
    let rate = [("family", "*"), ("class", "rate")];
    let during = service.scrape_until("it is paused", |scrape| scrape.value("segno_paused", &rate) == 1.0);
    assert!(during.value("segno_pause_seconds_total", &rate) <= 2.0, "{}", during.text);
    service.scrape_until("it goes on", |scrape| scrape.value("segno_paused", &rate) == 0.0);
    let after = service.scrape_when_settled();
    let lasted = after.value("segno_pause_seconds_total", &rate);
    assert!((1.9..2.1).contains(&lasted), "{lasted}");
    assert_eq!(after.value("segno_pause_seconds_total", &[]), lasted, "nothing else was paused");
    assert_eq!(
        after.value("segno_requests_total", &[("status", "429")]),
        sandbox.get("stats")["refused"].as_f64().unwrap()
    );
    assert!(after.value("segno_permit_wait_seconds_sum", &[]) > 0.5, "somebody waited for it");
    assert_eq!(after.value("segno_ledger_refusals", &[]), after.value("segno_requests_total", &[("status", "429")]));
}

#[test]
fn an_actor_that_panics_is_counted_by_its_name() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(330, 60, 60, 4, 60));
    let faults = "gate.acquire=3,writer.commit=2,syncer.tracks.page=2,tracker.page=1";
    let service = Service::start(&database, &sandbox, &[("SEGNO_FAULTS", faults)]);
    let scrape = service.scrape_when_settled();
    for actor in ["gate", "checkpoint_writer", "syncer_tracks", "playback_tracker"] {
        assert_eq!(scrape.value("segno_actor_restarts_total", &[("actor", actor)]), 1.0, "{actor}");
    }
    assert_eq!(scrape.value("segno_actor_restarts_total", &[]), 4.0);
    assert_eq!(scrape.value("segno_actors_given_up_total", &[]), 0.0);
    assert_eq!(scrape.value("segno_items_total", &[("entity_type", "tracks"), ("change", "new")]), 330.0);
}

#[test]
fn alerts_dashboard_and_documentation_use_names_that_are_served() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(60, 10, 10, 2, 10));
    // Nobody listens there.
    let settings = [
        ("SEGNO_RATE_LIMIT_DAILY_TRACKS", "100000"),
        ("SEGNO_NOTIFY_WEBHOOK", "http://127.0.0.1:9/secret-path"),
        ("SEGNO_FEED_NATS_URL", "nats://127.0.0.1:9"),
    ];
    let service = Service::start(&database, &sandbox, &settings);
    service.scrape_when_settled();
    database.execute(
        "INSERT INTO outbox (seq, account_id, kind, body, noted_at) \
         SELECT seq + 1, 1, 'sync_failing', '{}', '2026-11-29 08:00:00.000000+00:00' FROM feed_positions WHERE name = 'head'",
    );
    database.execute("UPDATE feed_positions SET seq = seq + 1 WHERE name = 'head'");
    let next_try = "segno_webhook_next_try_timestamp_seconds";
    let of_stream = "segno_stream_failing_since_timestamp_seconds";
    let is_failing = |scrape: &Scrape| [next_try, of_stream].iter().all(|name| scrape.sum(name, &[]).is_some());
    let scrape = service.scrape_until("neither webhook nor stream takes anything", is_failing);
    assert_eq!(scrape.sum("segno_webhook_entries_waiting", &[("host", "127.0.0.1")]), Some(1.0));
    assert!(!scrape.text.contains("secret-path"));

    let (alerts, dashboard) = (file(ALERTS), file("deploy/grafana-dashboard.json"));
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let (of_alerts, of_dashboard) = (expressions_of_alerts(&alerts), expressions_of_dashboard(&dashboard));
    assert_eq!(of_alerts.len(), alerts.matches("- alert:").count());
    assert!(of_alerts.len() > 10 && of_dashboard.len() > 30);
    // If Prometheus is installed, it has the last word.
    if let Ok(checked) = Command::new("promtool").args(["check", "rules"]).arg(root().join(ALERTS)).output() {
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    let mut used = BTreeSet::new();
    for expression in of_alerts.iter().chain(&of_dashboard) {
        let named = promql::read(expression);
        check(expression, &named, &scrape);
        used.extend(named.selectors.into_iter().map(|selector| selector.metric));
    }
    let unused = |name: &&str| !used.iter().any(|used| scrape.documented_name(used) == *name);
    let names: BTreeSet<&str> = scrape.names().into_iter().map(|name| scrape.documented_name(name)).collect();
    assert_eq!(names.iter().copied().filter(unused).collect::<Vec<_>>(), [""; 0], "neither alert nor panel uses it");

    let page = file("docs/metrics.md");
    let documented = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<&str> = documented.map(|(name, _)| name).collect();
    assert_eq!(documented, names);
    for name in names {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).expect("a row");
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let told: BTreeSet<&str> =
            cells[3].split(", ").map(|label| label.trim_matches('`')).filter(|l| !l.is_empty()).collect();
        let sample = if cells[2] == "histogram" { format!("{name}_count") } else { name.to_owned() };
        assert_eq!(told, scrape.labels(&sample).into_keys().collect(), "{name}");
    }
}

/// Metrics have to be served, with these labels and, if one is given, this value.
fn check(expression: &str, named: &promql::Named, scrape: &Scrape) {
    assert!(!named.selectors.is_empty(), "{expression}");
    let mut known: BTreeSet<&str> = ADDED.into_iter().collect();
    for promql::Selector { metric, matchers } in &named.selectors {
        let labels = scrape.labels(metric);
        assert!(scrape.names().contains(metric.as_str()), "{metric} is not served: {expression}");
        for (label, operator, value) in matchers.iter().filter(|(label, ..)| !ADDED.contains(&label.as_str())) {
            let values = labels.get(label.as_str()).unwrap_or_else(|| panic!("{metric} has no {label}: {expression}"));
            let asked_for: Vec<&str> = if operator.ends_with('~') { value.split('|').collect() } else { vec![value] };
            for value in asked_for.into_iter().filter(|value| !value.starts_with('$')) {
                assert!(values.contains(value), "no {metric} has {label} {value:?}: {expression}");
            }
        }
        known.extend(labels.into_keys());
    }
    let unknown: Vec<&String> = named.grouped_by.iter().filter(|label| !known.contains(label.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}: {expression}");
}

/// The text after `expr:`, on the same line or in a block below it.
fn expressions_of_alerts(alerts: &str) -> Vec<String> {
    let (lines, mut expressions): (Vec<&str>, _) = (alerts.lines().collect(), Vec::new());
    let indent = |line: &str| line.len() - line.trim_start().len();
    for (at, line) in lines.iter().enumerate() {
        let Some(expression) = line.trim_start().strip_prefix("expr: ") else { continue };
        expressions.push(if expression == "|" {
            let block = lines[at + 1..].iter().take_while(|below| indent(below) > indent(line));
            block.copied().collect::<Vec<_>>().join("\n")
        } else {
            expression.to_owned()
        });
    }
    expressions
}

/// Every `expr`, and the queries of the variables.
fn expressions_of_dashboard(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(expressions_of_dashboard).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) if key == "expr" || key == "definition" => vec![text.clone()],
                value => expressions_of_dashboard(value),
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn metrics_name_nobody() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(60, 10, 10, 2, 10));
    let service = Service::start(&database, &sandbox, &[]);
    let text = service.scrape_when_settled().text;
    let person = database.lines("SELECT spotify_id AS line FROM accounts UNION SELECT display_name FROM accounts");
    let tokens = database
        .lines("SELECT refresh_token AS line FROM account_tokens UNION SELECT access_token FROM account_tokens");
    let names = database.lines("SELECT name AS line FROM playlists");
    assert!(!person.is_empty() && !tokens.is_empty() && !names.is_empty());
    for secret in person.iter().chain(&tokens).chain(&names).chain(sandbox.env.get("SEGNO_SPOTIFY_CLIENT_ID")) {
        assert!(!text.contains(secret.as_str()), "{secret} in {text}");
    }
    assert!(!text.contains('@'), "{text}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
