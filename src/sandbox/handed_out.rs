//! Spotify's data export for the listener: the extended streaming history of everything that was played here, in its
//! present format. So the sandbox's life can be read from both sources, the Web API and the export.

use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};

use super::library::Library;

/// One row per play, oldest first. A track is played whole, or until the next one begins.
pub fn streaming_history(library: &Library) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::with_capacity(library.plays.len());
    let mut before = None;
    for play in library.plays.iter().rev() {
        let track = &library.catalogue[play.track];
        let album = &library.catalogue[track.album];
        let artist = album.artists.first().map(|artist| library.catalogue[*artist].name.as_str());
        let whole = TimeDelta::milliseconds(track.duration_ms.into());
        let room = before.map_or(whole, |before| play.played_at - before);
        let start = play.played_at - whole.min(room);
        before = Some(play.played_at);
        rows.push(json!({
            "ts": play.played_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            "platform": "android",
            "ms_played": (play.played_at - start).num_milliseconds(),
            "conn_country": "NL",
            "ip_addr": null,
            "master_metadata_track_name": track.name,
            "master_metadata_album_artist_name": artist,
            "master_metadata_album_album_name": album.name,
            "spotify_track_uri": format!("spotify:track:{}", track.id),
            "episode_name": null,
            "episode_show_name": null,
            "spotify_episode_uri": null,
            "audiobook_title": null,
            "audiobook_uri": null,
            "audiobook_chapter_uri": null,
            "audiobook_chapter_title": null,
            "reason_start": "trackdone",
            "reason_end": "trackdone",
            "shuffle": false,
            "skipped": whole > room,
            "offline": false,
            "offline_timestamp": start.timestamp(),
            "incognito_mode": false,
        }));
    }
    rows
}
