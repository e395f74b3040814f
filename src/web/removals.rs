//! What was held back from being marked removed: `GET /api/v1/removals`.

use super::{Problem, WebState, openapi::ReadProblems, params::Params};
use crate::{model::AccountId, store::HeldRemoval};
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// Entries that one answer names; the rest is only counted.
const SHOWN_MAX: usize = 200;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/removals").route(get().to(removals)));
}

/// Which removals.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Params` reads")]
pub struct WhichRemovals {
    /// The first account where it is left out.
    account: Option<AccountId>,
    /// `tracks`, `artists`, `albums` or `playlists`, the last with the items of playlists.
    #[param(pattern = "^(tracks|artists|albums|playlists)$")]
    entity_type: Option<String>,
}

/// Items that a run did not find and did not mark removed, since one look does not prove that they are gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldRemovals {
    /// How many there are.
    pub total: usize,
    /// The first of them, at most 200.
    pub items: Vec<HeldRemoval>,
}

/// What waits for a second look, or for a person, before it is marked removed.
#[utoipa::path(
    get, path = "/api/v1/removals", tag = "history",
    params(WhichRemovals),
    responses((status = 200, body = HeldRemovals), ReadProblems)
)]
pub async fn removals(state: Data<WebState>, request: HttpRequest) -> Result<Json<HeldRemovals>, Problem> {
    let params = Params::read(&request, &["account", "entity_type"])?;
    let entity = params.entity_type()?;
    let account = state.account(params.account()?).await?;
    let mut items = state.store.held_removals(account).await?;
    items.retain(|held| entity.is_none_or(|entity| held.entity_type == entity));
    let total = items.len();
    items.truncate(SHOWN_MAX);
    Ok(Json(HeldRemovals { total, items }))
}
