//! Opens a page in the person's browser.

use crate::cli::stderr::say;
use std::{thread, time::Duration};

/// How long a program that opens browsers may take to report that it cannot.
const OPEN_WITHIN: Duration = Duration::from_secs(2);

/// Opens an address that the person has already been shown, and says so if there is no browser.
pub(super) fn open(address: String) {
    // Some of the programs that open browsers return only when the browser is closed, so a thread waits for them.
    thread::spawn(move || {
        if open::that_detached_with_timeout(address, OPEN_WITHIN).is_err() {
            say("no browser can be opened here: go to the address above");
        }
    });
}
