//! Files, folders and zips as people hand them in.

use super::*;
use flate2::{Compression, write::DeflateEncoder};
use std::fs;
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

fn row(number: u32) -> String {
    format!(
        r#"{{"ts":"2025-03-02T18:{:02}:{:02}Z","ms_played":1000,"spotify_track_uri":"spotify:track:{number:022}"}}"#,
        number / 60 % 60,
        number % 60
    )
}

fn history(numbers: std::ops::Range<u32>) -> String {
    format!("[{}]", numbers.map(row).collect::<Vec<_>>().join(","))
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
    folder
}

fn read(paths: &[&Path]) -> (Vec<Stream>, Vec<FileRead>) {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    let mut streams = Vec::new();
    let files = Export::find(&paths).expect("something").read(|batch| {
        assert!(batch.streams.len() <= BATCH_LEN);
        streams.extend(batch.streams);
        Ok(())
    });
    (streams, files.expect("nobody stops it"))
}

/// A zip, written by hand: name, text and the length that it claims.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut list) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let offset = u32::try_from(bytes.len()).expect("small");
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflate.write_all(text).expect("memory");
        let packed = deflate.finish().expect("memory");
        let mut crc = flate2::Crc::new();
        crc.update(text);
        let mut common = Vec::new();
        common.extend([20, 0, 0, 8, 8, 0, 0, 0, 0x21, 0]);
        common.extend(crc.sum().to_le_bytes());
        common.extend(u32::try_from(packed.len()).expect("small").to_le_bytes());
        common.extend(u32::try_from(text.len()).expect("small").to_le_bytes());
        common.extend(u16::try_from(name.len()).expect("short").to_le_bytes());
        common.extend([0, 0]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(packed);
        list.extend(b"PK\x01\x02\x14\x00");
        list.extend(&common);
        list.extend([0; 10]);
        list.extend(offset.to_le_bytes());
        list.extend(name.as_bytes());
    }
    let (num, at) = (u16::try_from(files.len()).expect("few"), u32::try_from(bytes.len()).expect("small"));
    bytes.extend(&list);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([num.to_le_bytes(), num.to_le_bytes()].concat());
    bytes.extend(u32::try_from(list.len()).expect("small").to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

#[test]
fn files_folders_and_zips_of_all_names_are_read() {
    let zipped = zip(&[
        ("Spotify Extended Streaming History/Streaming_History_Audio_2014-2018_0.json", history(0..3).as_bytes()),
        ("Spotify Extended Streaming History/Streaming_History_Video_2019.json", history(3..5).as_bytes()),
        ("Spotify Extended Streaming History/ReadMeFirst_ExtendedStreamingHistory.pdf", b"%PDF"),
        ("__MACOSX/Spotify Extended Streaming History/._Streaming_History_Audio_2014-2018_0.json", b"\0\x05\x16\x07"),
        ("../../escape.json", history(5..6).as_bytes()),
    ]);
    let folder = folder(&[
        ("my_spotify_data (1).zip", &zipped),
        ("MyData/endsong_10.json", history(6..8).as_bytes()),
        ("MyData/endsong_2.json.json", format!("\u{feff}{}", history(8..9)).as_bytes()),
        ("MyData/endvideo.json", b"[]"),
        ("MyData/._endsong_2.json", b"\0\x05\x16\x07"),
        ("MyData/notes.txt", b"hello"),
    ]);
    let (streams, files) = read(&[folder.path()]);
    let mut uris: Vec<String> = streams.into_iter().filter_map(|stream| stream.uri).collect();
    uris.sort();
    assert_eq!(uris, (0..9).map(|number| format!("spotify:track:{number:022}")).collect::<Vec<_>>());
    assert_eq!(files.iter().filter(|file| file.is_video).count(), 2);
    assert!(files.iter().all(|file| file.broken.is_none() && file.num_bad == 0), "{files:?}");
    assert!(!folder.path().join("../../escape.json").exists());
}

#[test]
fn account_data_is_read_with_the_names_that_come_along() {
    let folder = folder(&[
        ("a/StreamingHistory_music_0.json", br#"[{"endTime":"2026-01-02 03:04","artistName":"A","trackName":"One","msPlayed":5},
            {"endTime":"2026-01-02 03:05","artistName":"A","trackName":"Two","msPlayed":5},
            {"endTime":"2026-01-02 03:06","artistName":"A","trackName":"Three","msPlayed":5}]"#),
        ("a/YourLibrary.json", br#"{"tracks":[{"artist":"A","album":"B","track":"One","uri":"spotify:track:0000000000000000000001"}],"other":["x"]}"#),
        ("b/Playlist1.json", br#"{"playlists":[{"name":"P","items":[{"track":{"trackName":"Two","artistName":"A","trackUri":"spotify:track:0000000000000000000002"}}]}]}"#),
        ("b/Userdata.json", br#"{"username":"u"}"#),
    ]);
    let (streams, files) = read(&[&folder.path().join("a"), &folder.path().join("b")]);
    let ids: Vec<Option<&str>> =
        streams.iter().map(|stream| stream.uri.as_deref().map(|uri| &uri[uri.len() - 1..])).collect();
    assert_eq!(ids, [Some("1"), Some("2"), None]);
    assert_eq!(files.last().map(|file| file.content), Some(Content::Other("account data without listening history")));
}

#[test]
fn a_bad_row_costs_itself_and_a_break_what_lies_behind_it() {
    let mut text = history(0..4000);
    text.truncate(text.len() - 30);
    let bad = format!("[{},{{\"ts\":1}},null,{}]", row(1), row(2));
    let folder = folder(&[("a.json", text.as_bytes()), ("b.json", bad.as_bytes())]);
    let (streams, files) = read(&[folder.path()]);
    assert_eq!(streams.len(), 3999 + 2);
    assert_eq!((files[0].num_rows, files[0].num_bad), (3999, 0));
    assert_eq!(files[0].broken, Some(format!("it breaks off at byte {}", text.len())));
    assert_eq!((files[1].num_rows, files[1].num_bad, &files[1].broken), (4, 2, &None));
}

#[test]
fn a_zip_that_is_cut_off_or_is_a_bomb_does_no_harm() {
    let whole = zip(&[("a.json", history(0..500).as_bytes())]);
    let bomb = zip(&[("b.json", &[b"[{\"ts\":\"".as_slice(), &vec![b'x'; 64 << 20]].concat())]);
    let nested = zip(&[("c.json", &zip(&[("d.json", b"[]")]))]);
    let folder = folder(&[("cut.zip", &whole[..whole.len() - 40]), ("bomb.zip", &bomb), ("nested.zip", &nested)]);
    let error = Export::find(&[folder.path().join("cut.zip")]).expect_err("it is broken").to_string();
    assert!(error.contains("cut.zip: it cannot be read as a zip archive"), "{error}");
    assert!(bomb.len() < 400_000);
    let (streams, files) = read(&[&folder.path().join("bomb.zip"), &folder.path().join("nested.zip")]);
    assert_eq!((streams.len(), files.len()), (0, 2));
}

#[test]
fn no_row_of_a_damaged_entry_of_a_zip_is_used() {
    let whole = zip(&[("a.json", history(0..5000).as_bytes()), ("b.json", history(5000..5003).as_bytes())]);
    let packed_len = u32::from_le_bytes(whole[18..22].try_into().expect("four bytes")) as usize;
    let listed = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").expect("a list");
    // In the checksum, in the middle, and in the last rows.
    for at in [listed + 16, 36 + packed_len / 2, 36 + packed_len - 10] {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        let folder = folder(&[("changed.zip", &changed)]);
        let (streams, files) = read(&[folder.path()]);
        assert_eq!(streams.len(), 3, "a change at {at}: {files:?}");
        assert_eq!((files[0].num_rows, files[0].span, &files[1].broken), (0, None, &None));
        let broken = files[0].broken.clone().unwrap_or_default();
        assert!(broken.starts_with("it is damaged (") && broken.ends_with("); download the export again"), "{broken}");
    }
}

#[test]
fn what_is_no_export_is_named_for_what_it_is() {
    let folder = folder(&[
        ("log/AddedToCollection.json", br#"[{"timestamp_utc":"x","message_set":"y"}]"#),
        ("scrobbles.csv", b"a,b"),
        ("fake.zip", b"hello"),
    ]);
    let export = Export::find(&[folder.path().join("log")]).expect("a folder");
    assert!(!export.has_history());
    assert_eq!(export.documents()[0].content, Content::Other(TECHNICAL_LOG));
    let csv = Export::find(&[folder.path().join("scrobbles.csv")]).expect("a file");
    assert_eq!(csv.documents()[0].content, Content::Other("a table (CSV), not Spotify's own export"));
    assert!(Export::find(&[folder.path().join("fake.zip")]).is_err());
    assert!(Export::find(&[folder.path().join("absent")]).is_err());
}
