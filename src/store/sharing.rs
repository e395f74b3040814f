//! One limit for all processes on the database (`gate_processes`, `rate_limits`): each reads it and notes what it may
//! send in one transaction, one process at a time.

use super::ledger::{add_entries, drop_entries_after, entries_of_day, learned, lift_rate_pause, save_learned};
use super::limits::{note_pause, noted_pauses};
use super::schema::{gate_processes, rate_limits};
use super::types::{At, Instant};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{GateProcess, Owner, PauseScope, ProbeClaim, Sent, SharedChange, SharedLimits, UnknownWord};
use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::upsert::excluded;
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, sql_query};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

impl Store {
    /// Reads what all processes have noted and writes what `rule` decides, if anything. No other process writes in
    /// between. The ledger is long, so it is read only on request.
    pub async fn share_limits<T>(
        &self,
        reads_ledger: bool,
        now: DateTime<Utc>,
        rule: impl FnOnce(&SharedLimits) -> Option<(SharedChange, T)>,
    ) -> Result<Option<T>, StoreError> {
        self.transaction(async |conn| {
            lock(conn, now).await?;
            let found = SharedLimits {
                pauses: noted_pauses(conn).await?,
                learned: learned(conn).await?,
                probe: probe(conn).await?,
                processes: processes(conn).await?,
                ledger: if reads_ledger { Some(entries_of_day(conn, now).await?) } else { None },
            };
            let Some((change, ruled)) = rule(&found) else { return Ok(None) };
            write(conn, &found, &change, now).await?;
            Ok(Some(ruled))
        })
        .await
    }

    /// The server's calendar, if there is a server.
    pub async fn wall(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let Conn::Pg(c) = &mut self.connect().await? else { return Ok(None) };
        let told: At = diesel::select(sql::<Instant>("clock_timestamp()")).get_result(&mut **c).await?;
        Ok(Some(told.into()))
    }

    /// Forgets what was sent, and whose turn is next: another server knows nothing of it.
    pub async fn forget_sent(&self) -> Result<(), StoreError> {
        with_conn!(&mut self.connect().await?, |c| diesel::delete(gate_processes::table).execute(c).await)?;
        Ok(())
    }
}

/// Admits one process at a time. SQLite has done so at the beginning of the transaction.
pub(super) async fn lock(conn: &mut Conn, now: DateTime<Utc>) -> Result<(), StoreError> {
    let Conn::Pg(c) = conn else { return Ok(()) };
    let lock = "SELECT FROM rate_limits WHERE family = '*' FOR UPDATE";
    while sql_query(lock).execute(&mut **c).await? == 0 {
        use rate_limits::{family, table, updated_at};
        let row = (family.eq(PauseScope::Application.as_str()), updated_at.eq(At::from(now)));
        diesel::insert_into(table).values(row).on_conflict_do_nothing().execute(&mut **c).await?;
    }
    Ok(())
}

async fn write(
    conn: &mut Conn,
    found: &SharedLimits,
    change: &SharedChange,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for pause in &change.pauses {
        note_pause(conn, *pause, now).await?;
    }
    if let Some(until) = change.lifts {
        lift_rate_pause(conn, until).await?;
    }
    if change.probe != found.probe {
        note_probe(conn, change.probe, now).await?;
    }
    if let Some(learned) = change.learned {
        save_learned(conn, learned, now).await?;
    }
    if let Some(after) = change.drops_ledger_after {
        drop_entries_after(conn, after).await?;
    }
    add_entries(conn, &change.ledger, now).await?;
    if !change.forgotten.is_empty() {
        let gone: Vec<String> = change.forgotten.iter().map(Uuid::to_string).collect();
        with_conn!(conn, |c| {
            diesel::delete(gate_processes::table.filter(gate_processes::owner.eq_any(gone))).execute(c).await
        })?;
    }
    note_process(conn, &change.process).await
}

