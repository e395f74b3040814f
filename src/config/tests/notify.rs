//! Notifications: addresses that may be secrets, and a secret that is one.

use super::*;
use crate::model::EventKind;

/// The settings whose bad values are tested here.
pub const SETTINGS: &[Setting] =
    &[Setting::NotifyWebhook, Setting::NotifyEvents, Setting::NotifySecret, Setting::FeedNatsUrl];

pub fn secret(config: &Config) -> String {
    config.notify.secret.as_ref().map_or("", |secret| secret.expose_secret()).into()
}

#[test]
fn an_address_that_cannot_be_one_is_refused_and_not_repeated() {
    let urls = "a list of up to 16 http or https URLs, each once, without user and fragment";
    for wrong in [
        "hooks.example.org/secret",
        "ftp://h/secret",
        "https://me:secret@h/",
        "https://h/#secret",
        "http://h/secret,http://h/secret",
    ] {
        let refusal = House::new().env("SEGNO_NOTIFY_WEBHOOK", wrong).refusal();
        assert_eq!(refusal, format!("SEGNO_NOTIFY_WEBHOOK: the value is not {urls}"));
        let refusal = House::new().file(&format!("notify.webhook = ['{}']", wrong.replace(',', "', '"))).refusal();
        assert_eq!(refusal, format!("segno.toml:1: notify.webhook: the value is not {urls}"));
    }
    let refusal = House::new().env("SEGNO_NOTIFY_SECRET", "too short").refusal();
    assert_eq!(refusal, "SEGNO_NOTIFY_SECRET: the value is not a secret: 16 to 512 visible characters without spaces");
}

#[test]
fn a_server_of_nats_is_a_host_with_what_signs_in_there_and_is_not_repeated() {
    let urls = "a list of one to 16 URLs such as \"nats://host:4222\" or \"tls://user:password@host\"";
    for wrong in ["h:4222", "http://h", "nats://", "nats://h/stream", "nats://h?secret", "nats://h,ftp://u:secret@h"] {
        let refusal = House::new().env("SEGNO_FEED_NATS_URL", wrong).refusal();
        assert_eq!(refusal, format!("SEGNO_FEED_NATS_URL: the value is not {urls}"));
    }
    let house = House::new().env("SEGNO_FEED_NATS_URL", "nats://u:secret@h.example:4222,tls://token@other.example");
    let config = house.load().unwrap();
    assert_eq!(config.feed.nats.len(), 2);
    let shown = format!("{config:?}");
    assert!(shown.contains("h.example") && !shown.contains("secret") && !shown.contains("token@"), "{shown}");
}

#[test]
fn every_kind_of_entry_can_be_chosen_and_no_other() {
    let all = EventKind::ALL.map(EventKind::as_str).join(",");
    assert_eq!(House::new().load().unwrap().notify.events, EventKind::ALL);
    let known = all.replace(',', ", ");
    for wrong in ["changes,plays", "changes,changes"] {
        let refusal = House::new().env("SEGNO_NOTIFY_EVENTS", wrong).refusal();
        let allowed = format!("a list of one or more, each once, out of {known}");
        assert_eq!(refusal, format!("SEGNO_NOTIFY_EVENTS: {wrong:?} is not {allowed}"));
    }
}

#[test]
fn what_is_shown_of_it_is_the_host_alone() {
    let house = House::new().env("SEGNO_NOTIFY_WEBHOOK", "https://h.example/secret?k=secret");
    let shown = format!("{:?}", house.env("SEGNO_NOTIFY_SECRET", "secret-secret-secret").load().unwrap());
    assert!(shown.contains("h.example") && !shown.contains("secret?") && !shown.contains("/secret"), "{shown}");
}
