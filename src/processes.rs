//! Which processes of this machine live. Only Linux tells; elsewhere, and of other machines, nothing is known.

use crate::model::Owner;
use std::{fs, path::Path};

/// Where process ids mean what they mean to us: the boot of the machine, and the namespace within it. Empty where the
/// system does not tell.
pub fn place() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = fs::read_link("/proc/self/ns/pid");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => format!("{} {}", boot.trim(), namespace.display()),
        (Err(_), _) | (_, Err(_)) => String::new(),
    }
}

/// Whether the process certainly lives no more.
pub fn is_gone(other: &Owner, us: &Owner) -> bool {
    let is_here = !us.place.is_empty() && other.place == us.place;
    is_here && (other.pid == us.pid || !Path::new("/proc").join(other.pid.to_string()).exists())
}
