//! The requests of a library sync to the Web API, answered from the library as it is at that instant.

use serde::Serialize;

use super::config::Dialect;
use super::http::{ApiError, Query, Reply};
use super::library::{Access, Library, Media, Play, Playlist, PlaylistItem};
use super::paging::{PageWindow, limit};
use super::renderer::Renderer;
use super::routes::Endpoint;
use super::rows::{
    AfterWire, ArtistPagingWire, ContentsRefWire, ContextWire, ExplicitContentWire, FollowingWire, MeWire,
    PlayCursorsWire, PlayWire, PlaylistItemWire, RecentlyPlayedWire, SavedAlbumWire, SavedTrackWire, ThumbnailWire,
};
use super::wire::{FollowersWire, HOST, Identity, Kind, MediaWire, PagingWire, millis, seconds};

/// Greatest offset into the list of playlists.
const PLAYLISTS_OFFSET_MAX: usize = 100_000;
/// Items that are embedded in a single playlist.
const EMBEDDED_ITEMS: usize = 100;

/// Answers a request. Token, limits and faults have been checked.
pub fn answer(
    library: &Library,
    dialect: Dialect,
    endpoint: Endpoint<'_>,
    query: &Query<'_>,
) -> Result<Reply, ApiError> {
    let view = View { library, renderer: Renderer { catalogue: &library.catalogue, dialect }, query };
    match endpoint {
        Endpoint::Me => Ok(view.me()),
        Endpoint::SavedTracks => view.saved("/me/tracks", &library.tracks, |row| SavedTrackWire {
            added_at: seconds(row.added_at),
            track: row.track.map(|no| view.renderer.track(no)),
        }),
        Endpoint::SavedAlbums => view.saved("/me/albums", &library.albums, |row| SavedAlbumWire {
            added_at: seconds(row.added_at),
            album: view.renderer.album(row.album),
        }),
        Endpoint::Following => view.following(),
        Endpoint::SavedShows => view.saved("/me/shows", &library.shows, |row| view.renderer.saved_show(row)),
        Endpoint::SavedEpisodes => {
            view.saved("/me/episodes", &library.episodes, |row| view.renderer.saved_episode(row))
        }
        Endpoint::SavedAudiobooks => {
            view.saved("/me/audiobooks", &library.audiobooks, |row| view.renderer.saved_audiobook(row))
        }
        Endpoint::Playlists => view.playlists(),
        Endpoint::Playlist { id } => view.playlist(id),
        Endpoint::PlaylistItems { id } => view.playlist_items(id, "items"),
        Endpoint::PlaylistTracks { id } => match dialect {
            Dialect::Current => Err(ApiError::FORBIDDEN),
            Dialect::Legacy => view.playlist_items(id, "tracks"),
        },
        Endpoint::RecentlyPlayed => view.recently_played(),
        Endpoint::CurrentlyPlaying => Ok(Reply::new(204, "", Vec::new())),
        Endpoint::Removed => match dialect {
            Dialect::Current => Err(ApiError::FORBIDDEN),
            Dialect::Legacy => Err(ApiError::NO_SERVICE),
        },
        Endpoint::Unknown => Err(ApiError::NO_SERVICE),
    }
}

/// The rows that a request asks for, as a range of places in its listing; `None` if there is no listing.
pub fn slots(library: &Library, endpoint: Endpoint<'_>, query: &Query<'_>) -> Option<std::ops::Range<usize>> {
    let start = match endpoint {
        Endpoint::Following => library.followed_after(query.get("after").unwrap_or_default()),
        Endpoint::SavedTracks
        | Endpoint::SavedAlbums
        | Endpoint::SavedShows
        | Endpoint::SavedEpisodes
        | Endpoint::SavedAudiobooks
        | Endpoint::Playlists
        | Endpoint::PlaylistItems { .. }
        | Endpoint::PlaylistTracks { .. } => PageWindow::read(query, usize::MAX).ok()?.offset,
        Endpoint::Me
        | Endpoint::Playlist { .. }
        | Endpoint::RecentlyPlayed
        | Endpoint::CurrentlyPlaying
        | Endpoint::Removed
        | Endpoint::Unknown => return None,
    };
    Some(start..start.saturating_add(limit(query).ok()?))
}

/// The library as one request sees it.
struct View<'a> {
    library: &'a Library,
    renderer: Renderer<'a>,
    query: &'a Query<'a>,
}

