//! The library as lists, one for each entity type: `GET /api/v1/tracks` and the like.

use super::{
    Problem, WebState,
    paging::{List, Paging, list, params, walk},
    params::Params,
    problem::ReadProblems,
};
use crate::store::{
    StoreError,
    browse::{
        AlbumEntry, ArtistEntry, AudiobookEntry, EpisodeEntry, ListPage, Member, Members, PlaylistEntry,
        PlaylistItemEntry, ShowEntry, TrackEntry, VersionEntry, Walk,
    },
};
use actix_web::{
    HttpRequest,
    web::{Data, Json, Path, ServiceConfig, get, resource},
};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::IntoParams;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/tracks").route(get().to(tracks)))
        .service(resource("/api/v1/albums").route(get().to(albums)))
        .service(resource("/api/v1/artists").route(get().to(artists)))
        .service(resource("/api/v1/shows").route(get().to(shows)))
        .service(resource("/api/v1/episodes").route(get().to(episodes)))
        .service(resource("/api/v1/audiobooks").route(get().to(audiobooks)))
        .service(resource("/api/v1/playlists").route(get().to(playlists)))
        .service(resource("/api/v1/playlists/{id}").route(get().to(playlist)))
        .service(resource("/api/v1/playlists/{id}/items").route(get().to(playlist_items)))
        .service(resource("/api/v1/playlists/{id}/versions").route(get().to(playlist_versions)));
}

/// Which members of the library, and in what order.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Params` reads")]
pub struct Listing {
    /// Part of a name, ignoring case. Creators' names, albums and shows are searched, too.
    #[param(max_length = 200)]
    q: Option<String>,
    /// `asc` or `desc`; by default names ascend and dates descend.
    #[param(pattern = "^(asc|desc)$")]
    order: Option<String>,
    /// True for what was removed from the library, instead of what is in it.
    #[param(default = false)]
    removed: Option<bool>,
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// By when they were added.
    Date,
    Name,
    /// In the library's order.
    Place,
}

/// A parsed request for members.
struct Asked {
    params: Params,
    members: Members,
    sort: Sort,
    is_descending: bool,
    /// Distinguishes this list and its order from all others.
    list: String,
}

impl Asked {
    async fn read(
        request: &HttpRequest,
        state: &WebState,
        list: &str,
        sorts: &[(&str, Sort)],
    ) -> Result<Asked, Problem> {
        let params = params(request, &["q", "sort", "order", "removed"])?;
        params.limit()?;
        let sort = params.choice("sort", sorts)?;
        let orders =
            if sort == Sort::Date { [("desc", true), ("asc", false)] } else { [("asc", false), ("desc", true)] };
        let is_descending = params.choice("order", &orders)?;
        let are_removed = params.choice("removed", &[("false", false), ("true", true)])?;
        let search = params.search()?;
        let account = state.account(params.account()?).await?;
        let list = format!("{list} by {sort:?}, down: {is_descending}, gone: {are_removed}");
        Ok(Asked { members: Members { account, search, are_removed }, sort, is_descending, list, params })
    }

    async fn page<T, K: Serialize + DeserializeOwned>(
        &self,
        read: impl AsyncFnOnce(&Members, &Walk<K>) -> Result<Option<ListPage<T, K>>, StoreError>,
    ) -> Result<Json<List<T>>, Problem> {
        let walk = walk(&self.params, &self.list, self.is_descending)?;
        let page = read(&self.members, &walk).await?.ok_or_else(|| {
            Problem::unavailable("the index of names is not built yet: that takes a minute or so after the first sync")
                .retry_after(60)
        })?;
        Ok(Json(list(page, &self.list)))
    }
}

const BY_DATE_OR_NAME: [(&str, Sort); 2] = [("added_at", Sort::Date), ("name", Sort::Name)];

async fn members<T: Member>(
    state: &WebState,
    request: &HttpRequest,
    sorts: &[(&str, Sort)],
) -> Result<Json<List<T>>, Problem> {
    let asked = Asked::read(request, state, T::ENTITY.as_str(), sorts).await?;
    match asked.sort {
        Sort::Name => asked.page(async |members, walk| state.store.members_by_name(members, walk).await).await,
        _ => asked.page(async |members, walk| state.store.members_by_date(members, walk).await.map(Some)).await,
    }
}

