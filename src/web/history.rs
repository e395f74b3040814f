//! History, newest first: `GET /api/v1/plays`, `/api/v1/changes` and `/api/v1/batches`.

use super::{
    Problem, WebState,
    paging::{List, Paging, list, params, walk},
    problem::ReadProblems,
};
use crate::{
    model::EntityType,
    store::{
        ChangeKind,
        browse::{BatchEntry, ChangeEntry, ChangeFilter, PlayEntry},
    },
};
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};
use chrono::{DateTime, Utc};
use utoipa::IntoParams;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/plays").route(get().to(plays)))
        .service(resource("/api/v1/changes").route(get().to(changes)))
        .service(resource("/api/v1/batches").route(get().to(batches)));
}

/// What was played, newest first.
#[utoipa::path(
    get, path = "/api/v1/plays", tag = "history",
    params(Paging, ("q" = Option<String>, Query, description = "a part of a name, in letters of either case", max_length = 200)),
    responses((status = 200, body = List<PlayEntry>), ReadProblems)
)]
pub async fn plays(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<PlayEntry>>, Problem> {
    let params = params(&request, &["q"])?;
    let (walk, search) = (walk(&params, "plays", true)?, params.search()?);
    let account = state.account(params.account()?).await?;
    Ok(Json(list(state.store.plays(account, search.as_ref(), &walk).await?, "plays")))
}

/// Which changes.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Params` reads")]
pub struct Which {
    /// Part of a name, ignoring case.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Only one entity type; playlists include changes to their items.
    #[param(inline)]
    entity_type: Option<EntityType>,
    /// `added`, `added_again` or `removed`.
    #[param(pattern = "^(added|added_again|removed)$")]
    kind: Option<String>,
    /// Nothing older than this.
    since: Option<DateTime<Utc>>,
}

/// Additions and removals, newest first.
#[utoipa::path(
    get, path = "/api/v1/changes", tag = "history",
    params(Paging, Which),
    responses((status = 200, body = List<ChangeEntry>), ReadProblems)
)]
pub async fn changes(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<ChangeEntry>>, Problem> {
    let params = params(&request, &["q", "entity_type", "kind", "since"])?;
    let walk = walk(&params, "changes", true)?;
    let kinds = ChangeKind::ALL.map(|kind| (kind.as_str(), kind));
    let kind = params.get("kind").map(|_| params.choice("kind", &kinds)).transpose()?;
    let (entity, since, search) = (params.entity_type()?, params.moment("since")?, params.search()?);
    let account = state.account(params.account()?).await?;
    let known = state.store.accounts().await?;
    let known = known.into_iter().find(|known| known.id == account);
    let spotify_id = known.map(|known| known.spotify_id).unwrap_or_default();
    let filter = ChangeFilter { account, entity, kind, since, search };
    Ok(Json(list(state.store.changes_page(&filter, &spotify_id, &walk).await?, "changes")))
}

/// Committed batches, newest first.
#[utoipa::path(
    get, path = "/api/v1/batches", tag = "history",
    params(Paging, ("entity_type" = inline(Option<EntityType>), Query, description = "of one entity type")),
    responses((status = 200, body = List<BatchEntry>), ReadProblems)
)]
pub async fn batches(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<BatchEntry>>, Problem> {
    let params = params(&request, &["entity_type"])?;
    let (walk, entity) = (walk(&params, "batches", true)?, params.entity_type()?);
    let account = state.account(params.account()?).await?;
    Ok(Json(list(state.store.batches(account, entity, &walk).await?, "batches")))
}
