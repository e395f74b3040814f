//! Which processes of this machine are alive. Only Linux reports it; elsewhere, and on other machines, nothing is
//! known.

use crate::model::Owner;
use std::fs;

/// The scope of our process ids: the boot of the machine, and the namespace within it. Empty if the system does not
/// report it.
pub fn place() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = fs::read_link("/proc/self/ns/pid");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => format!("{} {}", boot.trim(), namespace.display()),
        (Err(_), _) | (_, Err(_)) => String::new(),
    }
}

/// Whether the process is certainly dead.
pub fn is_gone(other: &Owner, us: &Owner) -> bool {
    let is_here = !us.place.is_empty() && other.place == us.place;
    is_here && (other.pid == us.pid || !lives(other.pid))
}

/// Whether a process of this machine, or of our part of it, has that id. Asked from the system and not looked up in
/// `/proc`, where other users' processes may be hidden.
#[cfg(unix)]
pub fn lives(pid: u32) -> bool {
    use rustix::{io::Errno, process::Pid};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(not(unix))]
pub fn lives(_: u32) -> bool {
    true
}
