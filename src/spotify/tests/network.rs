//! What is sent over the network, and how broken answers are handled.

use super::{
    server::{Reply, Server},
    *,
};
use crate::model::{EntityType, LimitClass, PageRequest, Slot};

const TRACKS: PageRequest = PageRequest::Listing { entity: EntityType::Tracks, offset: 100, limit: 50 };
const PAGE: &str = r#"{"items": [{"added_at": null, "track": {"id": "t1", "name": "One"}}], "total": 101,
    "next": "http://127.0.0.1:1/elsewhere"}"#;

#[tokio::test]
async fn each_listing_is_asked_for_by_its_own_url() {
    const EMPTY: &str = r#"{"items": [], "total": 0, "artists": {"items": [], "total": 0}, "id": "me"}"#;
    let server = Server::start(|_| Reply::ok(EMPTY)).await;
    let (client, tokens) = (client(&server), tokens(stored(), recorder(&server)));
    let items = |id: &str| PageRequest::PlaylistItems { playlist_id: id.into(), offset: 50, limit: 25 };
    client.me(&tokens).await.unwrap();
    client.recently_played(&tokens).await.unwrap();
    for request in [
        TRACKS,
        PageRequest::Listing { entity: EntityType::Albums, offset: 0, limit: 50 },
        PageRequest::Listing { entity: EntityType::Playlists, offset: 7, limit: 1 },
        PageRequest::Following { after: None, limit: 50 },
        PageRequest::Following { after: Some("a&b".into()), limit: 50 },
        items("37i9"),
        items("a/b?c#d%ü"),
    ] {
        client.page(&tokens, &request).await.unwrap();
    }
    assert_eq!(
        server.log.lines(),
        [
            "GET /v1/me a1",
            "GET /v1/me/player/recently-played?limit=50 a1",
            "GET /v1/me/tracks?limit=50&offset=100 a1",
            "GET /v1/me/albums?limit=50&offset=0 a1",
            "GET /v1/me/playlists?limit=1&offset=7 a1",
            "GET /v1/me/following?type=artist&limit=50 a1",
            "GET /v1/me/following?type=artist&limit=50&after=a%26b a1",
            "GET /v1/playlists/37i9/items?limit=25&offset=50&additional_types=track%2Cepisode a1",
            "GET /v1/playlists/a%2Fb%3Fc%23d%25%C3%BC/items?limit=25&offset=50&additional_types=track%2Cepisode a1",
        ]
    );
    assert_eq!((client.num_requests(), client.num_token_requests()), (9, 0));
    for id in ["", ".", ".."] {
        assert!(matches!(client.page(&tokens, &items(id)).await, Err(ApiError::NoPlaylist(_))), "{id:?}");
    }
    assert_eq!(client.num_requests(), 9, "a request that cannot be right is not sent");
}

#[tokio::test]
async fn a_page_is_read_and_its_next_url_is_left_alone() {
    let server = Server::start(|_| Reply::ok(PAGE)).await;
    let page = client(&server).page(&tokens(stored(), recorder(&server)), &TRACKS).await.unwrap();
    assert_eq!(page.slots.iter().map(Slot::id).collect::<Vec<_>>(), [Some("t1")]);
    assert_eq!((page.total, page.next_cursor), (Some(101), None));
    assert_eq!(server.log.lines().len(), 1);
}

#[tokio::test]
async fn a_compressed_page_is_read() {
    // {"items":[{"added_at":null,"track":{"id":"t1","name":"One"}}],"total":1}
    const GZIP: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 13, 202, 49, 10, 128, 48, 12, 64, 209, 187, 252, 185, 139, 107, 46, 225, 1,
        68, 36, 152, 12, 197, 182, 130, 198, 169, 244, 238, 118, 123, 195, 235, 228, 240, 250, 34, 91, 71, 205, 220,
        14, 13, 164, 125, 165, 36, 226, 209, 243, 66, 58, 217, 16, 98, 33, 209, 180, 250, 244, 218, 156, 49, 246, 89,
        238, 208, 130, 44, 227, 7, 132, 112, 40, 110, 72, 0, 0, 0,
    ];
    let server = Server::start(|request| {
        assert!(request.headers["accept-encoding"].contains("gzip"));
        Reply::ok(GZIP).header("content-encoding", "gzip")
    })
    .await;
    let page = client(&server).page(&tokens(stored(), recorder(&server)), &TRACKS).await.unwrap();
    assert_eq!(page.slots[0].id(), Some("t1"));
}

