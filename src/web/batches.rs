//! The log of the sync: `GET /api/v1/batches`.

use super::{
    Problem, WebState,
    paging::{List, PAGING, Paging, list, walk},
    params::Params,
    problem::ReadProblems,
};
use crate::{model::EntityType, store::browse::BatchEntry};
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/batches").route(get().to(batches)));
}

const LIST: &str = "batches";

/// The batches that were committed, newest first.
#[utoipa::path(
    get, path = "/api/v1/batches", tag = "history",
    params(Paging, ("entity_type" = inline(Option<EntityType>), Query, description = "of one entity type")),
    responses((status = 200, body = List<BatchEntry>), ReadProblems)
)]
pub async fn batches(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<BatchEntry>>, Problem> {
    let params = Params::read(&request, &[PAGING[0], PAGING[1], PAGING[2], "entity_type"])?;
    let (walk, entity) = (walk(&params, LIST, true)?, params.entity_type()?);
    let account = state.account(params.account()?).await?;
    Ok(Json(list(state.store.batches(account, entity, &walk).await?, LIST)))
}
