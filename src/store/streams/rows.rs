//! The rows that an import writes.

use crate::model::stream::Stream;
use crate::store::types::{At, Words};
use crate::store::upsert::upsert_rows;

upsert_rows! {
    /// A row of an export is there or not; it never changes.
    StreamRow<'a> in streams returning (logged_at: At, digest: i64) {
        account_id: i64 => Key,
        import_id: i64 => Once,
        logged_at: At => Key,
        digest: i64 => Key,
        started_at: At => Once,
        ended_at: At => Once,
        ms_played: i64 => Once,
        kind: &'static str => Once,
        uri: Option<Words<'a>> => Once,
        name: Option<Words<'a>> => Once,
        creator: Option<Words<'a>> => Once,
        collection: Option<Words<'a>> => Once,
        collection_uri: Option<Words<'a>> => Once,
        reason_start: Option<Words<'a>> => Once,
        reason_end: Option<Words<'a>> => Once,
        shuffle: Option<bool> => Once,
        skipped: Option<bool> => Once,
        offline: Option<bool> => Once,
        incognito: Option<bool> => Once,
        platform: Option<Words<'a>> => Once,
        country: Option<Words<'a>> => Once,
        origin: &'static str => Once,
        played_at: Option<At> => Once,
    }

    /// A play that is made of a stream. Of two in one second the longer one counts.
    ExportPlayRow<'a> in plays {
        account_id: i64 => Key,
        played_at: At => Key,
        track_uri: Words<'a> => Key,
        track_id: Option<Words<'a>> => Once,
        ms_played: Option<i32> => Greatest,
        source: &'static str => Once,
    }

    /// A track that only an export mentions: any other source knows more.
    ExportTrackRow<'a> in tracks {
        id: Words<'a> => Key,
        name: Words<'a> => Once,
        album_id: Option<Words<'a>> => Once,
        fetched_at: At => Once,
        source: &'static str => Once,
    }

    ExportAlbumRow<'a> in albums {
        id: Words<'a> => Key,
        name: Words<'a> => Once,
        fetched_at: At => Once,
    }

    ExportArtistRow<'a> in artists {
        id: Words<'a> => Key,
        name: Words<'a> => Once,
        fetched_at: At => Once,
    }

    ExportCreditRow<'a> in track_artists {
        track_id: Words<'a> => Key,
        artist_id: Words<'a> => Once,
        position: i64 => Key,
    }
}

fn words(text: &Option<String>) -> Option<Words<'_>> {
    text.as_deref().map(Words)
}

impl<'a> StreamRow<'a> {
    /// `uri` may come from the catalogue alone.
    pub fn new(account: i64, import: i64, stream: &'a Stream, uri: Option<&'a str>, played_at: Option<At>) -> Self {
        StreamRow {
            account_id: account,
            import_id: import,
            logged_at: stream.logged_at.into(),
            digest: stream.digest,
            started_at: stream.started_at.into(),
            ended_at: stream.ended_at.into(),
            ms_played: stream.ms_played,
            kind: stream.kind.as_str(),
            uri: uri.map(Words),
            name: words(&stream.name),
            creator: words(&stream.creator),
            collection: words(&stream.collection),
            collection_uri: words(&stream.collection_uri),
            reason_start: words(&stream.reason_start),
            reason_end: words(&stream.reason_end),
            shuffle: stream.shuffle,
            skipped: stream.skipped,
            offline: stream.offline,
            incognito: stream.incognito,
            platform: words(&stream.platform),
            country: words(&stream.country),
            origin: stream.origin.as_str(),
            played_at,
        }
    }
}
