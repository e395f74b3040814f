//! A database of its own for a benchmark on PostgreSQL.

/// Recreates the database, and returns its URL.
pub async fn fresh_database(server: &str, name: &str) -> String {
    let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.expect("a server");
    let connection = tokio::spawn(connection);
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.expect("dropped");
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("created");
    drop(client);
    let _ = connection.await;
    let (base, query) = server.split_once('?').map_or((server, None), |(base, query)| (base, Some(query)));
    let at = base.rfind('/').expect("a URL with a database");
    format!("{}/{name}{}", &base[..at], query.map(|query| format!("?{query}")).unwrap_or_default())
}