async fn note_process(conn: &mut Conn, process: &GateProcess) -> Result<(), StoreError> {
    let answered: Vec<(u32, i64)> =
        process.answered.iter().map(|sent| (sent.requests, sent.until.timestamp_micros())).collect();
    let answered = serde_json::to_string(&answered).unwrap_or_default();
    with_conn!(conn, |c| {
        use gate_processes as gate;
        let row = (
            gate::owner.eq(process.owner.id.to_string()),
            gate::owner_label.eq(&process.owner.label),
            gate::owner_place.eq(&process.owner.place),
            gate::owner_pid.eq(i64::from(process.owner.pid)),
            gate::seen_at.eq(At::from(process.seen_at)),
            gate::waiting_since.eq(process.waiting_since.map(At::from)),
            gate::held.eq(i64::from(process.held.requests)),
            gate::held_until.eq(At::from(process.held.until)),
            gate::has_block.eq(process.has_block),
            gate::answered.eq(answered),
        );
        let latest = (
            gate::seen_at.eq(excluded(gate::seen_at)),
            gate::waiting_since.eq(excluded(gate::waiting_since)),
            gate::held.eq(excluded(gate::held)),
            gate::held_until.eq(excluded(gate::held_until)),
            gate::has_block.eq(excluded(gate::has_block)),
            gate::answered.eq(excluded(gate::answered)),
        );
        let insert = diesel::insert_into(gate::table).values(row);
        insert.on_conflict(gate::owner).do_update().set(latest).execute(c).await
    })?;
    Ok(())
}

async fn processes(conn: &mut Conn) -> Result<Vec<GateProcess>, StoreError> {
    type Row = (String, String, String, i64, At, Option<At>, i64, At, bool, String);
    let rows: Vec<Row> = with_conn!(conn, |c| gate_processes::table.order(gate_processes::owner).load(c).await)?;
    rows.into_iter()
        .map(|(id, label, place, pid, seen_at, waiting_since, held, held_until, has_block, answered)| {
            let odd = |column: &'static str, word: &str| StoreError::Corrupt {
                column,
                source: UnknownWord { what: "note of a gate", word: word.to_owned(), expected: "its own".to_owned() },
            };
            let id = id.parse().map_err(|_| odd("gate_processes.owner", &id))?;
            let pairs: Vec<(u32, i64)> =
                serde_json::from_str(&answered).map_err(|_| odd("gate_processes.answered", &answered))?;
            let sent =
                |(requests, until): (u32, i64)| Some(Sent { requests, until: DateTime::from_timestamp_micros(until)? });
            let pid = u32::try_from(pid).unwrap_or_default();
            let requests = u32::try_from(held.max(0)).unwrap_or(u32::MAX);
            Ok(GateProcess {
                owner: Owner { id, label, place, pid },
                seen_at: seen_at.into(),
                waiting_since: waiting_since.map(DateTime::from),
                held: Sent { requests, until: held_until.into() },
                has_block,
                answered: pairs.into_iter().filter_map(sent).collect(),
            })
        })
        .collect()
}

async fn probe(conn: &mut Conn) -> Result<Option<ProbeClaim>, StoreError> {
    let found: Option<(Option<String>, Option<At>)> = with_conn!(conn, |c| {
        use rate_limits::{family, probe_by, probe_until, table};
        let row = table.filter(family.eq(PauseScope::Application.as_str()));
        row.filter(probe_by.is_not_null().and(probe_until.is_not_null()))
            .select((probe_by, probe_until))
            .get_result(c)
            .await
            .optional()
    })?;
    let Some((Some(by), Some(until))) = found else { return Ok(None) };
    Ok(by.parse().ok().map(|by| ProbeClaim { by, until: until.into() }))
}

async fn note_probe(conn: &mut Conn, probe: Option<ProbeClaim>, now: DateTime<Utc>) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use rate_limits::{family, probe_by, probe_until, table, updated_at};
        let noted = (
            probe_by.eq(probe.map(|probe| probe.by.to_string())),
            probe_until.eq(probe.map(|probe| At::from(probe.until))),
        );
        let row = (family.eq(PauseScope::Application.as_str()), updated_at.eq(At::from(now)), noted.clone());
        diesel::insert_into(table).values(row).on_conflict(family).do_update().set(noted).execute(c).await
    })?;
    Ok(())
}
