//! Runs many simulated lives and looks for one that breaks a guarantee. See `docs/simulation.md`.

#[path = "../tests/simulation/mod.rs"]
mod simulation;

use simulation::{
    Failure, live, live_traced,
    rest::{Rest, rest},
    scenario::Scenario,
    shrink,
    tally::Tally,
};
use std::{
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const USAGE: &str = "\
Usage: cargo run --release --example simulate -- [OPTIONS]

Simulates lives of segno from seeds, each with a library, an API and a database of its own, and checks after every step
that the guarantees hold. Prints what was done to it; on a failure its story, made small, and exits with 1.

  --seeds N     how many seeds (10000)
  --from S      the first of them (0)
  --seconds N   stop after so many seconds, however many seeds that were
  --seed S      only this one, and what happens in it
  --threads N   how many at a time (as many as there are cores)
  --odds N      how often answers are wrong and look right, against the rest (12)
  --nodes       each with several processes that share the accounts; by default one in 16 has some
  --rest N      instead of lives: N accounts in which nothing changes, on four nodes, for a day
  --failures N  go on after a failure, until so many were found (1)
  --help        print this
";

/// Seeds between two lines of progress.
const TOLD_EVERY: u64 = 10_000;

#[derive(Debug, Clone, Copy)]
struct Options {
    seeds: u64,
    from: u64,
    seconds: Option<u64>,
    seed: Option<u64>,
    threads: usize,
    failures: usize,
    odds: Option<u32>,
    has_nodes: bool,
    rest: Option<u32>,
}

impl Options {
    fn scenario(self, seed: u64) -> Scenario {
        let scenario = self.odds.map_or_else(|| Scenario::new(seed), |odds| Scenario::with_odds(seed, odds));
        if self.has_nodes { scenario.among_nodes() } else { scenario }
    }
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("simulate: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // The engine's own assertions are caught, and reported with the failure.
    std::panic::set_hook(Box::new(|_| {}));
    match (options.rest, options.seed) {
        (Some(accounts), seed) => at_rest(accounts, seed.unwrap_or_default()),
        (None, Some(seed)) => one(options.scenario(seed)),
        (None, None) => many(options),
    }
}

/// The limit allows twice what the settings ask for.
fn at_rest(accounts: u32, seed: u64) -> ExitCode {
    match rest(Rest { seed, accounts, nodes: 4, limit: Rest::limit_for(accounts), hours: 24 }) {
        Ok(rested) => {
            println!("{rested}nothing broken");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{}: {}", violation.guarantee, violation.what);
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options {
        seeds: 10_000,
        from: 0,
        seconds: None,
        seed: None,
        threads,
        failures: 1,
        odds: None,
        has_nodes: false,
        rest: None,
    };
    let mut seeds = None;
    while let Some(word) = words.next() {
        if word == "--help" || word == "-h" {
            return Ok(None);
        }
        if word == "--nodes" {
            options.has_nodes = true;
            continue;
        }
        let value = words.next().ok_or(format!("{word} needs a number"))?;
        let number: u64 = value.parse().map_err(|_| format!("{word} needs a number, not \"{value}\""))?;
        match word.as_str() {
            "--seeds" => seeds = Some(number),
            "--from" => options.from = number,
            "--seconds" => options.seconds = Some(number),
            "--seed" => options.seed = Some(number),
            "--threads" => options.threads = (number as usize).max(1),
            "--rest" => options.rest = Some(number as u32),
            "--odds" => options.odds = Some(number as u32),
            "--failures" => options.failures = (number as usize).max(1),
            _ => return Err(format!("unknown option {word}")),
        }
    }
    options.seeds = seeds.unwrap_or(if options.seconds.is_some() { u64::MAX } else { options.seeds });
    Ok(Some(options))
}

fn one(scenario: Scenario) -> ExitCode {
    match live(&scenario) {
        Err(failure) => {
            print!("{}", shrink::story(&scenario, &failure));
            ExitCode::FAILURE
        }
        Ok(tally) => {
            let _ = live_traced(&scenario);
            print!("{scenario}\n{tally}\nnothing broken\n");
            ExitCode::SUCCESS
        }
    }
}

fn many(options: Options) -> ExitCode {
    let Options { seeds, from, seconds, threads, failures, .. } = options;
    let began = Instant::now();
    let until = seconds.map(|seconds| began + Duration::from_secs(seconds));
    let (next, is_over) = (AtomicU64::new(from), AtomicBool::new(false));
    let end = from.saturating_add(seeds);
    let total = Mutex::new(Tally::default());
    let found: Mutex<Vec<(Scenario, Box<Failure>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut tally = Tally::default();
                while !is_over.load(Ordering::Relaxed) && until.is_none_or(|until| Instant::now() < until) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    if seed > from && (seed - from).is_multiple_of(TOLD_EVERY) {
                        eprintln!("{} seeds", seed - from);
                    }
                    let scenario = options.scenario(seed);
                    match live(&scenario) {
                        Ok(lived) => tally += lived,
                        Err(failure) => {
                            let mut found = found.lock().expect("nobody panics with it");
                            eprintln!("seed {seed}: {}: {}", failure.violation.guarantee, failure.violation.what);
                            found.push((scenario, failure));
                            is_over.store(found.len() >= failures, Ordering::Relaxed);
                        }
                    }
                }
                *total.lock().expect("nobody panics with it") += tally;
            });
        }
    });
    let (took, total) = (began.elapsed().as_secs_f64(), total.into_inner().expect("all are through"));
    let found = found.into_inner().expect("all are through");
    println!("{total}");
    let rate = total.num_lives as f64 / took;
    println!("{} seeds in {took:.1} s with {threads} threads: {rate:.0} seeds/s", total.num_lives);
    let Some((scenario, failure)) = found.first() else {
        println!("nothing broken");
        return ExitCode::SUCCESS;
    };
    println!("\n{} broken; the first of them:\n\n{}", found.len(), shrink::story(scenario, failure));
    ExitCode::FAILURE
}
