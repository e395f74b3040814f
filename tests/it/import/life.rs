//! The matching, measured on whole lives: there are exactly as many rows as listens if the API's moment has a single
//! meaning. `cargo run --release --example matching` measures it at length.

#[path = "../../matching/mod.rs"]
mod matching;

use matching::{Score, score};
use segno::sandbox::listener::{Generation, ToldAs};

#[test]
fn a_life_that_two_tell_is_one_life() {
    let mut mixed = Score::default();
    for (generation, seed) in Generation::ALL.into_iter().zip(1..) {
        let ends = score(seed, 4000, ToldAs::Ends, generation);
        assert!(ends.told > 2400 && ends.rows == 4000 && ends.doubled <= 4 && ends.lost <= 4, "{ends:?}");
        let starts = score(seed, 4000, ToldAs::Starts, generation);
        assert!(starts.num_decided == 1 && starts.rows == 4000 && starts.doubled <= 4, "{starts:?}");
        for score in [ends, starts] {
            assert_eq!((score.really_doubled, score.really_lost), (0, 0), "{score:?}");
        }
        mixed += score(seed, 4000, ToldAs::Mixed, generation);
    }
    // Three passes, one after the other, would double 86 and lose 61 of as many plays.
    assert!(mixed.rows <= 12_006 && mixed.doubled <= 60 && mixed.lost <= 60, "{mixed:?}");
}
