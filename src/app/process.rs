//! Limits of this process: how many files it may open and how long they may be, and no core dump when it crashes.

/// Assumed limit of open files, if the system does not report one.
const NUM_FILES: usize = 1024;

/// Raises the limit of open files to its hard limit, so that a crowd at the status page leaves files for the sync, and
/// disables core dumps, since they would contain tokens. If the system refuses, its limits stay.
pub(super) fn settle() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let files = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
    // Keeps other programs of the same user from reading the memory, except those of root.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Lets a write beyond the longest file that is allowed (`ulimit -f`) fail as on a full disk, instead of ending the process
/// without a word. Runs on the runtime.
pub(super) fn survive_long_files() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // The handler stays installed although nobody listens. If it cannot be installed, the signal ends the process.
        let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    }
}

/// How many files this process may have open.
pub(super) fn num_files() -> usize {
    #[cfg(unix)]
    if let Some(files) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        return usize::try_from(files).unwrap_or(usize::MAX);
    }
    NUM_FILES
}
