//! Files that are not exports, named for what they are, and files made to do harm.

use super::*;
use crate::support::Database;

#[test]
fn wrong_files_are_named_for_what_they_are() {
    let (database, sandbox) = signed_in(Backend::Sqlite);
    let refused = |path: &str, code: i32, parts: &[&str]| {
        Segno::on(&database, &sandbox, &["import", path]).run().assert_refused(code, parts);
    };
    let log = file(&database, "log/AddedToCollection.json", r#"[{"timestamp_utc": "x", "message_set": "y"}]"#);
    let folder = database.folder.path().join("log").display().to_string();
    let ask = "Ask for \"Extended streaming history\" at spotify.com/account/privacy";
    refused(&log, 1, &["no listening history was found: this is the technical log", ask]);
    refused(&folder, 1, &["the technical log"]);
    refused(&file(&database, "scrobbles.csv", "a,b\n"), 1, &["a table (CSV)"]);
    refused(&file(&database, "Userdata.json", r#"{"username": "u"}"#), 1, &["account data without listening history"]);
    refused(&file(&database, "x.zip", "hello"), 2, &["x.zip: it cannot be read as a zip archive"]);
    refused(&file(&database, "utf16.json", b"\xff\xfe[\0]\0"), 1, &["UTF-16; save it as UTF-8"]);
    refused("absent.zip", 2, &["import: absent.zip: No such file"]);
    refused("/dev/null", 2, &["neither a file nor a folder"]);
    Segno::on(&database, &sandbox, &["import"]).run().assert_refused(2, &["import: name what to read"]);
    Segno::on(&database, &sandbox, &["import", &log, "--account", "nobody"]).run().assert_refused(2, &["nobody"]);
    assert_eq!((database.count("streams"), database.count("imports")), (0, 0));

    let fresh = Database::new(Backend::Sqlite);
    Segno::on(&fresh, &sandbox, &["import", &log]).run().assert_refused(1, &["there is no database"]);
}

#[test]
fn a_broken_file_is_read_as_far_as_it_goes_and_said_to_be_broken() {
    let (database, sandbox) = signed_in(Backend::Sqlite);
    let mut text: String = json!([row(1, "2025-01-01T00:00:00Z", 1), row(2, "2025-01-01T00:01:00Z", 1)]).to_string();
    text.truncate(text.len() - 20);
    let path = file(&database, "endsong \u{202e}0.json", &text);
    let said = import(&database, &sandbox, &[&path]).stdout;
    let expected = format!("endsong 0.json: 1 row read, then it breaks off at byte {}\n", text.len());
    assert!(said.ends_with(&expected), "{said}");
    assert_eq!(database.count("streams"), 1);
    // The part after the break is unknown, so it closes no gap.
    assert_eq!(database.count("imports"), 1);
}

/// Memory does not grow with what is read, apart from the program's own code, which is large without optimisation.
#[test]
fn memory_stays_the_same_however_long_the_history() {
    let (database, sandbox) = signed_in(Backend::Sqlite);
    let row = row(1, "2025-01-01T00:00:00Z", 1000).to_string();
    let most = |num_files: u32| -> u64 {
        let folder = format!("history{num_files}");
        for number in 0..num_files {
            let rows: Vec<String> =
                (0..16_000).map(|n| row.replace("2025-01-01T00:00:00Z", &time(number * 16_000 + n))).collect();
            file(&database, &format!("{folder}/endsong_{number}.json"), format!("[{}]", rows.join(",\n")));
        }
        let path = database.folder.path().join(&folder).display().to_string();
        let segno = Segno::on(&database, &sandbox, &["import", &path, "--json"]);
        let ended = segno.through("\"$@\" & pid=$!; most=0; while kill -0 $pid 2>/dev/null; do \
            now=$(awk '/RssAnon/ {print $2}' /proc/$pid/status 2>/dev/null); [ \"${now:-0}\" -gt $most ] && most=$now; sleep 0.02; done; \
            wait $pid; code=$?; echo \"RssAnon $most\" >&2; exit $code").succeed();
        let most = ended.stderr.lines().find_map(|line| line.strip_prefix("RssAnon ")).expect("it was measured");
        most.parse().expect("a number")
    };
    let (one, many) = (most(1), most(8));
    assert!(many <= 64 * 1024, "{many} kB, {one} kB for a single file");
}

fn time(minute: u32) -> String {
    let (day, rest) = (minute / 1440, minute % 1440);
    let (year, month, day) = (2010 + day / 336, day / 28 % 12 + 1, day % 28 + 1);
    format!("{year}-{month:02}-{day:02}T{:02}:{:02}:00Z", rest / 60, rest % 60)
}
