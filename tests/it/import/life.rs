//! The matching, measured on whole lives: far from the hundreds that a window of a minute doubles or loses; `cargo run --release --example matching` does so at length.

#[path = "../../matching/mod.rs"]
mod matching;

use matching::score;
use segno::sandbox::listener::{Generation, ToldAs};

#[test]
fn a_life_that_two_tell_is_one_life() {
    for (generation, seed) in Generation::ALL.into_iter().zip(1..) {
        let ends = score(seed, 4000, ToldAs::Ends, generation);
        assert!(ends.told > 2400 && ends.rows <= 4004 && ends.doubled <= 10 && ends.lost <= 10, "{ends:?}");
        let starts = score(seed, 4000, ToldAs::Starts, generation);
        assert!(starts.num_decided == 1 && starts.rows <= 4010 && starts.doubled <= 20, "{starts:?}");
        let mixed = score(seed, 4000, ToldAs::Mixed, generation);
        assert!(mixed.rows <= 4020 && mixed.doubled <= 50 && mixed.lost <= 50, "{mixed:?}");
    }
}
