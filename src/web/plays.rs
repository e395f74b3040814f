//! The listening history: `GET /api/v1/plays`.

use super::{
    Problem, WebState,
    paging::{List, PAGING, Paging, list, walk},
    params::Params,
    problem::ReadProblems,
};
use crate::store::browse::PlayEntry;
use actix_web::{
    HttpRequest,
    web::{Data, Json, ServiceConfig, get, resource},
};

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/api/v1/plays").route(get().to(plays)));
}

const LIST: &str = "plays";

/// What was played, newest first.
#[utoipa::path(
    get, path = "/api/v1/plays", tag = "history",
    params(Paging, ("q" = Option<String>, Query, description = "a part of a name, in letters of either case", max_length = 200)),
    responses((status = 200, body = List<PlayEntry>), ReadProblems)
)]
pub async fn plays(state: Data<WebState>, request: HttpRequest) -> Result<Json<List<PlayEntry>>, Problem> {
    let params = Params::read(&request, &[PAGING[0], PAGING[1], PAGING[2], "q"])?;
    let (walk, search) = (walk(&params, LIST, true)?, params.search()?);
    let account = state.account(params.account()?).await?;
    Ok(Json(list(state.store.plays(account, search.as_ref(), &walk).await?, LIST)))
}