impl<'a> View<'a> {
    fn me(&self) -> Reply {
        let account = &self.library.account;
        let is_legacy = self.renderer.dialect == Dialect::Legacy;
        let wire = MeWire {
            identity: Identity::of(Kind::User, &account.id),
            account_id: &account.account_id,
            display_name: &account.display_name,
            images: [],
            country: is_legacy.then_some("SE"),
            email: is_legacy.then_some("listener@example.com"),
            explicit_content: is_legacy.then_some(ExplicitContentWire { filter_enabled: false, filter_locked: false }),
            followers: is_legacy.then_some(FollowersWire { href: (), total: 3 }),
            product: is_legacy.then_some("premium"),
        };
        Reply::json(200, &wire)
    }

    /// A listing of saved items.
    fn saved<R, W: Serialize>(&self, path: &str, rows: &[R], wire: impl Fn(&R) -> W) -> Result<Reply, ApiError> {
        let page = PageWindow::read(self.query, usize::MAX)?;
        let items = page.of(rows).iter().map(wire);
        Ok(Reply::json(200, &page.wire(path, "", rows.len(), items.collect())))
    }

    fn following(&self) -> Result<Reply, ApiError> {
        match self.query.get("type") {
            None => return Err(ApiError::bad_request("Missing required field: type")),
            Some("artist") => {}
            Some(_) => return Err(ApiError::bad_request("Invalid type")),
        }
        let limit = limit(self.query)?;
        let (library, after) = (self.library, self.query.get("after"));
        let start = library.followed_after(after.unwrap_or_default());
        let page = PageWindow { offset: start, limit }.of(&library.artists);
        let address = |after: &str| format!("{HOST}/me/following?type=artist&after={after}&limit={limit}");
        let has_more = start + page.len() < library.artists.len();
        let last = page.last().filter(|_| has_more).map(|no| library.catalogue[*no].id.as_str());
        let wire = FollowingWire {
            artists: ArtistPagingWire {
                href: after.map_or_else(|| format!("{HOST}/me/following?type=artist&limit={limit}"), address),
                limit,
                next: last.map(address),
                cursors: AfterWire { after: last },
                total: library.artists.len(),
                items: page.iter().map(|no| self.renderer.artist(*no)).collect(),
            },
        };
        Ok(Reply::json(200, &wire))
    }

    fn playlists(&self) -> Result<Reply, ApiError> {
        let (page, rows) = (PageWindow::read(self.query, PLAYLISTS_OFFSET_MAX)?, &self.library.playlists);
        let items = page.of(rows).iter().map(|playlist| {
            playlist.as_ref().map(|playlist| {
                let href = format!("{HOST}{}", self.items_path(playlist, self.items_name()));
                self.renderer.playlist(playlist, Some(ContentsRefWire { href, total: playlist.items.len() }))
            })
        });
        Ok(Reply::json(200, &page.wire("/me/playlists", "", rows.len(), items.collect())))
    }

    fn playlist(&self, id: &str) -> Result<Reply, ApiError> {
        let playlist = self.library.playlist(id).ok_or(ApiError::NOT_FOUND)?;
        let contents = match self.library.access(playlist, self.renderer.dialect) {
            Access::Closed => return Err(ApiError::NOT_FOUND),
            Access::Withheld => None,
            Access::Readable => {
                let page = PageWindow { offset: 0, limit: EMBEDDED_ITEMS };
                Some(self.contents(playlist, page, self.items_name()))
            }
        };
        Ok(Reply::json(200, &self.renderer.playlist(playlist, contents)))
    }

    fn playlist_items(&self, id: &str, name: &str) -> Result<Reply, ApiError> {
        let playlist = self.library.playlist(id).ok_or(ApiError::NOT_FOUND)?;
        match self.library.access(playlist, self.renderer.dialect) {
            Access::Closed => Err(ApiError::NOT_FOUND),
            Access::Withheld => Err(ApiError::FORBIDDEN),
            Access::Readable => {
                let page = PageWindow::read(self.query, usize::MAX)?;
                Ok(Reply::json(200, &self.contents(playlist, page, name)))
            }
        }
    }

