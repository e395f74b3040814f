//! Queries of a test beyond the library in the database.

use super::{Backend, Database, wait_until};
use std::collections::BTreeMap;

/// Every table that a sync writes rows of the library into.
const WRITTEN_TABLES: &[&str] = &[
    "tracks",
    "albums",
    "artists",
    "track_artists",
    "album_artists",
    "saved_tracks",
    "saved_albums",
    "followed_artists",
    "playlists",
    "library_playlists",
    "playlist_items",
];

impl Database {
    /// The one line of a query, from an expression with its FROM: `value("name", "tracks WHERE id = 'x'")`; an empty
    /// text if it is null.
    pub fn value(&self, expression: &str, from: &str) -> String {
        let lines = self.lines(&format!("SELECT coalesce(CAST({expression} AS TEXT), '') AS line FROM {from}"));
        assert_eq!(lines.len(), 1, "{expression} of {from}: {lines:?}");
        lines.into_iter().next().unwrap_or_default()
    }

    /// The same as a number; 0 if it is null.
    pub fn number(&self, expression: &str, from: &str) -> u64 {
        let value = self.value(expression, from);
        if value.is_empty() { 0 } else { value.parse().unwrap_or_else(|_| panic!("{expression} of {from}: {value}")) }
    }

    /// A column of `sync_states`.
    pub fn state(&self, entity_type: &str, phase: &str, column: &str) -> String {
        self.value(column, &format!("sync_states WHERE entity_type = '{entity_type}' AND phase = '{phase}'"))
    }

    /// Every column of every library row, including when and how often it was written.
    pub fn written_rows(&self) -> BTreeMap<&'static str, Vec<String>> {
        let dump = |table: &&'static str| {
            let sql = match self.backend {
                Backend::Sqlite => {
                    let columns = self.lines(&format!("SELECT name AS line FROM pragma_table_info('{table}')"));
                    let text = |name: &String| format!("coalesce(CAST(\"{name}\" AS TEXT), 'null')");
                    format!(
                        "SELECT {} AS line FROM {table}",
                        columns.iter().map(text).collect::<Vec<_>>().join("||'|'||")
                    )
                }
                Backend::Postgres => format!("SELECT CAST(row_to_json(t) AS TEXT) AS line FROM {table} t"),
            };
            let mut lines = self.lines(&sql);
            lines.sort();
            (*table, lines)
        };
        WRITTEN_TABLES.iter().map(dump).collect()
    }

    /// As if the cooldowns after failures had passed.
    pub fn end_cooldowns(&self) {
        for (table, column) in [
            ("playlist_readings", "next_try_at"),
            ("playlist_readings", "look_again_at"),
            ("held_removals", "since"),
            ("account_tokens", "retry_at"),
            ("account_tokens", "doubted_at"),
            ("pending_sign_ins", "retry_at"),
            ("pending_sign_ins", "doubted_at"),
        ] {
            let columns = match self.backend {
                Backend::Sqlite => format!("pragma_table_info('{table}') WHERE name = '{column}'"),
                Backend::Postgres => {
                    format!("information_schema.columns WHERE table_name = '{table}' AND column_name = '{column}'")
                }
            };
            if self.count(&columns) > 0 {
                let past = "2020-01-01 00:00:00.000000+00:00";
                self.execute(&format!("UPDATE {table} SET {column} = '{past}' WHERE {column} IS NOT NULL"));
            }
        }
        // What a walk left open is looked for once more.
        let past = "2020-01-01T00:00:00Z";
        self.execute(&match self.backend {
            Backend::Sqlite => format!(
                "UPDATE sync_states SET checkpoint = json_set(checkpoint, '$.look_again_at', '{past}')
                 WHERE json_extract(checkpoint, '$.look_again_at') IS NOT NULL"
            ),
            Backend::Postgres => format!(
                "UPDATE sync_states SET checkpoint = jsonb_set(checkpoint::jsonb, '{{look_again_at}}', '\"{past}\"')::text
                 WHERE checkpoint::jsonb ->> 'look_again_at' IS NOT NULL"
            ),
        });
    }

    pub fn assert_references_hold(&self) {
        // PostgreSQL checks them itself.
        if self.backend == Backend::Sqlite {
            let dangling = self.lines("SELECT \"table\" AS line FROM pragma_foreign_key_check");
            assert!(dangling.is_empty(), "rows that refer to nothing: {dangling:?}");
        }
    }

    /// Waits until nothing of a killed process is active in the database any more.
    pub fn settle(&self) {
        if self.backend == Backend::Postgres {
            let others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            wait_until("the killed process's transactions are over", || self.count(others) == 0);
        }
    }
}
