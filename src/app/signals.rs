//! Signals to this process: SIGTERM and Ctrl-C to stop, SIGHUP to read its settings again.
//!
//! A process that is stopped ends in an orderly way, and soon. If something hangs all the same, a separate thread ends
//! the process: nothing half-written counts, so the next start carries on.

use super::{CommandError, Exit};
use crate::cli::stderr::say;
use std::{
    future::pending,
    process,
    sync::{
        Once,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};

/// How long after the first signal the process lives at most. Ten seconds are promised.
const LIVES_FOR: Duration = Duration::from_millis(9_500);

/// How long the last line may take, since its reader may have stopped reading.
const LAST_LINE_WITHIN: Duration = Duration::from_millis(200);

/// The exit code if the process has to be ended.
static LAST_EXIT: AtomicU8 = AtomicU8::new(130);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Stop,
    Reload,
}

pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Without reloading, SIGHUP does what it always does: the terminal is gone, and the process ends.
    hangup: Option<Signal>,
    /// SIGHUP arrived while only a stop was waited for.
    has_to_reload: bool,
}

impl Signals {
    /// From here on, signals are kept until they are asked for.
    pub fn to_stop() -> Result<Signals, CommandError> {
        let listen = |kind| signal(kind).map_err(|error| CommandError::failed(&error));
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        end_in_any_case();
        Ok(Signals { interrupt, terminate, hangup: None, has_to_reload: false })
    }

    /// The same for a service, with SIGHUP. A stop is its normal end.
    pub fn listen() -> Result<Signals, CommandError> {
        let hangup = signal(SignalKind::hangup()).map_err(|error| CommandError::failed(&error))?;
        LAST_EXIT.store(Exit::Done.code(), Ordering::Relaxed);
        Ok(Signals { hangup: Some(hangup), ..Signals::to_stop()? })
    }

    pub async fn next(&mut self) -> Told {
        if std::mem::take(&mut self.has_to_reload) { Told::Reload } else { self.heard().await }
    }

    async fn heard(&mut self) -> Told {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => _ = hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.terminate.recv() => Told::Stop,
            () = hangup => Told::Reload,
        }
    }

    /// Resolves when the process is told to stop. A reload that arrives before is reported later.
    pub async fn stop(&mut self) {
        while self.heard().await == Told::Reload {
            self.has_to_reload = true;
        }
    }
}

/// Waits for the first signal on a thread of its own, whatever the other threads do, and ends the process if it still
/// exists some time later.
fn end_in_any_case() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        thread::spawn(|| {
            let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
                let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return pending().await };
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            thread::sleep(LIVES_FOR);
            thread::spawn(|| {
                say("something hangs, and is not waited for: the next start carries on from the last commit")
            });
            thread::sleep(LAST_LINE_WITHIN);
            process::exit(LAST_EXIT.load(Ordering::Relaxed).into());
        });
    });
}
