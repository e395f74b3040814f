//! Named points at which a test can make an actor panic.
//!
//! Compiled to nothing unless the `fault-hooks` feature is on, which only the tests switch on. Then `SEGNO_FAULTS`
//! names points and the visit at which each panics, for example `gate.acquire=3,writer.commit=2`; `writer.commit=2+`
//! panics at every visit from the second on, and `writer.commit=2!` hangs there for ever. `SEGNO_FAULT_HASTE` divides
//! the service's long waits, so that a test runs through days in seconds; `SEGNO_FAULT_CALENDAR` sets its calendar
//! ahead, in seconds; `SEGNO_FAULT_MIGRATIONS` makes a process pose as a later version.

use chrono::TimeDelta;
use std::{path::PathBuf, time::Duration};

#[cfg(feature = "fault-hooks")]
pub fn visit(point: &str) {
    use std::{
        collections::HashMap,
        sync::{Mutex, OnceLock, PoisonError},
    };

    struct Plan {
        at: u32,
        and_after: bool,
        hangs: bool,
        visits: u32,
    }

    static PLANS: OnceLock<Mutex<HashMap<String, Plan>>> = OnceLock::new();

    let plans = PLANS.get_or_init(|| {
        let text = std::env::var("SEGNO_FAULTS").unwrap_or_default();
        let plan = |(point, at): (&str, &str)| {
            let at_number = at.trim_end_matches(['+', '!']).parse().expect("SEGNO_FAULTS is point=visit,...");
            let (and_after, hangs) = (at.ends_with('+'), at.ends_with('!'));
            (point.to_owned(), Plan { at: at_number, and_after, hangs, visits: 0 })
        };
        Mutex::new(text.split(',').filter_map(|fault| fault.split_once('=')).map(plan).collect())
    });
    let (is_due, hangs) = {
        let mut plans = plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.get_mut(point).map_or((false, false), |plan| {
            plan.visits += 1;
            (plan.visits == plan.at || (plan.and_after && plan.visits > plan.at), plan.hangs)
        })
    };
    if is_due && hangs {
        loop {
            std::thread::park();
        }
    }
    assert!(!is_due, "fault at {point}");
}

#[cfg(not(feature = "fault-hooks"))]
#[inline(always)]
pub fn visit(_point: &str) {}

/// How far a test has set the calendar ahead.
#[cfg(feature = "fault-hooks")]
pub fn calendar_ahead() -> TimeDelta {
    use std::sync::LazyLock;
    static AHEAD: LazyLock<i64> =
        LazyLock::new(|| std::env::var("SEGNO_FAULT_CALENDAR").ok().and_then(|text| text.parse().ok()).unwrap_or(0));
    TimeDelta::seconds(*AHEAD)
}

#[cfg(not(feature = "fault-hooks"))]
#[inline(always)]
pub fn calendar_ahead() -> TimeDelta {
    TimeDelta::zero()
}

/// A wait of the service: as it is set, or shortened for a test.
#[cfg(feature = "fault-hooks")]
pub fn hastened(wait: Duration) -> Duration {
    let haste: u32 = std::env::var("SEGNO_FAULT_HASTE").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    wait / haste.max(1)
}

#[cfg(not(feature = "fault-hooks"))]
#[inline(always)]
pub fn hastened(wait: Duration) -> Duration {
    wait
}

/// A folder of migrations that this process has besides its own, as a newer version would.
#[cfg(feature = "fault-hooks")]
pub fn migrations_to_come() -> Option<PathBuf> {
    std::env::var_os("SEGNO_FAULT_MIGRATIONS").map(PathBuf::from)
}

#[cfg(not(feature = "fault-hooks"))]
#[inline(always)]
pub fn migrations_to_come() -> Option<PathBuf> {
    None
}
