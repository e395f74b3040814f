//! The page about settings is complete.

use super::*;

#[test]
fn the_page_of_settings_has_each_with_its_names_and_its_default() {
    let page = include_str!("../../../docs/settings.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `SEGNO_")).collect();
    let quoted = |text: Option<&str>| text.map_or("-".to_owned(), |text| format!("`{text}`"));
    assert_eq!(rows.len(), Setting::ALL.len());
    for (row, setting) in rows.iter().zip(Setting::ALL) {
        let (key, default) = (quoted(setting.key()), quoted(setting.default()));
        assert!(row.starts_with(&format!("| `{}` | {key} | {default} | ", setting.env())), "{row}");
    }
}
