//! Removals that are held back: `GET /api/v1/removals`.

use super::{Problem, WebState, params::Params, problem::ReadProblems};
use crate::model::{AccountId, EntityType, HeldRemoval};
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// Entries that one answer contains; the rest is only counted.
const SHOWN_MAX: usize = 200;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/removals").route(get().to(removals)));
}

/// Which removals.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Params` reads")]
pub struct WhichRemovals {
    /// The first account if left out.
    account: Option<AccountId>,
    /// Only one entity type; playlists include their items.
    #[param(inline)]
    entity_type: Option<EntityType>,
}

/// Items that a run did not find and did not mark removed, since one look does not prove that they are gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldRemovals {
    /// How many there are.
    pub total: usize,
    /// The first of them, at most 200, the longest held first.
    pub items: Vec<HeldItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct HeldItem {
    pub entity_type: EntityType,
    /// The playlist that the item is missing from; null for the entity type's own listing.
    pub playlist_id: Option<String>,
    /// The URI if it is an item of a playlist and has one.
    pub id: String,
    pub name: Option<String>,
    /// When it was first missed.
    pub since: DateTime<Utc>,
    /// Spotify's total still counts it, so that only a person can confirm its removal.
    pub is_counted: bool,
    pub is_confirmed: bool,
}

impl From<HeldRemoval> for HeldItem {
    fn from(held: HeldRemoval) -> HeldItem {
        let HeldRemoval { entity, playlist_id, item_id, name, since, is_counted, is_confirmed } = held;
        HeldItem { entity_type: entity, playlist_id, id: item_id, name, since, is_counted, is_confirmed }
    }
}

/// Removals that wait for a second look, or for a person, before they are marked.
#[utoipa::path(
    get, path = "/api/v1/removals", tag = "history",
    params(WhichRemovals),
    responses((status = 200, body = HeldRemovals), ReadProblems)
)]
pub async fn removals(state: Data<WebState>, request: HttpRequest) -> Result<Json<HeldRemovals>, Problem> {
    let params = Params::read(&request, &["account", "entity_type"])?;
    let entity = params.entity_type()?;
    let account = state.account(params.account()?).await?;
    let mut held = state.store.held_removals(account).await?;
    held.retain(|held| entity.is_none_or(|entity| held.entity == entity));
    let total = held.len();
    let items = held.into_iter().take(SHOWN_MAX).map(HeldItem::from).collect();
    Ok(Json(HeldRemovals { total, items }))
}
