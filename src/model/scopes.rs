//! What a person permits at sign-in: which permissions are requested, what each is for, and which of them are missing.
//! None of them allows any change.

/// A permission, by Spotify's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    pub name: &'static str,
    /// What cannot be read without it.
    pub serves: &'static str,
}

/// Exactly what is needed, in the order of the consent page.
pub const SCOPES: [Scope; 7] = [
    // Not for the data it unlocks, which is not kept: Spotify lists it as the permission for `GET /me`.
    Scope { name: "user-read-private", serves: "whose account it is" },
    Scope { name: "user-library-read", serves: "saved tracks, albums, shows, episodes and audiobooks" },
    Scope { name: "user-read-playback-position", serves: "saved episodes" },
    Scope { name: "user-follow-read", serves: "followed artists" },
    Scope { name: "playlist-read-private", serves: "playlists and their items" },
    Scope { name: "playlist-read-collaborative", serves: "collaborative playlists" },
    Scope { name: "user-read-recently-played", serves: "the listening history" },
];

/// The part of [`SCOPES`] that is not among `granted`, names separated by spaces. An answer without scopes has granted
/// what was requested (RFC 6749, 5.1).
pub fn missing(granted: Option<&str>) -> Vec<Scope> {
    let Some(granted) = granted else { return Vec::new() };
    let is_missing = |scope: &&Scope| !granted.split_whitespace().any(|name| name == scope.name);
    SCOPES.iter().filter(is_missing).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_granted_is_named_with_what_it_is_for() {
        let granted = "user-library-read  playlist-read-private playlist-read-collaborative user-read-private extra";
        let names: Vec<_> = missing(Some(granted)).into_iter().map(|scope| (scope.name, scope.serves)).collect();
        let expected = [
            ("user-read-playback-position", "saved episodes"),
            ("user-follow-read", "followed artists"),
            ("user-read-recently-played", "the listening history"),
        ];
        assert_eq!(names, expected);
        assert_eq!(missing(Some("")).len(), SCOPES.len());
    }

    #[test]
    fn a_grant_that_does_not_say_what_it_is_lacks_nothing() {
        assert_eq!(missing(None), []);
    }
}
