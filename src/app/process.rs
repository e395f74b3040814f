//! What this process may take of its machine, and what it leaves behind if it dies.

/// Files that a process may have open where the system does not tell.
const NUM_FILES: usize = 1024;

/// Takes as many files as there are to be had, since a crowd at the status page must not cost the sync its own, and
/// leaves no copy of its memory behind: tokens are in there. What the system refuses stays as it is.
pub(super) fn settle() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let files = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
    // Nor may other programs of the same person read the memory, but root's.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// How many files this process may have open.
pub(super) fn num_files() -> usize {
    #[cfg(unix)]
    if let Some(files) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        return usize::try_from(files).unwrap_or(usize::MAX);
    }
    NUM_FILES
}