    /// A page of the contents of a playlist, at the endpoint of that name.
    fn contents(&self, playlist: &'a Playlist, page: PageWindow, name: &str) -> PagingWire<PlaylistItemWire<'a>> {
        let types = self.query.get("additional_types");
        let extra = types.map_or_else(String::new, |types| {
            let types: String = url::form_urlencoded::byte_serialize(types.as_bytes()).collect();
            format!("&additional_types={types}")
        });
        let with_episodes = types.is_some_and(|types| types.split(',').any(|kind| kind.trim() == "episode"));
        let items = page.of(&playlist.items).iter().map(|item| self.item(item, with_episodes)).collect();
        page.wire(&self.items_path(playlist, name), &extra, playlist.items.len(), items)
    }

    fn item(&self, item: &'a PlaylistItem, with_episodes: bool) -> PlaylistItemWire<'a> {
        let media = match &item.media {
            Media::Track(no) => Some(MediaWire::Track(Box::new(self.renderer.track(*no)))),
            Media::Episode(no) if with_episodes => Some(MediaWire::Episode(Box::new(self.renderer.episode(*no)))),
            Media::Local(file) => Some(MediaWire::Local(Box::new(self.renderer.local(file)))),
            Media::Episode(_) | Media::Missing => None,
        };
        let (item_field, track_field) = match self.renderer.dialect {
            Dialect::Current => (Some(media), None),
            Dialect::Legacy => (None, Some(media)),
        };
        PlaylistItemWire {
            added_at: item.added_at.map(seconds),
            added_by: item.added_by.as_deref().map(|id| self.renderer.mention(id)),
            is_local: matches!(item.media, Media::Local(_)),
            primary_color: (),
            video_thumbnail: ThumbnailWire { url: () },
            item: item_field,
            track: track_field,
        }
    }

    fn items_name(&self) -> &'static str {
        match self.renderer.dialect {
            Dialect::Current => "items",
            Dialect::Legacy => "tracks",
        }
    }

    fn items_path(&self, playlist: &Playlist, name: &str) -> String {
        format!("/playlists/{}/{name}", playlist.id)
    }

    /// Every other play was started from its album; the others have no context, which is common.
    fn context(&self, play: &Play) -> Option<ContextWire> {
        let catalogue = &self.library.catalogue;
        let album = &catalogue[catalogue[play.track].album];
        let is_known = play.played_at.timestamp_millis() % 2 == 0;
        is_known.then(|| ContextWire { kind: "album", uri: format!("spotify:album:{}", album.id) })
    }

    fn recently_played(&self) -> Result<Reply, ApiError> {
        let limit = limit(self.query)?;
        let cursor = |name, message| {
            let parsed = self.query.get(name).map(str::parse::<i64>).transpose();
            parsed.map_err(|_| ApiError::bad_request(message))
        };
        let (after, before) = (cursor("after", "Invalid after")?, cursor("before", "Invalid before")?);
        if after.is_some() && before.is_some() {
            return Err(ApiError::bad_request("Only one of 'after' or 'before' may be given"));
        }
        let at_ms = |play: &Play| play.played_at.timestamp_millis();
        let mut plays: Vec<_> = self.library.recent_plays().iter().collect();
        plays.retain(|play| after.is_none_or(|ms| at_ms(play) > ms) && before.is_none_or(|ms| at_ms(play) < ms));
        let has_more = plays.len() > limit;
        plays.truncate(limit);
        let cursors = plays.first().zip(plays.last()).map(|(newest, oldest)| PlayCursorsWire {
            after: at_ms(newest).to_string(),
            before: at_ms(oldest).to_string(),
        });
        let address = format!("{HOST}/me/player/recently-played");
        let next = cursors.as_ref().filter(|_| has_more);
        let wire = RecentlyPlayedWire {
            next: next.map(|cursors| format!("{address}?before={}&limit={limit}", cursors.before)),
            cursors,
            href: format!("{address}?limit={limit}"),
            limit,
            items: plays
                .into_iter()
                .map(|play| PlayWire {
                    track: self.renderer.track(play.track),
                    played_at: millis(play.played_at),
                    context: self.context(play),
                })
                .collect(),
        };
        Ok(Reply::json(200, &wire))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sandbox::config::LibrarySpec;
    use crate::sandbox::generate;
    use crate::sandbox::routes::Route;

    #[test]
    fn the_dialects_differ_in_names_and_fields() {
        let library = demo();
        let current = ask(&library, Dialect::Current, "/v1/me/playlists", "limit=50").expect("200");
        let legacy = ask(&library, Dialect::Legacy, "/v1/me/playlists", "limit=50").expect("200");
        assert_eq!(current["items"][0]["items"]["total"], legacy["items"][0]["tracks"]["total"]);
        assert!(current["items"][0].get("tracks").is_none() && legacy["items"][0].get("items").is_none());
        assert!(current["items"][5].is_null());
        let current = ask(&library, Dialect::Current, "/v1/me/tracks", "").expect("200");
        let legacy = ask(&library, Dialect::Legacy, "/v1/me/tracks", "").expect("200");
        assert!(current["items"][0]["track"].get("popularity").is_none());
        assert!(legacy["items"][0]["track"]["available_markets"].is_array());
        let me = ask(&library, Dialect::Current, "/v1/me", "").expect("200");
        assert!(me["account_id"].is_string() && me.get("email").is_none());
    }

    #[test]
    fn slots_that_are_no_tracks_look_as_they_do_in_the_wild() {
        let library = demo();
        let id = library.playlists[1].as_ref().expect("the second is mixed").id.clone();
        let path = format!("/v1/playlists/{id}/items");
        let items = ask(&library, Dialect::Current, &path, "additional_types=track,episode").expect("200");
        let local = &items["items"][1];
        assert_eq!(local["is_local"], true);
        assert!(local["item"]["id"].is_null() && local["item"]["album"]["album_type"].is_null());
        assert!(local["item"]["uri"].as_str().is_some_and(|uri| uri.starts_with("spotify:local:")));
        assert_eq!(items["items"][3]["item"]["type"], "episode");
        assert!(items["items"][4]["item"].is_null());
        assert!(items["items"][5]["added_at"].is_null() && items["items"][5]["added_by"].is_null());
        let items = ask(&library, Dialect::Current, &path, "additional_types=track").expect("200");
        assert!(items["items"][3]["item"].is_null());
    }

    #[test]
    fn contents_of_other_peoples_playlists_depend_on_the_dialect() {
        let library = demo();
        let id = |index: usize| library.playlists[index].as_ref().expect("whole").id.clone();
        let (followed, shared, editorial) = (id(2), id(4), id(7));
        let ask = |dialect, id: &str, tail: &str| ask(&library, dialect, &format!("/v1/playlists/{id}{tail}"), "");
        assert_eq!(ask(Dialect::Current, &followed, "/items"), Err(ApiError::FORBIDDEN));
        assert!(ask(Dialect::Current, &followed, "").is_ok_and(|playlist| playlist.get("items").is_none()));
        assert!(ask(Dialect::Legacy, &followed, "/items").is_ok());
        assert!(ask(Dialect::Current, &shared, "/items").is_ok());
        assert_eq!(ask(Dialect::Legacy, &editorial, "/items"), Err(ApiError::NOT_FOUND));
        assert_eq!(ask(Dialect::Current, &shared, "/tracks"), Err(ApiError::FORBIDDEN));
        assert!(ask(Dialect::Legacy, &shared, "/tracks").is_ok());
        assert_eq!(ask(Dialect::Current, "unheardof", ""), Err(ApiError::NOT_FOUND));
    }

    #[test]
    fn recently_played_pages_back_and_then_has_no_cursors() {
        let library = demo();
        let path = "/v1/me/player/recently-played";
        let page = ask(&library, Dialect::Current, path, "limit=30").expect("200");
        let before = page["cursors"]["before"].as_str().expect("a cursor");
        let rest = ask(&library, Dialect::Current, path, &format!("limit=50&before={before}")).expect("200");
        assert_eq!(rest["items"].as_array().map(Vec::len), Some(20));
        assert!(rest["next"].is_null());
        let end = ask(&library, Dialect::Current, path, "before=0").expect("200");
        assert!(end["cursors"].is_null() && end["items"] == serde_json::json!([]));
        assert!(ask(&library, Dialect::Current, path, "before=1&after=1").is_err());
    }

    #[test]
    fn odd_rows_are_spelled_as_in_the_field() {
        let library = demo();
        let rows: Vec<Value> = (0..100)
            .flat_map(|page| {
                let query = format!("limit=50&offset={}", page * 50);
                let page = ask(&library, Dialect::Current, "/v1/me/tracks", &query).expect("200");
                page["items"].as_array().expect("rows").clone()
            })
            .collect();
        assert_eq!(rows.len(), 5_000);
        assert!(rows.iter().any(|row| row["track"].is_null()));
        let tracks: Vec<&Value> = rows.iter().map(|row| &row["track"]).filter(|track| !track.is_null()).collect();
        assert!(tracks.iter().any(|track| track["name"] == ""));
        assert!(tracks.iter().any(|track| track.get("external_ids").is_none()));
        assert!(tracks.iter().any(|track| track.get("future_field").is_some()));
        assert!(tracks.iter().any(|track| track["album"]["images"].is_null()));
    }

    fn demo() -> Library {
        generate::library(&LibrarySpec::default(), 1)
    }

    fn ask(library: &Library, dialect: Dialect, path: &str, query: &str) -> Result<Value, ApiError> {
        let Route::Api(endpoint) = Route::of(path) else { panic!("{path} is not in the Web API") };
        let reply = answer(library, dialect, endpoint, &Query::parse(query.as_bytes()))?;
        Ok(serde_json::from_slice(&reply.body).expect("answers are JSON"))
    }
}
