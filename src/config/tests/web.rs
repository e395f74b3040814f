//! The status page: its address, its names, and who may see it.

use super::*;

pub const TOKEN: &str = "a-word-for-the-page";

pub fn token(config: &Config) -> String {
    config.web.token.as_ref().map(|token| token.expose_secret().to_owned()).unwrap_or_default()
}

#[test]
fn the_page_can_be_left_out() {
    assert_eq!(House::new().env("SEGNO_WEB_LISTEN", "off").load().unwrap().web.listen, None);
    assert_eq!(House::new().file("web.listen = 'off'").load().unwrap().web.listen, None);
}

#[test]
fn the_token_is_for_the_environment_alone() {
    assert_eq!(
        House::new().file(&format!("[web]\ntoken = '{TOKEN}'")).refusal(),
        "segno.toml:2: web.token: may only be given in the environment, as SEGNO_WEB_TOKEN"
    );
}

#[test]
fn what_the_page_is_served_with_changes_at_the_next_start() {
    let with = |name: &str, value: &str| House::new().env(name, value).load().unwrap();
    let plain = House::new().load().unwrap();
    for (name, value, told) in [
        ("SEGNO_WEB_LISTEN", "off", "web.listen"),
        ("SEGNO_WEB_HOSTS", "segno.example.org", "web.hosts"),
        ("SEGNO_WEB_BASE_PATH", "/segno", "web.base_path"),
        ("SEGNO_WEB_TOKEN", TOKEN, "SEGNO_WEB_TOKEN"),
    ] {
        let new = Config { database_url: plain.database_url.clone(), ..with(name, value) };
        assert_eq!(plain.needs_restart_for(&new), [told]);
    }
}
