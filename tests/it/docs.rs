//! The pages for people: every link has a target, and the front page stays short.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A front page is read in a minute.
const README_LINES_MAX: usize = 130;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let folders = [root().to_owned(), root().join("docs")];
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let pages = entries.map(|entry| entry.expect("an entry").path());
    pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The text after `](`, `src="` and `srcset="`.
fn links(text: &str) -> Vec<&str> {
    let ends = [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')];
    let behind = |(begin, end): (&str, char)| {
        let parts = text.split(begin).skip(1);
        parts.filter_map(move |part| part.split_once(end)).map(|(link, _)| link).collect::<Vec<_>>()
    };
    ends.into_iter().flat_map(behind).collect()
}

/// The name by which a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let mut num_links = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().expect("a folder").join(path) };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).expect("a page");
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#')));
                assert!(anchors.any(|anchor| anchor == heading), "{}: {link} has no such heading", page.display());
            }
            num_links += 1;
        }
    }
    assert!(num_links > 30, "{num_links}");
}

#[test]
fn the_front_page_is_short() {
    let text = fs::read_to_string(root().join("README.md")).expect("the front page");
    assert!(text.lines().count() <= README_LINES_MAX);
}
