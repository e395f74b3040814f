//! What must outlast a restart and is shared: pauses of endpoint families (`rate_limits`), and past ones (`cooldowns`).

use super::schema::{cooldowns, rate_limits};
use super::types::At;
use super::{Conn, Store, StoreError, with_conn};
use crate::model::{LimitClass, NotedPause, Pause, PauseScope};
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
        Some(NotedPause { pause: pause(&family, class.as_deref(), until)?, noted_at: noted_at.into() })
    };
    Ok(rows.into_iter().filter_map(noted).collect())
}

pub(super) async fn pauses(conn: &mut Conn, now: At) -> Result<Vec<Pause>, StoreError> {
    let rows: Vec<(String, Option<String>, At)> = with_conn!(conn, |c| {
        use rate_limits::{blocked_until, class, family};
        let lasting = QueryDsl::filter(rate_limits::table, blocked_until.gt(now)).order(family);
        lasting.select((family, class, blocked_until.assume_not_null())).load(c).await
    })?;
    Ok(rows.into_iter().filter_map(|(family, class, until)| pause(&family, class.as_deref(), until)).collect())
}

/// A pause as it is stored. `None` where a newer version has paused a family of its own: this one sends nothing there. A
/// class of its own stops what it names until its end, and like a quota nothing more.
pub(super) fn pause(family: &str, class: Option<&str>, until: At) -> Option<Pause> {
    let class = class.and_then(LimitClass::of_word).unwrap_or(LimitClass::Quota);
    Some(Pause { scope: family.parse().ok()?, class, until: until.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_only_a_newer_version_knows_stops_what_it_names() {
        let until = At::from(DateTime::from_timestamp(1_790_000_000, 0).unwrap());
        let class = |family, class| pause(family, class, until).map(|pause| (pause.scope, pause.class));
        assert_eq!(class("*", Some("rate")), Some((PauseScope::Application, LimitClass::Rate)));
        assert_eq!(class("tracks", Some("to_come")), Some((PauseScope::Tracks, LimitClass::Quota)));
        assert_eq!(class("to_come", Some("quota")), None);
    }
}
