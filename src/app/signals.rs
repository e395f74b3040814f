//! What the outside tells this process: SIGTERM and Ctrl-C to stop, SIGHUP to read its settings again.

use super::CommandError;
use std::future::pending;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Stop,
    Reload,
}

pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Where nothing is reloaded, SIGHUP does what it always does: the terminal is gone, and so are we.
    hangup: Option<Signal>,
}

impl Signals {
    /// From here on, signals wait to be asked for.
    pub fn to_stop() -> Result<Signals, CommandError> {
        let listen = |kind| signal(kind).map_err(|error| CommandError::failed(&error));
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        Ok(Signals { interrupt, terminate, hangup: None })
    }

    /// The same, with SIGHUP.
    pub fn listen() -> Result<Signals, CommandError> {
        let hangup = signal(SignalKind::hangup()).map_err(|error| CommandError::failed(&error))?;
        Ok(Signals { hangup: Some(hangup), ..Signals::to_stop()? })
    }

    pub async fn next(&mut self) -> Told {
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

    /// Resolves when the process is told to stop.
    pub async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}
