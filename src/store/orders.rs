//! Orders given at one node for an account of another (`orders`). They are rows, so that the account's owner finds them
//! wherever it is, or its successor if it dies before it has carried them out.

use super::schema::{account_tokens, accounts, orders};
use super::types::{At, Words};
use super::{Store, StoreError, with_conn};
use crate::model::{AccountId, EntityType, GivenOrder, Order, OrderOutcome, SyncKey};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::exists;
use diesel::{ExpressionMethods, JoinOnDsl, NullableExpressionMethods, OptionalExtension, QueryDsl};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An order that has waited for longer is no longer carried out: that would surprise people.
const LASTS_FOR: TimeDelta = TimeDelta::hours(1);

#[derive(Serialize, Deserialize)]
struct OutcomeJson {
    accepted: Vec<String>,
    skipped: Vec<(String, String)>,
}

impl Store {
    /// Notes an order for the node that keeps the account current. `None` if none can: it is not signed in.
    pub async fn give_order(
        &self,
        account: AccountId,
        order: Order,
        entities: Option<&[EntityType]>,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>, StoreError> {
        self.transaction(async |conn| {
            let is_signed_in: bool = with_conn!(conn, |c| {
                use account_tokens::{account_id, refused_at, table};
                let grant = table.filter(account_id.eq(account.0)).filter(refused_at.is_null());
                diesel::select(exists(grant)).get_result(c).await
            })?;
            if !is_signed_in {
                return Ok(None);
            }
            let words = entities.map(|all| all.iter().map(|entity| entity.as_str()).collect::<Vec<_>>().join(","));
            let id: i64 = with_conn!(conn, |c| {
                use orders::{account_id, entity_types, given_at, given_by, id, kind, table};
                let row = (
                    account_id.eq(account.0),
                    kind.eq(order.as_str()),
                    entity_types.eq(words),
                    given_at.eq(At::from(now)),
                    given_by.eq(by),
                );
                diesel::insert_into(table).values(row).returning(id).get_result(c).await
            })?;
            Ok(Some(id))
        })
        .await
    }

    /// Orders that nobody has carried out yet, for the accounts of a node, in the order in which they were given.
    pub async fn open_orders(&self, node: Uuid, now: DateTime<Utc>) -> Result<Vec<GivenOrder>, StoreError> {
        let rows: Vec<(i64, String, i64, Option<String>)> = with_conn!(&mut self.connect().await?, |c| {
            use orders::{account_id, ended_at, entity_types, given_at, id, kind, table};
            let of_accounts = table.inner_join(accounts::table.on(accounts::id.eq(account_id)));
            of_accounts
                .filter(accounts::owner.eq(node.to_string()))
                .filter(accounts::released_at.is_null())
                .filter(ended_at.is_null())
                .filter(given_at.gt(At::from(now - LASTS_FOR)))
                .order(id)
                .select((id, kind, account_id, entity_types))
                .load(c)
                .await
        })?;
        let given = |(id, kind, account, words): (i64, String, i64, Option<String>)| {
            let order = Order::of_word(&kind)?;
            // A word written by another version is ignored.
            let entities = words.map(|words| words.split(',').filter_map(|word| word.parse().ok()).collect());
            Some(GivenOrder { id, order, account: AccountId(account), entities })
        };
        Ok(rows.into_iter().filter_map(given).collect())
    }

    /// Notes the outcome of an order.
    pub async fn end_order(
        &self,
        order: i64,
        outcome: &OrderOutcome,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let word = |key: &SyncKey| key.entity.as_str().to_owned();
        let told = OutcomeJson {
            accepted: outcome.accepted.iter().map(word).collect(),
            skipped: outcome.skipped.iter().map(|(key, why)| (word(key), why.clone())).collect(),
        };
        let told = String::from(Words(&serde_json::to_string(&told).expect("texts")));
        with_conn!(&mut self.connect().await?, |c| {
            use orders::{ended_at, ended_by, outcome, table};
            let ended = (ended_at.eq(At::from(now)), ended_by.eq(by), outcome.eq(told));
            diesel::update(table.find(order)).set(ended).execute(c).await
        })?;
        Ok(())
    }

    /// The outcome of an order; `None` while it has not been carried out.
    pub async fn order_outcome(&self, order: i64) -> Result<Option<OrderOutcome>, StoreError> {
        let row: Option<(i64, Option<String>)> = with_conn!(&mut self.connect().await?, |c| {
            use orders::{account_id, outcome, table};
            table.find(order).select((account_id, outcome.nullable())).first(c).await.optional()
        })?;
        let Some((account, Some(told))) = row else { return Ok(None) };
        let Ok(OutcomeJson { accepted, skipped }) = serde_json::from_str(&told) else { return Ok(None) };
        let key = |word: &str| Some(SyncKey { account: AccountId(account), entity: word.parse().ok()? });
        Ok(Some(OrderOutcome {
            accepted: accepted.iter().filter_map(|word| key(word)).collect(),
            skipped: skipped.into_iter().filter_map(|(word, why)| Some((key(&word)?, why))).collect(),
        }))
    }
}
