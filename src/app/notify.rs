//! Notifications for systemd, from a service of `Type=notify`. Elsewhere there is no socket, and this does nothing.

use sd_notify::NotifyState;
use std::time::Duration;
use tracing::warn;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    Ready,
    Reloading,
    Stopping,
    /// Still alive; to be sent more often than [`watchdog`] demands.
    Alive,
    /// One line for `systemctl status`.
    Status(&'a str),
}

pub fn tell(notice: Notice<'_>) {
    let told = match notice {
        Notice::Ready => sd_notify::notify(&[NotifyState::Ready]),
        Notice::Reloading => match NotifyState::monotonic_usec_now() {
            Ok(now) => sd_notify::notify(&[NotifyState::Reloading, now]),
            Err(error) => Err(error),
        },
        Notice::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
        Notice::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        Notice::Status(line) => sd_notify::notify(&[NotifyState::Status(line)]),
    };
    if let Err(error) = told {
        warn!(%error, "systemd cannot be notified");
    }
}

/// How long systemd waits for [`Notice::Alive`] before it kills the service.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}
