//! Which request a path is, and to which family of limits it belongs.

use serde::{Serialize, Serializer};

/// Requests that share a quota, and a line in the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The profile.
    Me,
    /// Saved tracks.
    Tracks,
    /// Saved albums.
    Albums,
    /// Followed artists.
    Artists,
    /// The list of playlists, and single ones.
    Playlists,
    /// The items of a playlist.
    PlaylistItems,
    /// Saved shows.
    Shows,
    /// Saved episodes.
    Episodes,
    /// Saved audiobooks.
    Audiobooks,
    /// Playback.
    Player,
    /// Paths under `/v1` that are gone or never existed.
    Other,
    /// The token endpoint.
    Token,
    /// The consent page.
    Authorize,
}

impl Family {
    const ALL: [Family; 13] = [
        Family::Me,
        Family::Tracks,
        Family::Albums,
        Family::Artists,
        Family::Playlists,
        Family::PlaylistItems,
        Family::Shows,
        Family::Episodes,
        Family::Audiobooks,
        Family::Player,
        Family::Other,
        Family::Token,
        Family::Authorize,
    ];

    /// The name that settings, rules and statistics use.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Me => "me",
            Family::Tracks => "tracks",
            Family::Albums => "albums",
            Family::Artists => "artists",
            Family::Playlists => "playlists",
            Family::PlaylistItems => "playlist_items",
            Family::Shows => "shows",
            Family::Episodes => "episodes",
            Family::Audiobooks => "audiobooks",
            Family::Player => "player",
            Family::Other => "other",
            Family::Token => "token",
            Family::Authorize => "authorize",
        }
    }

    /// The family with that name.
    pub fn parse(name: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.name() == name)
    }

    /// Whether rate limit and quotas apply: they cover the Web API, not the sign-in.
    pub const fn is_limited(self) -> bool {
        !matches!(self, Family::Token | Family::Authorize)
    }

    /// The names of all families that limits apply to, for messages.
    pub fn limited_names() -> String {
        let names: Vec<_> = Family::ALL.into_iter().filter(|family| family.is_limited()).map(Family::name).collect();
        names.join(", ")
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The target of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// The Web API, under `/v1`.
    Api(Endpoint<'a>),
    /// `/api/token`
    Token,
    /// `/authorize`
    Authorize,
    /// The control API; the rest of the path.
    Control(&'a str),
    /// Nothing is there.
    Nowhere,
}

impl<'a> Route<'a> {
    /// Reads a path.
    pub fn of(path: &'a str) -> Route<'a> {
        match path {
            "/api/token" => Route::Token,
            "/authorize" => Route::Authorize,
            _ => {
                if let Some(rest) = path.strip_prefix("/v1/") {
                    Route::Api(Endpoint::of(rest))
                } else if let Some(rest) = path.strip_prefix("/_sandbox/") {
                    Route::Control(rest)
                } else {
                    Route::Nowhere
                }
            }
        }
    }
}

/// A request to the Web API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// `/me`
    Me,
    /// `/me/tracks`
    SavedTracks,
    /// `/me/albums`
    SavedAlbums,
    /// `/me/shows`
    SavedShows,
    /// `/me/episodes`
    SavedEpisodes,
    /// `/me/audiobooks`
    SavedAudiobooks,
    /// `/me/following`
    Following,
    /// `/me/playlists`
    Playlists,
    /// `/playlists/{id}`
    Playlist { id: &'a str },
    /// `/playlists/{id}/items`
    PlaylistItems { id: &'a str },
    /// `/playlists/{id}/tracks`: the name before February 2026
    PlaylistTracks { id: &'a str },
    /// `/me/player/recently-played`
    RecentlyPlayed,
    /// `/me/player/currently-playing`
    CurrentlyPlaying,
    /// Closed in February 2026.
    Removed,
    /// Never existed, or is of no use to a library sync.
    Unknown,
}

impl<'a> Endpoint<'a> {
    /// Reads the path below `/v1/`.
    fn of(path: &'a str) -> Endpoint<'a> {
        let segments: Vec<&str> = path.split('/').collect();
        match segments[..] {
            ["me"] => Endpoint::Me,
            ["me", "tracks"] => Endpoint::SavedTracks,
            ["me", "albums"] => Endpoint::SavedAlbums,
            ["me", "shows"] => Endpoint::SavedShows,
            ["me", "episodes"] => Endpoint::SavedEpisodes,
            ["me", "audiobooks"] => Endpoint::SavedAudiobooks,
            ["me", "following"] => Endpoint::Following,
            ["me", "playlists"] => Endpoint::Playlists,
            ["playlists", id] if !id.is_empty() => Endpoint::Playlist { id },
            ["playlists", id, "items"] => Endpoint::PlaylistItems { id },
            ["playlists", id, "tracks"] => Endpoint::PlaylistTracks { id },
            ["me", "player", "recently-played"] => Endpoint::RecentlyPlayed,
            ["me", "player", "currently-playing"] => Endpoint::CurrentlyPlaying,
            ["tracks" | "albums" | "artists" | "episodes" | "shows" | "audiobooks" | "chapters" | "markets"]
            | ["users" | "browse", ..]
            | ["artists", _, "top-tracks"]
            | ["me", _, "contains"]
            | ["playlists", _, "followers", ..] => Endpoint::Removed,
            _ => Endpoint::Unknown,
        }
    }

    /// The family that the request counts against.
    pub const fn family(self) -> Family {
        match self {
            Endpoint::Me => Family::Me,
            Endpoint::SavedTracks => Family::Tracks,
            Endpoint::SavedAlbums => Family::Albums,
            Endpoint::SavedShows => Family::Shows,
            Endpoint::SavedEpisodes => Family::Episodes,
            Endpoint::SavedAudiobooks => Family::Audiobooks,
            Endpoint::Following => Family::Artists,
            Endpoint::Playlists | Endpoint::Playlist { .. } => Family::Playlists,
            Endpoint::PlaylistItems { .. } | Endpoint::PlaylistTracks { .. } => Family::PlaylistItems,
            Endpoint::RecentlyPlayed | Endpoint::CurrentlyPlaying => Family::Player,
            Endpoint::Removed | Endpoint::Unknown => Family::Other,
        }
    }

    /// The scopes that the token must have.
    pub const fn scopes(self) -> &'static [&'static str] {
        match self {
            Endpoint::SavedTracks | Endpoint::SavedAlbums | Endpoint::SavedShows | Endpoint::SavedAudiobooks => {
                &["user-library-read"]
            }
            Endpoint::SavedEpisodes => &["user-library-read", "user-read-playback-position"],
            Endpoint::Following => &["user-follow-read"],
            Endpoint::Playlists | Endpoint::PlaylistItems { .. } | Endpoint::PlaylistTracks { .. } => {
                &["playlist-read-private"]
            }
            Endpoint::RecentlyPlayed => &["user-read-recently-played"],
            Endpoint::CurrentlyPlaying => &["user-read-currently-playing"],
            Endpoint::Me | Endpoint::Playlist { .. } | Endpoint::Removed | Endpoint::Unknown => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_should() {
        assert_eq!(Route::of("/v1/me/tracks"), Route::Api(Endpoint::SavedTracks));
        assert_eq!(Route::of("/v1/playlists/abc/items"), Route::Api(Endpoint::PlaylistItems { id: "abc" }));
        assert_eq!(Route::of("/v1/me/tracks/contains"), Route::Api(Endpoint::Removed));
        assert_eq!(Route::of("/v1/users/me/playlists"), Route::Api(Endpoint::Removed));
        assert_eq!(Route::of("/v1/me/tracks/"), Route::Api(Endpoint::Unknown));
        assert_eq!(Route::of("/_sandbox/stats/reset"), Route::Control("stats/reset"));
        assert_eq!(Route::of("/favicon.ico"), Route::Nowhere);
    }

    #[test]
    fn every_family_is_found_by_its_name() {
        for family in Family::ALL {
            assert_eq!(Family::parse(family.name()), Some(family));
        }
        assert_eq!(Family::parse("*"), None);
    }
}
