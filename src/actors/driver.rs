//! The one place in which actors wait, repeat and roll dice. What to wait for, how often to try and what comes next is
//! decided in [`crate::engine`]; this carries it out. `tests/it/layers.rs` keeps such things out of the other files.

use crate::{
    clock,
    engine::request::{Event, Next, Request, Step},
    model::Fault,
};
use std::time::Duration;

/// In `[0, 1)`, for whatever the engine spreads.
pub fn jitter() -> f64 {
    fastrand::f64()
}

/// Waits. Timers have a resolution of a millisecond, and waking early would look again at once, so it never ends early.
pub async fn wait(wait: Duration) {
    tokio::time::sleep(wait + Duration::from_millis(1)).await;
}

/// Tries until it succeeds, `pause` apart. `told` is called with each failure.
pub async fn insist<T, E>(pause: Duration, attempt: impl AsyncFn() -> Result<T, E>, told: impl Fn(&E)) -> T {
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => told(&error),
        }
        wait(pause).await;
    }
}

/// Takes a request through its steps: carries out each, and hands back its result.
pub async fn drive(request: &mut Request, mut carry_out: impl AsyncFnMut(Step) -> Event) -> Result<(), Fault> {
    loop {
        match request.poll() {
            Next::Do(step) => {
                let event = carry_out(step).await;
                request.handle(event, clock::instant(), jitter());
            }
            Next::Done(ended) => return ended,
        }
    }
}