#[tokio::test]
async fn a_body_that_is_cut_or_no_json_is_malformed_and_worth_another_try() {
    for (body, cut) in [(PAGE, 20), (PAGE, PAGE.len()), (&PAGE[..60], 0), ("<html>oops</html>", 0), ("", 0)] {
        let server = Server::start(move |_| Reply { cut, ..Reply::ok(body) }).await;
        let error = client(&server).page(&tokens(stored(), recorder(&server)), &TRACKS).await.unwrap_err();
        assert!(matches!(error, ApiError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().starts_with("the answer to GET /me/tracks at 100 "), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_ends_with_the_timeout() {
    let server = Server::start(|_| Reply { delay: Duration::from_secs(60), ..Reply::ok(PAGE) }).await;
    let client = Client::new(ClientConfig { timeout: Duration::from_millis(100), ..config(&server) }).unwrap();
    let error = client.page(&tokens(stored(), recorder(&server)), &TRACKS).await.unwrap_err();
    assert!(matches!(error, ApiError::Network { kind: NetworkKind::Timeout, .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_cannot_be_connected_to() {
    let mut server = Server::start(|_| Reply::ok(PAGE)).await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    server.url = format!("http://{closed}/").parse().unwrap();
    let error = client(&server).page(&tokens(stored(), recorder(&server)), &TRACKS).await.unwrap_err();
    assert!(matches!(error, ApiError::Network { kind: NetworkKind::Connect, .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("GET /me/tracks at 100: cannot connect to {closed}"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|_| Reply::status(307, "").header("location", "/v1/elsewhere")).await;
    let error = client(&server).page(&tokens(stored(), recorder(&server)), &TRACKS).await.unwrap_err();
    assert!(matches!(error, ApiError::Intercepted { .. }), "{error:?}");
    assert_eq!(server.log.lines().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_classified_from_status_headers_and_body() {
    let body = r#"{"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}"#;
    let server = Server::start(move |_| Reply::status(429, body).header("retry-after", "49861")).await;
    let error = client(&server).page(&tokens(stored(), recorder(&server)), &TRACKS).await.unwrap_err();
    let ApiError::RateLimited { class, retry_after, message } = error else { panic!("{error:?}") };
    assert_eq!((class, retry_after), (LimitClass::Quota, Some(Duration::from_secs(49_861))));
    assert_eq!(message, "GET /me/tracks at 100 was refused by the quota limit (wait 49861 s)");
}

#[tokio::test]
async fn an_echoed_access_token_is_not_quoted() {
    let server = Server::start(|request| Reply::status(400, format!("no such token: {}", request.token()))).await;
    let stored = StoredTokens { access_token: Some("hush-hush".into()), ..stored() };
    let error = client(&server).page(&tokens(stored, recorder(&server)), &TRACKS).await.unwrap_err();
    assert_eq!(error.to_string(), "GET /me/tracks at 100 was refused (400 Bad Request): no such token: ***");
}

#[test]
fn tokens_go_nowhere_but_over_tls_or_to_this_machine() {
    let built = |api_url: &str| {
        Client::new(ClientConfig {
            api_url: api_url.parse().unwrap(),
            accounts_url: "https://accounts.spotify.com".parse().unwrap(),
            client_id: "client".into(),
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            user_agent: "segno".into(),
            token_rests: RESTS,
        })
    };
    for allowed in ["https://api.spotify.com/v1", "http://127.0.0.1:8", "http://[::1]:8/v1/", "http://localhost:8"] {
        assert!(built(allowed).is_ok(), "{allowed}");
    }
    for refused in ["http://api.spotify.com/v1", "ftp://127.0.0.1", "data:x", "http://127.0.0.1.example.com"] {
        let error = built(refused).unwrap_err();
        assert_eq!(error.to_string(), "spotify.api_url must be https, or http on a loopback address", "{refused}");
        assert!(matches!(error, ApiError::Config { .. }));
    }
    assert!(built("https://user:password@api.spotify.com/v1").is_err());
}
