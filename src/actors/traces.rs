//! The spans that a trace is made of: a run, its batches, their requests and commits; a poll of the listening history.
//!
//! They have a target of their own, so that the log does not repeat them in every line, and contain ids only: no URL,
//! no name, nothing of a body. Without tracing (`telemetry`), they cost a comparison each.
//!
//! A request belongs to the batch that is committed next, so pages fetched ahead of a commit may appear under the batch
//! before theirs.

use crate::{
    engine::{run::RunEnd, syncing::SyncError},
    model::{AccountId, Commit, CommitReport, Family, Phase, RequestStatus, SyncKey},
};
use tracing::{Instrument, Span, field::Empty, trace_span};
use uuid::Uuid;

/// The trace of one run.
pub struct RunTrace {
    run: Span,
    /// What is being fetched.
    batch: Option<Span>,
}

/// A batch on its way into the database.
pub struct BatchTrace(Span);

impl RunTrace {
    pub fn begin(key: SyncKey, run_id: Uuid, phase: Phase) -> RunTrace {
        let SyncKey { account: AccountId(account), entity } = key;
        let run = trace_span!(
            target: "segno::trace", parent: None, "run",
            account, entity_type = entity.as_str(), %run_id, phase = phase.as_str(),
            ended = Empty, otel.status_code = Empty,
        );
        RunTrace { run, batch: None }
    }

    /// The span of a page to be fetched.
    pub fn fetching(&mut self) -> Span {
        self.batch.get_or_insert_with(|| batch(&self.run)).clone()
    }

    pub fn committing(&mut self, commit: &Commit) -> BatchTrace {
        let batch = self.batch.take().unwrap_or_else(|| batch(&self.run));
        // OpenTelemetry has no other integers.
        batch.record("offset_from", i64::from(commit.offset_from));
        batch.record("offset_to", i64::from(commit.offset_to));
        batch.record("requests", i64::from(commit.num_requests));
        BatchTrace(batch)
    }

    pub fn end(&self, end: &RunEnd) {
        let ended = match end {
            RunEnd::Complete { .. } => "complete",
            RunEnd::Unsteady { .. } => "unsteady",
            RunEnd::Paused(_) => "paused",
            RunEnd::Stopped => "stopped",
            RunEnd::Failed(_) => "failed",
        };
        self.run.record("ended", ended);
        if matches!(end, RunEnd::Failed(_)) {
            self.run.record("otel.status_code", "ERROR");
        }
    }
}

impl BatchTrace {
    /// Ends the batch with its commit.
    pub async fn commit(
        self,
        write: impl Future<Output = Result<CommitReport, SyncError>>,
    ) -> Result<CommitReport, SyncError> {
        let BatchTrace(batch) = self;
        let report = write.instrument(trace_span!(target: "segno::trace", parent: &batch, "commit")).await;
        match &report {
            Ok(CommitReport { counts, .. }) => {
                batch.record("processed", i64::from(counts.processed));
                batch.record("new", i64::from(counts.new));
                batch.record("updated", i64::from(counts.updated));
                batch.record("removed", i64::from(counts.removed));
            }
            Err(_) => _ = batch.record("otel.status_code", "ERROR"),
        }
        report
    }
}

fn batch(run: &Span) -> Span {
    trace_span!(
        target: "segno::trace", parent: run, "batch",
        offset_from = Empty, offset_to = Empty, requests = Empty, processed = Empty, new = Empty, updated = Empty,
        removed = Empty, otel.status_code = Empty,
    )
}

/// One request to the Web API, within the span that sends it.
pub fn request(family: Family) -> Span {
    trace_span!(
        target: "segno::trace", "request",
        otel.kind = "client", family = family.as_str(), status = Empty, otel.status_code = Empty,
    )
}

pub fn end_request(request: &Span, status: RequestStatus) {
    request.record("status", status.as_str());
    if status != RequestStatus::Served {
        request.record("otel.status_code", "ERROR");
    }
}

/// A look at the listening history.
pub fn poll(AccountId(account): AccountId) -> Span {
    trace_span!(target: "segno::trace", parent: None, "poll", account)
}
