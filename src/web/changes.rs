//! What came and went: `GET /api/v1/changes`.

use super::{
    Problem, WebState,
    paging::{List, PAGING, Paging, list, walk},
    params::Params,
    problem::ReadProblems,
};
use crate::{
    model::EntityType,
    store::{
        ChangeKind,
        browse::{ChangeEntry, ChangeFilter},
    },
};
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};
use chrono::{DateTime, Utc};
use utoipa::IntoParams;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/changes").route(get().to(changes)));
}

const LIST: &str = "changes";

/// Which changes.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Params` reads")]
pub struct Which {
    /// A part of a name, in letters of either case.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Only one entity type; playlists come with what came and went inside them.
    #[param(inline)]
    entity_type: Option<EntityType>,
    /// `added`, `added_again` or `removed`.
    #[param(pattern = "^(added|added_again|removed)$")]
    kind: Option<String>,
    /// Nothing older than this.
    since: Option<DateTime<Utc>>,
}

/// What came and went, newest first.
#[utoipa::path(
    get, path = "/api/v1/changes", tag = "history",
    params(Paging, Which),
    responses((status = 200, body = List<ChangeEntry>), ReadProblems)
)]
pub async fn changes(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<ChangeEntry>>, Problem> {
    let known = [PAGING[0], PAGING[1], PAGING[2], "q", "entity_type", "kind", "since"];
    let params = Params::read(&request, &known)?;
    let walk = walk(&params, LIST, true)?;
    let kinds = ChangeKind::ALL.map(|kind| (kind.as_str(), kind));
    let kind = params.get("kind").map(|_| params.choice("kind", &kinds)).transpose()?;
    let (entity, since, search) = (params.entity_type()?, params.moment("since")?, params.search()?);
    let account = state.account(params.account()?).await?;
    let known = state.store.accounts().await?;
    let known = known.into_iter().find(|known| known.id == account);
    let spotify_id = known.map(|known| known.spotify_id).unwrap_or_default();
    let filter = ChangeFilter { account, entity, kind, since, search };
    Ok(Json(list(state.store.changes_page(&filter, &spotify_id, &walk).await?, LIST)))
}
