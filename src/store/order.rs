//! When the members of a library were added: the order of a listing that comes newest first.

use super::membership::in_dated_membership;
use super::types::At;
use super::{Store, StoreError, with_conn};
use crate::model::{AccountId, AddedBetween, EntityType, Member};
use diesel::{ExpressionMethods, QueryDsl};
use diesel_async::RunQueryDsl;

/// A query of members, narrowed to those that were added then.
macro_rules! added_between {
    ($members:expr, $added_at:ident, $wanted:expr) => {{
        let mut members = $members.into_boxed();
        if let Some(oldest) = $wanted.oldest {
            members = members.filter($added_at.ge(At::from(oldest)));
        }
        if let Some(newest) = $wanted.newest {
            members = members.filter($added_at.le(At::from(newest)));
        }
        members
    }};
}

impl Store {
    /// The members that were added then and are not marked removed, with their dates, in any order; none where the listing
    /// does not date its rows.
    pub async fn list_members(
        &self,
        account: AccountId,
        entity: EntityType,
        wanted: AddedBetween,
    ) -> Result<Vec<Member>, StoreError> {
        let mut conn = self.connect().await?;
        let rows: Vec<(String, Option<At>)> = in_dated_membership!(
            entity,
            |members, item_id| with_conn!(&mut conn, |c| {
                use members::{account_id, added_at, removed_at, table};
                let active = table.filter(account_id.eq(account.0)).filter(removed_at.is_null());
                added_between!(active, added_at, wanted).select((item_id, added_at)).load(c).await
            }),
            else Ok(Vec::new())
        )?;
        Ok(rows.into_iter().map(|(id, added_at)| Member { id, added_at: added_at.map(Into::into) }).collect())
    }
}
