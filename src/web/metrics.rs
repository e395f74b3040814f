//! `GET /metrics`: the counters, and the status as numbers, for Prometheus.
//!
//! The status is the one that the page shows: it is read at most twice a second, however many clients ask.

use super::{
    WebState,
    document::{AccountDocument, EntityDocument, StatusDocument},
    problem::ReadProblems,
};
use crate::{
    clock,
    metrics::{
        AccountReading, CONTENT_TYPE, EntityReading, LedgerReading, Readings, Seen, StreamReading, WebhookReading,
    },
    model::{
        AccountId, SignInState,
        status::{EntityStatus, State, StreamStatus, WebhookStatus},
    },
};
use actix_web::{
    HttpResponse,
    web::{Data, ServiceConfig, get, resource},
};
use chrono::{DateTime, Utc};
use std::time::Duration;

pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(resource("/metrics").route(get().to(metrics)));
}

/// Counters and gauges, for Prometheus; `docs/metrics.md` lists every name.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses(
        (status = 200, description = "the text format of OpenMetrics", body = String, content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ReadProblems,
    )
)]
pub async fn metrics(state: Data<WebState>) -> HttpResponse {
    let (about, document) = (state.status_cache.about(), state.status_cache.document().await);
    let readings = Readings {
        version: env!("CARGO_PKG_VERSION"),
        database: about.database,
        started_at: about.started_at,
        seen: document.map(seen),
    };
    HttpResponse::Ok().content_type(CONTENT_TYPE).body(state.metrics.encode(&readings, clock::steady()))
}

fn seen(document: StatusDocument) -> Seen {
    let StatusDocument { now, accounts, gate, ledger, webhooks, stream, .. } = document;
    Seen {
        window: (gate.used, gate.limit),
        waiting: gate.waiting.iter().map(|line| (line.priority, line.requests)).collect(),
        accounts: accounts.into_iter().filter_map(|account| account_reading(account, now)).collect(),
        ledger: ledger
            .into_iter()
            .map(|line| LedgerReading {
                family: line.family,
                requests: line.requests,
                refusals: line.refusals,
                ceiling: line.ceiling,
            })
            .collect(),
        webhooks: webhooks.into_iter().map(webhook_reading).collect(),
        stream: stream.map(|StreamStatus { waiting, failing_since, .. }| StreamReading { waiting, failing_since }),
    }
}

fn webhook_reading(webhook: WebhookStatus) -> WebhookReading {
    let WebhookStatus { host, failing_since, next_try_at, waiting, .. } = webhook;
    WebhookReading { host, failing_since, next_try_at, waiting }
}

/// An account that is signed out is not expected to sync, so it has no metrics.
fn account_reading(account: AccountDocument, now: DateTime<Utc>) -> Option<AccountReading> {
    let sign_in_left = match account.sign_in {
        SignInState::Valid { until } | SignInState::EndsSoon { until } => (until - now).to_std().unwrap_or_default(),
        SignInState::Ended { .. } | SignInState::Refused { .. } => Duration::ZERO,
        SignInState::SignedOut => return None,
    };
    Some(AccountReading {
        account: AccountId(account.account_id),
        sign_in_left,
        token_rest_left: account
            .token_trouble
            .map_or(Duration::ZERO, |trouble| (trouble.retry_at - now).to_std().unwrap_or_default()),
        next_poll_at: account.playback.next_poll_at,
        plays: account.playback.plays,
        last_polled_at: account.playback.last_polled_at,
        open_play_gaps: account.playback.open_gaps,
        entities: account.entities.into_iter().map(entity_reading).collect(),
    })
}

fn entity_reading(EntityDocument { status, .. }: EntityDocument) -> EntityReading {
    let EntityStatus { entity_type, state, offset, total, completed_at, is_paused_by_hand, .. } = status;
    EntityReading {
        entity: entity_type,
        last_success_at: completed_at,
        is_failed: state == State::Failed,
        is_paused_by_hand,
        offset,
        total,
    }
}
