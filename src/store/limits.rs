//! What must outlast a restart and is shared: pauses of endpoint families (`rate_limits`), and past ones (`cooldowns`).

use super::schema::{cooldowns, rate_limits};
use super::types::At;
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{LimitClass, NotedPause, Pause, PauseScope, UnknownWord};
use chrono::{DateTime, Utc};
use diesel::query_dsl::methods::FilterDsl;
use diesel::upsert::excluded;
use diesel::{BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;

impl Store {
    /// The pauses in force, in the order of their families.
    pub async fn load_pauses(&self, now: DateTime<Utc>) -> Result<Vec<Pause>, StoreError> {
        pauses(&mut self.connect().await?, At::from(now)).await
    }

    /// Adds a pause by our own ceiling to the past cooldowns.
    pub async fn note_ceiling(&self, pause: Pause, now: DateTime<Utc>) -> Result<(), StoreError> {
        append_cooldown(&mut self.connect().await?, pause, now).await
    }

    pub async fn clear_pause(&self, scope: PauseScope) -> Result<(), StoreError> {
        with_conn!(&mut self.connect().await?, |c| {
            use rate_limits::{blocked_until, class, family};
            let row = QueryDsl::filter(rate_limits::table, family.eq(scope.as_str()));
            diesel::update(row).set((blocked_until.eq(None::<At>), class.eq(None::<String>))).execute(c).await
        })?;
        Ok(())
    }
}

/// Stores a pause. One that ends earlier than the stored one shortens nothing, unless that was noted by a calendar that
/// has been set back since.
pub(super) async fn note_pause(conn: &mut Conn, pause: Pause, now: DateTime<Utc>) -> Result<(), StoreError> {
    let num_noted = with_conn!(&mut *conn, |c| {
        use rate_limits::{blocked_until, class, family, updated_at};
        let row = (
            family.eq(pause.scope.as_str()),
            blocked_until.eq(At::from(pause.until)),
            class.eq(pause.class.as_str()),
            updated_at.eq(At::from(now)),
        );
        let latest =
            (blocked_until.eq(excluded(blocked_until)), class.eq(excluded(class)), updated_at.eq(excluded(updated_at)));
        let upsert = diesel::insert_into(rate_limits::table).values(row).on_conflict(family).do_update().set(latest);
        let ends_later = blocked_until.is_null().or(blocked_until.lt(excluded(blocked_until)));
        let ends_later = ends_later.or(updated_at.gt(excluded(updated_at)));
        FilterDsl::filter(upsert, ends_later).execute(c).await
    })?;
    if num_noted > 0 {
        append_cooldown(conn, pause, now).await?;
    }
    Ok(())
}

async fn append_cooldown(conn: &mut Conn, pause: Pause, now: DateTime<Utc>) -> Result<(), StoreError> {
    with_conn!(conn, |c| {
        use cooldowns::{began_at, class, ends_at, family, table};
        let of = (family.eq(pause.scope.as_str()), class.eq(pause.class.as_str()));
        let lasts = (began_at.eq(At::from(now)), ends_at.eq(At::from(pause.until)));
        diesel::insert_into(table).values((of, lasts)).execute(c).await
    })?;
    Ok(())
}

/// Every pause of the API that has not been lifted, over or not.
pub(super) async fn noted_pauses(conn: &mut Conn) -> Result<Vec<NotedPause>, StoreError> {
    let rows: Vec<(String, Option<String>, At, At)> = with_conn!(conn, |c| {
        use rate_limits::{blocked_until, class, family, updated_at};
        let noted = QueryDsl::filter(rate_limits::table, blocked_until.is_not_null()).order(family);
        noted.select((family, class, blocked_until.assume_not_null(), updated_at)).load(c).await
    })?;
    let noted = |(family, class, until, noted_at): (String, Option<String>, At, At)| {
        Ok(NotedPause { pause: pause(family, class, until)?, noted_at: noted_at.into() })
    };
    rows.into_iter().map(noted).collect()
}

pub(super) async fn pauses(conn: &mut Conn, now: At) -> Result<Vec<Pause>, StoreError> {
    let rows: Vec<(String, Option<String>, At)> = with_conn!(conn, |c| {
        use rate_limits::{blocked_until, class, family};
        let lasting = QueryDsl::filter(rate_limits::table, blocked_until.gt(now)).order(family);
        lasting.select((family, class, blocked_until.assume_not_null())).load(c).await
    })?;
    rows.into_iter().map(|(family, class, until)| pause(family, class, until)).collect()
}

pub(super) fn pause(family: String, class: Option<String>, until: At) -> Result<Pause, StoreError> {
    let scope = family.parse();
    Ok(Pause {
        scope: scope.map_err(|source| StoreError::Corrupt { column: "rate_limits.family", source })?,
        class: class_of(class.unwrap_or_default())?,
        until: until.into(),
    })
}

fn class_of(word: String) -> Result<LimitClass, StoreError> {
    LimitClass::of_word(&word).ok_or_else(|| StoreError::Corrupt {
        column: "rate_limits.class",
        source: UnknownWord { what: "class of limit", word, expected: "rate, quota".to_owned() },
    })
}
