//! With a token: the page that asks for it, in a browser that sends the headers that browsers send.

use super::Page;
use crate::support::{Backend, Database, Sandbox, wait_until};

const TOKEN: &str = "the-token-of-this-test";

#[test]
fn a_person_signs_in_to_the_page_with_the_token_and_no_other_way() {
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(60, 20, 20, 2, 20));
    let Some(page) = Page::open_with(|segno| segno.env("SEGNO_WEB_TOKEN", TOKEN), database, sandbox, "/library") else {
        return;
    };
    page.wait_for("label", "Token");
    assert!(page.browser.url().ends_with("/sign-in"), "{}", page.browser.url());
    page.browser.fill("#token", "another one");
    page.browser.click("button");
    page.wait_for("[role=alert]", "That is not the token.");
    page.assert_silent(&["401"]);

    page.browser.fill("#token", TOKEN);
    page.browser.click("button");
    page.wait_for("#link", "Live");
    page.wait_for_sentence("Everything is current");
    page.browser.click(".entity[data-type=tracks] .pause");
    page.wait_for(".entity[data-type=tracks]", "Paused by hand");
    assert_eq!(page.browser.run("return document.cookie"), "", "the session is out of reach of scripts");
    page.assert_silent(&[]);

    // The session cookie is gone, as if it had expired: the page asks again.
    page.browser.forget_cookies();
    page.browser.click(".entity[data-type=tracks] .pause");
    let asks_for_token = || page.browser.url().ends_with("/sign-in");
    wait_until("it asks for the token", asks_for_token);
    page.assert_silent(&["401"]);

    page.browser.fill("#token", TOKEN);
    page.browser.click("button");
    page.wait_for("#link", "Live");
    page.browser.resize((360, 760));
    assert!(page.fits(), "also with the button");
    page.browser.click(".out button");
    wait_until("it asks for the token", asks_for_token);
    for left in ["/", "/activity"] {
        page.browser.go(&page.url(left));
        assert!(asks_for_token(), "{left}");
    }
    page.browser.back();
    wait_until("what was open is out of reach, too", asks_for_token);
    page.assert_silent(&["401"]);
}
