//! Breaks the engine on purpose, one way after another (`tests/mutants`), and shows that each is found: by the
//! simulation, or, if its lives are too short for that, by a test of the engine. See `docs/simulation.md`.
//!
//! The engine needs only the domain model from the rest of the program. So a crate of just these two, with the
//! simulation, is laid out in `target/mutants`, where a broken engine is built in seconds; the sources themselves are
//! left alone.

#[path = "../tests/mutants/mod.rs"]
mod list;

use list::{CRATES, MUTANTS, Mutant};
use std::{
    env, fmt, fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

const USAGE: &str = "\
Usage: cargo run --example mutants -- [OPTIONS]

Makes the engine do one thing wrong after another, in a copy, and looks whether the simulation finds it: first that it
finds nothing in the engine as it is, then each of the mutants. What the simulation does not find in that time is left to
the engine's own tests. Exits with 1 if a mutant survives both or does not compile.

  --only NAME   only this one; may be given again
  --seconds N   how long each is looked for (60)
  --help        print this
";

const SECTIONS: [&str; 2] = ["package", "dependencies"];

/// Small parts, so that a broken one is built again in seconds, and fast enough for thousands of lives.
const PROFILE: &str = "\n[profile.dev]\nopt-level = 1\ndebug = false\ncodegen-units = 64\n";

/// The whole library of the crate made of these two.
const LIB: &str = "pub mod engine;\npub mod model;\n";

/// A life that has not ended this long after the time limit has hung.
const GRACE: Duration = Duration::from_secs(60);

/// Lines of the compiler that are shown if a mutant does not compile.
const LINES_SHOWN: usize = 30;

struct Options {
    only: Vec<String>,
    seconds: u64,
}

fn main() -> ExitCode {
    let options = match parse(env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("mutants: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match look(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { only: Vec::new(), seconds: 60 };
    while let Some(word) = words.next() {
        if word == "--help" || word == "-h" {
            return Ok(None);
        }
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        match word.as_str() {
            "--only" if MUTANTS.iter().any(|mutant| mutant.name == value) => options.only.push(value),
            "--only" => {
                let names: Vec<&str> = MUTANTS.iter().map(|mutant| mutant.name).collect();
                return Err(format!("no mutant is called \"{value}\"; there are {}", names.join(", ")));
            }
            "--seconds" => {
                options.seconds = value.parse().map_err(|_| format!("--seconds needs a number, not \"{value}\""))?;
            }
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(Some(options))
}

/// Whether nothing is found in the unmodified engine, and a fault in every mutant.
fn look(options: &Options) -> io::Result<bool> {
    let workshop = Workshop::set_up(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    eprintln!("building the engine as it is");
    let sound = workshop.judge(options.seconds)?;
    if !matches!(sound, Fate::Survived) {
        eprintln!("the engine as it is: {sound}{}", sound.reason());
        return Ok(false);
    }
    eprintln!("nothing is broken in the engine as it is");
    let is_wanted = |mutant: &&Mutant| options.only.is_empty() || options.only.iter().any(|name| name == mutant.name);
    let (mut num_mutants, mut num_caught, mut num_tested) = (0, 0, 0);
    println!("| {:<24} | {:<22} | {:<34} |", "mutant", "file", "caught by");
    println!("|{:-<26}|{:-<24}|{:-<36}|", "", "", "");
    for mutant in MUTANTS.iter().filter(is_wanted) {
        eprintln!("{}: {}", mutant.name, mutant.breaks);
        let fate = workshop.with(mutant, |workshop| match workshop.judge(options.seconds)? {
            Fate::Survived => workshop.test(),
            fate => Ok(fate),
        })?;
        eprint!("{}", fate.reason());
        let surprise = match &fate {
            Fate::Caught { guarantee, .. } if guarantee != mutant.guarantee => format!("; not {}", mutant.guarantee),
            Fate::Caught { .. } | Fate::Tested(_) | Fate::Survived | Fate::Hung | Fate::Failed(_) => String::new(),
        };
        println!("| {:<24} | {:<22} | {:<34} |", mutant.name, mutant.file, format!("{fate}{surprise}"));
        num_mutants += 1;
        num_caught += u32::from(matches!(fate, Fate::Caught { .. } | Fate::Tested(_)));
        num_tested += u32::from(matches!(fate, Fate::Tested(_)));
    }
    println!("\n{num_caught} of {num_mutants} caught, {num_tested} of them by a test");
    Ok(num_caught == num_mutants)
}

/// The result for an engine.
enum Fate {
    /// By this guarantee, in this life. Lives are counted from 0, so the seed shows how many it took.
    Caught {
        guarantee: String,
        seed: String,
    },
    /// By no life, but by this test of the engine.
    Tested(String),
    Survived,
    /// A life that did not end.
    Hung,
    /// It does not compile, or the simulation itself failed.
    Failed(String),
}

impl Fate {
    /// Why it failed, for the person who has to fix it.
    fn reason(&self) -> String {
        match self {
            Fate::Failed(why) => format!("\n{why}\n"),
            Fate::Caught { .. } | Fate::Tested(_) | Fate::Survived | Fate::Hung => String::new(),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The engine's own assertions are on.
            Fate::Caught { guarantee, seed } if guarantee == "panic" => write!(f, "an assertion, seed {seed}"),
            Fate::Caught { guarantee, seed } => write!(f, "{guarantee}, seed {seed}"),
            Fate::Tested(name) => write!(f, "test {name}"),
            Fate::Survived => f.write_str("SURVIVED"),
            Fate::Hung => f.write_str("HUNG: a life that does not end"),
            Fate::Failed(_) => f.write_str("FAILED"),
        }
    }
}

/// The copy in which the engine is broken.
struct Workshop {
    root: PathBuf,
}

impl Workshop {
    /// Creates the copy again; earlier build products stay.
    fn set_up(project: &Path) -> io::Result<Workshop> {
        let workshop = Workshop { root: project.join("target/mutants") };
        for part in ["src", "tests", "examples"] {
            match fs::remove_dir_all(workshop.root.join(part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        for part in ["src/engine", "src/model", "tests/simulation"] {
            copy_folder(&project.join(part), &workshop.root.join(part))?;
        }
        fs::create_dir_all(workshop.root.join("examples"))?;
        for file in ["examples/simulate.rs", "Cargo.lock"] {
            fs::copy(project.join(file), workshop.root.join(file))?;
        }
        fs::write(workshop.root.join("src/lib.rs"), LIB)?;
        let manifest = fs::read_to_string(project.join("Cargo.toml"))?;
        fs::write(workshop.root.join("Cargo.toml"), reduced(&manifest))?;
        Ok(workshop)
    }

    /// Runs `work` while the engine is broken, and restores it.
    fn with<T>(&self, mutant: &Mutant, work: impl FnOnce(&Workshop) -> io::Result<T>) -> io::Result<T> {
        let Mutant { name, file, stands, instead, .. } = mutant;
        let path = self.root.join("src/engine").join(file);
        let sound = fs::read_to_string(&path)?;
        if sound.matches(stands).count() != 1 {
            return Err(io::Error::other(format!("{name}: in {file} this is to stand once:\n{stands}")));
        }
        fs::write(&path, sound.replacen(stands, instead, 1))?;
        let done = work(self);
        fs::write(&path, sound)?;
        done
    }

    /// Builds the present copy of the engine, and runs the simulation.
    fn judge(&self, seconds: u64) -> io::Result<Fate> {
        let built = self.cargo().args(["build", "--example", "simulate"]).output()?;
        if !built.status.success() {
            let said = String::from_utf8_lossy(&built.stderr);
            let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("warning")).collect();
            return Ok(Fate::Failed(lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")));
        }
        let mut simulation = Command::new(self.root.join("target/debug/examples/simulate"))
            .args(["--seconds", &seconds.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let fate = watch(&mut simulation, Duration::from_secs(seconds) + GRACE);
        // A failure is known before it is minimised, which is not waited for.
        simulation.kill()?;
        simulation.wait()?;
        Ok(fate)
    }

    /// Runs the tests of the present copy.
    fn test(&self) -> io::Result<Fate> {
        let tested = self.cargo().args(["test", "--lib"]).output()?;
        let said = String::from_utf8_lossy(&tested.stdout);
        let failed = said.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        match failed {
            Some(name) => Ok(Fate::Tested(name.trim_start_matches("engine::").to_owned())),
            None if tested.status.success() => Ok(Fate::Survived),
            None => Ok(Fate::Failed(String::from_utf8_lossy(&tested.stderr).into_owned())),
        }
    }

    /// With a target folder of its own. Only the engine changes between two builds, so parts of it are kept.
    fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", self.root.join("target")).env("CARGO_INCREMENTAL", "1");
        cargo
    }
}

/// The first result of the simulation.
fn watch(simulation: &mut Child, longest: Duration) -> Fate {
    let said = lines_of(simulation);
    let mut other = Vec::new();
    loop {
        match said.recv_timeout(longest) {
            Ok(line) => match caught(&line) {
                Some(fate) => return fate,
                None => other.push(line),
            },
            Err(RecvTimeoutError::Timeout) => return Fate::Hung,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    match simulation.wait() {
        Ok(status) if status.success() => Fate::Survived,
        Ok(status) => Fate::Failed(format!("{status}\n{}", other.join("\n"))),
        Err(error) => Fate::Failed(error.to_string()),
    }
}

fn lines_of(simulation: &mut Child) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let stderr = simulation.stderr.take().expect("it is piped");
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// `seed 42: G3: tracks: ...`
fn caught(line: &str) -> Option<Fate> {
    let (seed, what) = line.strip_prefix("seed ")?.split_once(": ")?;
    let (guarantee, _) = what.split_once(": ")?;
    Some(Fate::Caught { guarantee: guarantee.to_owned(), seed: seed.to_owned() })
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&path, &copy)?;
        } else {
            fs::copy(path, copy)?;
        }
    }
    Ok(())
}

/// The part of the project's manifest that the copy needs, with a profile of its own. It belongs to no workspace.
fn reduced(manifest: &str) -> String {
    let (mut section, mut text) = (String::new(), "[workspace]\n".to_owned());
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        }
        let is_section = SECTIONS.contains(&section.as_str());
        let name = line.split_once(" = ").map_or("", |(name, _)| name);
        if is_section && (section != "dependencies" || line.starts_with('[') || CRATES.contains(&name)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text + PROFILE
}
