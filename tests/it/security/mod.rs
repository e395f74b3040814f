//! Malicious files, servers and names, against the real binary (G10, G15).

mod answers;
mod ending;
mod files;
mod names;
mod wires;

use super::support::{
    Backend, Cluster, Database, Ended, Login, Running, Sandbox, Segno, both, login::visit, wait_until,
};

/// Whether these tests may give files to other users. Prints a notice if they may not.
fn is_root() -> bool {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0);
    if !is_root {
        eprintln!("SKIPPED: only root can give files to other users");
    }
    is_root
}
