//! The statement that claims accounts, and the heartbeat, over many accounts.

use super::{
    accounts,
    fleet::Session,
    markdown::{header, row},
    postgres,
};
use chrono::Utc;
use segno::{
    model::{Node, Owner},
    store::{DatabaseUrl, Store},
};
use std::time::{Duration, Instant};
use uuid::Uuid;

const CLIENT: &str = "bench";

/// As many as a node claims in one transaction.
const CLAIMED_AT_ONCE: u32 = 50;

/// How often each is measured.
const TIMES: u32 = 20;

pub async fn measure(server: &str, num_accounts: u64) {
    let url = postgres::fresh_database(server, "segno_bench_claims").await;
    let store = Store::open(&DatabaseUrl::parse(&url).expect("a URL"), "bench").await.expect("opens");
    let session = Session::open(&url).await;
    accounts::add(&session, CLIENT, num_accounts).await;
    let (one, two) = (node(), node());
    for node in [&one, &two] {
        store.beat(node, Utc::now()).await.expect("beats");
    }
    header(&[&format!("{num_accounts} accounts"), "claimed", "median ms", "most ms"]);

    settle(&session).await;
    claims(&store, &one, "nobody holds any").await;

    // Every second one is the other node's, and all are held.
    session
        .execute(&format!(
            "UPDATE accounts SET owner = CASE WHEN id % 2 = 0 THEN '{}' ELSE '{}' END, epoch = 1, released_at = NULL",
            one.owner.id, two.owner.id
        ))
        .await;
    settle(&session).await;
    claims(&store, &one, "all are held").await;
    beats(&store, &one, "heartbeat of a node that holds half").await;
    signs_of_life(&store, &one, "sign of life of the same, between two").await;

    let freed = u64::from(TIMES * CLAIMED_AT_ONCE);
    session.execute(&format!("UPDATE accounts SET released_at = now() WHERE id > {}", num_accounts - freed)).await;
    settle(&session).await;
    claims(&store, &one, &format!("the last {freed} are free")).await;

    session.execute(&format!("UPDATE nodes SET holds_until = now() WHERE id = '{}'", two.owner.id)).await;
    settle(&session).await;
    claims(&store, &one, "half of them are a dead node's").await;
    println!();
}

fn node() -> Node {
    let owner = Owner { id: Uuid::new_v4(), label: "bench".into(), place: String::new(), pid: std::process::id() };
    // Longer than the measurement.
    Node { owner, client_id: CLIENT.into(), version: "0", holds_for: Duration::from_secs(24 * 3600) }
}

/// As PostgreSQL does by itself after a while.
async fn settle(session: &Session) {
    session.execute("VACUUM ANALYZE accounts").await;
    session.execute("VACUUM ANALYZE account_tokens").await;
}

async fn claims(store: &Store, node: &Node, what: &str) {
    let (mut took, mut num_claimed) = (Vec::new(), 0);
    for _ in 0..TIMES {
        let began = Instant::now();
        num_claimed += store.claim_free(node, CLAIMED_AT_ONCE, Utc::now()).await.expect("answers").len();
        took.push(began.elapsed());
    }
    print(&format!("claim, {what}"), &num_claimed.to_string(), took);
}

async fn beats(store: &Store, node: &Node, what: &str) {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        store.beat(node, Utc::now()).await.expect("answers");
        took.push(began.elapsed());
    }
    print(what, "-", took);
}

async fn signs_of_life(store: &Store, node: &Node, what: &str) {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        store.prolong(node, Utc::now()).await.expect("answers").expect("it lives");
        store.open_orders(node.owner.id, Utc::now()).await.expect("answers");
        took.push(began.elapsed());
    }
    print(what, "-", took);
}

fn print(what: &str, num_claimed: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let ms = |at: usize| format!("{:.1}", took[at].as_secs_f64() * 1e3);
    row(&[what, num_claimed, &ms(took.len() / 2), &ms(took.len() - 1)]);
}