/// Saved tracks.
#[utoipa::path(
    get, path = "/api/v1/tracks", tag = "library",
    params(Paging, Listing, ("sort" = Option<String>, Query, description = "`added_at` or `name`", pattern = "^(added_at|name)$")),
    responses((status = 200, body = List<TrackEntry>), ReadProblems)
)]
pub async fn tracks(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<TrackEntry>>, Problem> {
    members(&state, &request, &BY_DATE_OR_NAME).await
}

/// Saved albums.
#[utoipa::path(
    get, path = "/api/v1/albums", tag = "library",
    params(Paging, Listing, ("sort" = Option<String>, Query, description = "`added_at` or `name`", pattern = "^(added_at|name)$")),
    responses((status = 200, body = List<AlbumEntry>), ReadProblems)
)]
pub async fn albums(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<AlbumEntry>>, Problem> {
    members(&state, &request, &BY_DATE_OR_NAME).await
}

/// Followed artists.
#[utoipa::path(
    get, path = "/api/v1/artists", tag = "library",
    params(Paging, Listing, ("sort" = Option<String>, Query, description = "`name` or `first_seen_at`", pattern = "^(name|first_seen_at)$")),
    responses((status = 200, body = List<ArtistEntry>), ReadProblems)
)]
pub async fn artists(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<ArtistEntry>>, Problem> {
    members(&state, &request, &[("name", Sort::Name), ("first_seen_at", Sort::Date)]).await
}

/// Saved shows.
#[utoipa::path(
    get, path = "/api/v1/shows", tag = "library",
    params(Paging, Listing, ("sort" = Option<String>, Query, description = "`added_at` or `name`", pattern = "^(added_at|name)$")),
    responses((status = 200, body = List<ShowEntry>), ReadProblems)
)]
pub async fn shows(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<ShowEntry>>, Problem> {
    members(&state, &request, &BY_DATE_OR_NAME).await
}

/// Saved episodes.
#[utoipa::path(
    get, path = "/api/v1/episodes", tag = "library",
    params(Paging, Listing, ("sort" = Option<String>, Query, description = "`added_at` or `name`", pattern = "^(added_at|name)$")),
    responses((status = 200, body = List<EpisodeEntry>), ReadProblems)
)]
pub async fn episodes(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<EpisodeEntry>>, Problem> {
    members(&state, &request, &BY_DATE_OR_NAME).await
}

/// Saved audiobooks.
#[utoipa::path(
    get, path = "/api/v1/audiobooks", tag = "library",
    params(Paging, Listing, ("sort" = Option<String>, Query, description = "`added_at` or `name`", pattern = "^(added_at|name)$")),
    responses((status = 200, body = List<AudiobookEntry>), ReadProblems)
)]
pub async fn audiobooks(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<AudiobookEntry>>, Problem> {
    members(&state, &request, &BY_DATE_OR_NAME).await
}

/// Playlists, in the library's order or by name.
#[utoipa::path(
    get, path = "/api/v1/playlists", tag = "library",
    params(Paging, Listing, ("sort" = Option<String>, Query, description = "`position` or `name`", pattern = "^(position|name)$")),
    responses((status = 200, body = List<PlaylistEntry>), ReadProblems)
)]
pub async fn playlists(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<PlaylistEntry>>, Problem> {
    let asked = Asked::read(&request, &state, "playlists", &[("position", Sort::Place), ("name", Sort::Name)]).await?;
    match asked.sort {
        Sort::Name => {
            asked.page(async |members, walk| state.store.playlists_by_name(members, walk).await.map(Some)).await
        }
        _ => asked.page(async |members, walk| state.store.playlists_by_place(members, walk).await.map(Some)).await,
    }
}

/// A playlist that is, or was, in the library.
#[utoipa::path(
    get, path = "/api/v1/playlists/{id}", tag = "library",
    params(
        ("id" = String, Path, description = "its Spotify id"),
        ("account" = Option<i64>, Query, description = "the number of an account; the first one where it is left out"),
    ),
    responses((status = 200, body = PlaylistEntry), ReadProblems)
)]
pub async fn playlist(
    state: Data<WebState>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<PlaylistEntry>, Problem> {
    let params = Params::read(&request, &["account"])?;
    let account = state.account(params.account()?).await?;
    let id = playlist_id(&id)?;
    state.store.playlist(account, id).await?.map(Json).ok_or_else(no_playlist)
}

/// The items of a playlist, by position.
#[utoipa::path(
    get, path = "/api/v1/playlists/{id}/items", tag = "library",
    params(
        ("id" = String, Path, description = "its Spotify id"),
        Paging,
        ("q" = Option<String>, Query, description = "a part of a name, in letters of either case", max_length = 200),
    ),
    responses((status = 200, body = List<PlaylistItemEntry>), ReadProblems)
)]
pub async fn playlist_items(
    state: Data<WebState>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<List<PlaylistItemEntry>>, Problem> {
    let params = params(&request, &["q"])?;
    let name = format!("items of {id}");
    let (walk, search) = (walk(&params, &name, false)?, params.search()?);
    let account = state.account(params.account()?).await?;
    let page = state.store.playlist_items(account, playlist_id(&id)?, search.as_ref(), &walk).await?;
    Ok(Json(list(page.ok_or_else(no_playlist)?, &name)))
}

/// The history of a playlist, newest first.
#[utoipa::path(
    get, path = "/api/v1/playlists/{id}/versions", tag = "library",
    params(("id" = String, Path, description = "its Spotify id"), Paging),
    responses((status = 200, body = List<VersionEntry>), ReadProblems)
)]
pub async fn playlist_versions(
    state: Data<WebState>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<Json<List<VersionEntry>>, Problem> {
    let params = params(&request, &[])?;
    let name = format!("versions of {id}");
    let walk = walk(&params, &name, true)?;
    let account = state.account(params.account()?).await?;
    let page = state.store.playlist_versions(account, playlist_id(&id)?, &walk).await?;
    Ok(Json(list(page.ok_or_else(no_playlist)?, &name)))
}

/// An id that a database can search for.
fn playlist_id(id: &str) -> Result<&str, Problem> {
    if id.contains('\0') { Err(no_playlist()) } else { Ok(id) }
}

fn no_playlist() -> Problem {
    Problem::not_found("there is no such playlist in the library, and never was")
}
