//! Services that share the accounts of a database (`nodes`): their heartbeats, and how accounts move between them.
//!
//! On PostgreSQL all moments here are by its own clock, since those of machines differ. A claim locks what it takes and
//! skips what others have locked, so that nodes never wait for each other; it takes the runs along with the account, so
//! that nothing that the last owner had begun can be committed any more.

use super::claims::{ClaimRow, IsGone, claim_of, make_owner, moment};
use super::schema::{accounts, nodes, sync_states};
use super::types::{At, to_u32};
use super::{Conn, Store, StoreError, with_conn};
use crate::model::status::NodeStatus;
use crate::model::{AccountId, Heartbeat, Node, NodeLoad};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::upsert::excluded;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What a node finds with its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    pub found: Heartbeat,
    /// When the people whose accounts it holds last signed in.
    pub signed_in_at: BTreeMap<AccountId, DateTime<Utc>>,
}

/// How long a silent node is shown.
const SHOWN_FOR: TimeDelta = TimeDelta::minutes(10);

#[derive(QueryableByName)]
struct LoadRow {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = super::types::Instant)]
    started_at: At,
    #[diesel(sql_type = BigInt)]
    num_held: i64,
}

#[derive(QueryableByName)]
struct HeldRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    epoch: i64,
    #[diesel(sql_type = super::types::Instant)]
    authorized_at: At,
    #[diesel(sql_type = Bool)]
    is_fit: bool,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Store {
    /// Whether several services may share its accounts.
    pub fn is_shared(&self) -> bool {
        match self {
            Store::Sqlite(_) => false,
            Store::Pg(_) => true,
        }
    }

    /// Writes a node's heartbeat, and finds out what there is to do. On SQLite a node has to [join](Store::join_alone)
    /// first; one that was replaced gets an error.
    pub async fn beat(&self, node: &Node, now: DateTime<Utc>) -> Result<Beat, StoreError> {
        let conn = &mut self.connect().await?;
        match conn {
            Conn::Pg(_) => _ = note(conn, node, now).await?,
            Conn::Sqlite(_) => {
                if prolong(conn, node, Prolonged::Always, now).await? == 0 {
                    let by: Option<String> =
                        with_conn!(conn, |c| nodes::table.select(nodes::label).first(c).await.optional())?;
                    return Err(StoreError::Fenced { by: by.unwrap_or_else(|| "another process".to_owned()) });
                }
            }
        }
        let (us, present) = (node.owner.id, moment(conn, now, TimeDelta::zero()));
        let loads = format!(
            "SELECT n.id, n.started_at, (SELECT count(*) FROM accounts a WHERE a.owner = n.id AND a.released_at IS NULL) \
             AS num_held FROM nodes n WHERE n.client_id = $1 AND n.holds_until > {present}"
        );
        let loads: Vec<LoadRow> =
            with_conn!(conn, |c| sql_query(loads).bind::<Text, _>(&node.client_id).load(c).await)?;
        let held = format!(
            "SELECT a.id, a.epoch, a.authorized_at, t.account_id IS NOT NULL AS is_fit FROM accounts a LEFT JOIN account_tokens t \
             ON t.account_id = a.id AND t.client_id = $1 AND t.refused_at IS NULL \
             WHERE a.owner = '{us}' AND a.released_at IS NULL"
        );
        let held: Vec<HeldRow> = with_conn!(conn, |c| sql_query(held).bind::<Text, _>(&node.client_id).load(c).await)?;
        let num_accounts: i64 = with_conn!(conn, |c| {
            use super::schema::account_tokens::{client_id, refused_at, table};
            table.filter(client_id.eq(&node.client_id)).filter(refused_at.is_null()).count().get_result(c).await
        })?;
        let load = |row: LoadRow| {
            Some(NodeLoad {
                id: row.id.parse().ok()?,
                started_at: row.started_at.into(),
                num_held: to_u32(row.num_held),
            })
        };
        let signed_in_at = held.iter().map(|row| (AccountId(row.id), row.authorized_at.into())).collect();
        let (fit, unfit): (Vec<HeldRow>, Vec<HeldRow>) = held.into_iter().partition(|row| row.is_fit);
        let found = Heartbeat {
            nodes: loads.into_iter().filter_map(load).collect(),
            held: fit.into_iter().map(|row| (AccountId(row.id), row.epoch)).collect(),
            unfit: unfit.into_iter().map(|row| AccountId(row.id)).collect(),
            num_accounts: to_u32(num_accounts),
        };
        Ok(Beat { found, signed_in_at })
    }

    /// Says that a node still lives, and tells which ones of its application do. `None` where its hold is over or another
    /// has followed it: then it takes a [heartbeat](Store::beat) to know what it holds.
    pub async fn prolong(&self, node: &Node, now: DateTime<Utc>) -> Result<Option<BTreeSet<Uuid>>, StoreError> {
        let conn = &mut self.connect().await?;
        if prolong(conn, node, Prolonged::IfItHolds, now).await? == 0 {
            return Ok(None);
        }
        let present = moment(conn, now, TimeDelta::zero());
        let living: Vec<String> = with_conn!(conn, |c| {
            use nodes::{client_id, holds_until, id, table};
            let living = table.filter(client_id.eq(&node.client_id)).filter(holds_until.gt(sql(&present)));
            living.select(id).load(c).await
        })?;
        Ok(Some(living.iter().filter_map(|id| id.parse().ok()).collect()))
    }

    /// Makes a node the only one. Refused while another lives, unless it is `dead`.
    pub async fn join_alone(&self, node: &Node, dead: Option<Uuid>, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.transaction(async |conn| {
            let present = moment(conn, now, TimeDelta::zero());
            let others: Vec<ClaimRow> = with_conn!(conn, |c| {
                use nodes::{holds_until, id, label, pid, place, table};
                let others = table.filter(id.ne(node.owner.id.to_string())).filter(holds_until.gt(sql(&present)));
                others.select((id, label, place, pid, holds_until)).load(c).await
            })?;
            let mut living = others.into_iter().filter_map(claim_of).filter(|held| Some(held.owner.id) != dead);
            if let Some(held) = living.next() {
                return Err(StoreError::Held(Box::new(held)));
            }
            with_conn!(conn, |c| {
                diesel::delete(nodes::table.filter(nodes::id.ne(node.owner.id.to_string()))).execute(c).await
            })?;
            note(conn, node, now).await?;
            Ok(())
        })
        .await
    }

    /// Claims at most this many accounts that nobody holds, first those whose node has died. Returns each with its
    /// epoch.
    pub async fn claim_free(
        &self,
        node: &Node,
        most: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<(AccountId, i64)>, StoreError> {
        self.transaction(async |conn| {
            let present = moment(conn, now, TimeDelta::zero());
            // SQLite has one writer at a time.
            let lock = match conn {
                Conn::Sqlite(_) => "",
                Conn::Pg(_) => "FOR NO KEY UPDATE OF a SKIP LOCKED",
            };
            let free = format!(
                "SELECT a.id FROM accounts a JOIN account_tokens t \
                 ON t.account_id = a.id AND t.client_id = $1 AND t.refused_at IS NULL \
                 WHERE a.owner IS NULL OR a.released_at IS NOT NULL OR NOT EXISTS \
                 (SELECT 1 FROM nodes n WHERE n.id = a.owner AND n.holds_until > {present}) \
                 ORDER BY CASE WHEN a.owner IS NULL OR a.released_at IS NOT NULL THEN 1 ELSE 0 END, a.id \
                 LIMIT {most} {lock}"
            );
            let free: Vec<IdRow> =
                with_conn!(conn, |c| sql_query(free).bind::<Text, _>(&node.client_id).load(c).await)?;
            let mut free: Vec<i64> = free.into_iter().map(|row| row.id).collect();
            if let Conn::Pg(_) = conn {
                leave_out_what_is_written(conn, &mut free).await?;
            }
            if free.is_empty() {
                return Ok(Vec::new());
            }
            make_owner(conn, &free, &node.owner).await
        })
        .await
    }

    /// A node is gone, and all its accounts are free.
    pub async fn leave(&self, node: Uuid, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.transaction(async |conn| {
            let present = moment(conn, now, TimeDelta::zero());
            with_conn!(conn, |c| {
                use accounts::{owner, released_at, table};
                let ours = table.filter(owner.eq(node.to_string())).filter(released_at.is_null());
                diesel::update(ours).set(released_at.eq(sql(&present))).execute(c).await
            })?;
            with_conn!(conn, |c| {
                diesel::delete(nodes::table.filter(nodes::id.eq(node.to_string()))).execute(c).await
            })?;
            Ok(())
        })
        .await
    }
}

/// The services that are alive, or were until recently, oldest first.
pub(super) async fn list(
    conn: &mut Conn,
    is_gone: IsGone<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<NodeStatus>, StoreError> {
    type Row = (ClaimRow, String, At, At, bool, i64);
    let (present, shown) = (moment(conn, now, TimeDelta::zero()), moment(conn, now, -SHOWN_FOR));
    let rows: Vec<Row> = with_conn!(conn, |c| {
        use nodes::{holds_until, id, label, pid, place, seen_at, started_at, table, version};
        let num_held = "(SELECT count(*) FROM accounts a WHERE a.owner = nodes.id AND a.released_at IS NULL)";
        table
            .filter(seen_at.gt(sql(&shown)))
            .order((started_at, id))
            .select((
                (id, label, place, pid, holds_until),
                version,
                started_at,
                seen_at,
                holds_until.gt(sql(&present)),
                sql::<BigInt>(num_held),
            ))
            .load(c)
            .await
    })?;
    let node = |(claim, version, started_at, seen_at, lives, num_held): Row| NodeStatus {
        id: claim.0.clone(),
        label: claim.1.clone(),
        version,
        started_at: started_at.into(),
        seen_at: seen_at.into(),
        lives: lives && !claim_of(claim).is_some_and(|claim| is_gone(&claim.owner)),
        num_accounts: to_u32(num_held),
    };
    Ok(rows.into_iter().map(node).collect())
}

/// A transaction that is writing for an account may belong to a process that hangs: it is not waited for.
async fn leave_out_what_is_written(conn: &mut Conn, accounts: &mut Vec<i64>) -> Result<(), StoreError> {
    let ids = accounts.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    if ids.is_empty() {
        return Ok(());
    }
    let lock =
        format!("SELECT account_id AS id FROM sync_states WHERE account_id IN ({ids}) FOR NO KEY UPDATE SKIP LOCKED");
    let locked: Vec<IdRow> = with_conn!(conn, |c| sql_query(lock).load(c).await)?;
    let mut num_locked: BTreeMap<i64, i64> = BTreeMap::new();
    locked.iter().for_each(|row| *num_locked.entry(row.id).or_default() += 1);
    let of_all: Vec<(i64, i64)> = with_conn!(conn, |c| {
        use sync_states::{account_id, table};
        let rows = table.filter(account_id.eq_any(&*accounts)).group_by(account_id);
        rows.select((account_id, diesel::dsl::count_star())).load(c).await
    })?;
    let of_all: BTreeMap<i64, i64> = of_all.into_iter().collect();
    accounts.retain(|id| num_locked.get(id) == of_all.get(id));
    Ok(())
}

/// This moment, and until when a node that is alive now holds its accounts.
fn hold(conn: &Conn, node: &Node, now: DateTime<Utc>) -> (String, String) {
    let holds_for = TimeDelta::from_std(node.holds_for).unwrap_or_default();
    (moment(conn, now, TimeDelta::zero()), moment(conn, now, holds_for))
}

async fn note(conn: &mut Conn, node: &Node, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let (present, until) = hold(conn, node, now);
    Ok(with_conn!(conn, |c| {
        use nodes::{client_id, holds_until, id, label, pid, place, seen_at, started_at, table, version};
        let row = (
            (id.eq(node.owner.id.to_string()), label.eq(&node.owner.label), place.eq(&node.owner.place)),
            (pid.eq(i64::from(node.owner.pid)), version.eq(node.version), client_id.eq(&node.client_id)),
            (started_at.eq(sql(&present)), seen_at.eq(sql(&present)), holds_until.eq(sql(&until))),
        );
        let latest = (seen_at.eq(excluded(seen_at)), holds_until.eq(excluded(holds_until)));
        diesel::insert_into(table).values(row).on_conflict(id).do_update().set(latest).execute(c).await
    })?)
}

/// Which hold is prolonged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prolonged {
    Always,
    /// One that is over is left to whoever takes the accounts.
    IfItHolds,
}

async fn prolong(conn: &mut Conn, node: &Node, which: Prolonged, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let (present, until) = hold(conn, node, now);
    Ok(with_conn!(conn, |c| {
        use nodes::{holds_until, id, seen_at, table};
        let latest = (seen_at.eq(sql(&present)), holds_until.eq(sql(&until)));
        let ours = table.filter(id.eq(node.owner.id.to_string()));
        match which {
            Prolonged::Always => diesel::update(ours).set(latest).execute(c).await,
            Prolonged::IfItHolds => {
                diesel::update(ours.filter(holds_until.gt(sql(&present)))).set(latest).execute(c).await
            }
        }
    })?)
}
