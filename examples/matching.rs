//! How well a data export is matched with the plays that the API reported: twenty lives of 40,000 plays for each
//! meaning of the API's moment. `cargo run --release --example matching [SEEDS]`

#[path = "../tests/matching/mod.rs"]
mod matching;

use matching::{Score, score};
use segno::sandbox::listener::{Generation, ToldAs};

const SEEDS: u64 = 20;
const PLAYS: usize = 40_000;

fn main() {
    // Fewer seeds for a first look.
    let seeds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(SEEDS);
    println!("{seeds} lives of {PLAYS} plays; sums of all, and rows of one on average");
    println!(
        "{:<8} {:>9} {:>10} {:>8} {:>6} {:>14} {:>11} {:>6} {:>9}",
        "told as", "told", "rows", "doubled", "lost", "really doubled", "really lost", "wrong", "decided"
    );
    for told_as in ToldAs::ALL {
        let mut sum = Score::default();
        for seed in 0..seeds {
            let generation = Generation::ALL[(seed % 3) as usize];
            sum += score(seed, PLAYS, told_as, generation);
        }
        let rows = sum.rows as f64 / seeds as f64;
        println!(
            "{:<8} {:>9} {rows:>10.1} {:>8} {:>6} {:>14} {:>11} {:>6} {:>6}/{seeds}",
            format!("{told_as:?}").to_lowercase(),
            sum.told,
            sum.doubled,
            sum.lost,
            sum.really_doubled,
            sum.really_lost,
            sum.wrong,
            sum.num_decided
        );
    }
}
