//! A connection to PostgreSQL that stays open between statements: connecting costs the server more than most of them.

use std::sync::{Mutex, PoisonError};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};

/// Connects when it is first used, and again when the server has ended the connection.
#[derive(Default)]
pub struct Session {
    open: Mutex<Option<Open>>,
}

struct Open {
    /// Drives the connection while a statement runs.
    runtime: Runtime,
    client: Client,
}

impl Session {
    /// Runs statements that return one column of text, if any.
    pub fn run(&self, url: &str, sql: &str) -> Vec<String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = open.as_ref() {
            match before.run(sql) {
                Err(_) if before.client.is_closed() => {}
                ran => return ran.unwrap_or_else(|error| panic!("{sql}: {error:?}")),
            }
        }
        open.insert(Open::connect(url)).run(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }
}

impl Open {
    fn connect(url: &str) -> Open {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (client, connection) = runtime.block_on(tokio_postgres::connect(url, NoTls)).expect("the server answers");
        runtime.spawn(connection);
        Open { runtime, client }
    }

    fn run(&self, sql: &str) -> Result<Vec<String>, Error> {
        let text = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        };
        let messages = self.runtime.block_on(self.client.simple_query(sql))?;
        Ok(messages.into_iter().filter_map(text).collect())
    }
}
