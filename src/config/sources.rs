//! Where values come from: the file and the environment, each value kept with its place of origin.

use super::{
    Dirs,
    error::{ConfigError, Problem},
    settings::{self, Setting},
    trust::{self, Distrust, Opened},
    values::{self, Value},
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// Name of the file if the command line names none.
pub const FILE_NAME: &str = "segno.toml";

/// Longest file that is read; a real one has a few dozen lines.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Variables of the test and simulation harness.
const ENV_PREFIXES_OF_TESTS: [&str; 4] = ["SEGNO_TEST_", "SEGNO_REQUIRE_", "SEGNO_SIMULATION_", "SEGNO_FAULT"];

/// The file's text, and its name as messages give it.
#[derive(Debug)]
pub struct FileText {
    pub name: PathBuf,
    pub text: String,
    pub is_readable_by_others: bool,
}

/// Everything that was given, by setting, with its problems.
#[derive(Debug, Default)]
pub struct Given {
    file: BTreeMap<Setting, (String, Value)>,
    env: BTreeMap<Setting, (String, Value)>,
    pub problems: Vec<Problem>,
    /// Problems that do not prevent a start.
    pub warnings: Vec<String>,
}

/// Finds and reads the file. Only one given by name must exist, and be readable. One found in a default place counts only
/// if it is the person's own: in the working directory, which may belong to anybody, another one is skipped with a
/// warning. So is one that this user may not read.
pub fn find_file(
    cli_path: Option<&Path>,
    cwd: &Path,
    dirs: &Dirs,
    warnings: &mut Vec<String>,
) -> Result<Option<FileText>, ConfigError> {
    if let Some(path) = cli_path {
        return match trust::open_named(&cwd.join(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ConfigError::Missing(path.to_owned())),
            Ok(None) => Err(ConfigError::NotAFile(path.to_owned())),
            Ok(Some(opened)) => text_of(path, Ok(opened)).map(Some),
            Err(error) => text_of(path, Err(error)).map(Some),
        };
    }
    let in_cwd = Some((PathBuf::from(FILE_NAME), cwd.join(FILE_NAME), true));
    let in_config_folder = dirs.config.as_ref().map(|folder| (folder.join(FILE_NAME), folder.join(FILE_NAME), false));
    for (name, path, is_anybodys) in in_cwd.into_iter().chain(in_config_folder) {
        match trust::open(&path) {
            // NotADirectory: a home folder such as /dev/null.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Ok(Err(distrust)) => {
                let (why, what_to_do) = distrust.words(&name);
                if !is_anybodys || distrust == Distrust::Writable {
                    return Err(ConfigError::Distrusted { path: name, why, what_to_do });
                }
                let name = name.display();
                warnings.push(format!("the file {name} in the working directory {why} and is ignored; {what_to_do}"));
            }
            Ok(Ok(opened)) => return text_of(&name, Ok(opened)).map(Some),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let name = name.display();
                warnings.push(format!(
                    "the file {name} may not be read by this user ({error}) and is ignored; make it readable, or name \
                     another with --config"
                ));
            }
            Err(error) => return text_of(&name, Err(error)).map(Some),
        }
    }
    Ok(None)
}

impl Given {
    /// Takes in the file: known keys with their lines, everything else as a problem.
    pub fn add_file(&mut self, file: &FileText) {
        let name = file.name.display();
        let place = |span: Range<usize>| format!("{name}:{}", line_at(file.text.as_bytes(), span.start));
        let document = match DeTable::parse(&file.text) {
            Ok(document) => document.into_inner(),
            Err(error) => {
                let origin = error.span().map_or_else(|| name.to_string(), place);
                self.problems.push(Problem { origin, message: error.message().replace('\n', ", ") });
                return;
            }
        };
        for (table, entries) in &document {
            let origin = format!("{}: {}", place(table.span()), values::key(table.get_ref()));
            let known = Setting::keys_of(table.get_ref());
            if known.is_empty() {
                let message = format!("unknown table, expected one of {}", Setting::tables().join(", "));
                self.problems.push(Problem { origin, message });
                continue;
            }
            self.add_table(table.get_ref(), origin, entries.get_ref(), &place);
        }
        if let Some((origin, Value::Text(url))) = self.file.get(&Setting::DatabaseUrl)
            && file.is_readable_by_others
            && values::has_password(url)
        {
            self.warnings.push(format!("{origin}: others may read the password in this file; run: chmod go-r {name}"));
        }
    }

    /// Takes in one table, and the tables inside it. `path` is its name in messages and settings.
    fn add_table(&mut self, path: &str, origin: String, entries: &DeValue<'_>, place: &dyn Fn(Range<usize>) -> String) {
        let known = Setting::keys_of(path);
        let DeValue::Table(entries) = entries else {
            let message = format!("must be a table with keys out of {}", known.join(", "));
            self.problems.push(Problem { origin, message });
            return;
        };
        for (key, value) in entries {
            let inner = format!("{path}.{}", key.get_ref());
            let origin = format!("{}: {path}.{}", place(key.span()), values::key(key.get_ref()));
            if let Some(setting) = Setting::by_key(&inner) {
                self.file.insert(setting, (origin, Value::from_toml(value.get_ref())));
                continue;
            }
            if !Setting::keys_of(&inner).is_empty() {
                self.add_table(&inner, origin, value.get_ref(), place);
                continue;
            }
            let message = match Setting::env_only(&inner) {
                Some(setting) => format!("may only be given in the environment, as {}", setting.env()),
                None => format!("unknown key, expected one of {}", known.join(", ")),
            };
            self.problems.push(Problem { origin, message });
        }
    }

    /// Takes in the variables of this program and ignores all others.
    pub fn add_env<K, V>(&mut self, env: impl IntoIterator<Item = (K, V)>)
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut unknown = Vec::new();
        for (name, value) in env {
            let (name, value): (OsString, OsString) = (name.into(), value.into());
            let name = name.to_string_lossy();
            if !name.starts_with(settings::ENV_PREFIX) {
                continue;
            }
            let Some(setting) = Setting::by_env(&name) else {
                if !is_foreign(&name, &value.to_string_lossy()) {
                    unknown.push(name.into_owned());
                }
                continue;
            };
            let origin = setting.env().to_owned();
            match value.into_string() {
                Ok(text) => {
                    self.env.insert(setting, (origin, Value::Untyped(text)));
                }
                Err(_) => self.problems.push(Problem { origin, message: "the value is not UTF-8 text".into() }),
            }
        }
        // The environment has no meaningful order.
        unknown.sort();
        for name in unknown {
            let message = match nearest(&name) {
                Some(known) => format!("unknown variable; did you mean {known}?"),
                None => {
                    let known: Vec<_> = Setting::ALL.iter().map(|setting| setting.env()).collect();
                    format!("unknown variable, expected one of {}", known.join(", "))
                }
            };
            self.problems.push(Problem { origin: values::key(&name), message });
        }
    }

    /// Reads a setting that may be left out: `Some(None)`. `None` means that it was given and is wrong.
    pub fn optional<T>(&mut self, setting: Setting, parse: impl Fn(&Value) -> Result<T, String>) -> Option<Option<T>> {
        let default = setting.default().map(|text| (setting.names(), Value::Untyped(text.to_owned())));
        // A value in the file is checked even if the environment overrides it: one day it may not.
        let given = [default, self.file.remove(&setting), self.env.remove(&setting)];
        let mut result = Some(None);
        for (origin, value) in given.into_iter().flatten() {
            match parse(&value) {
                Ok(parsed) => result = result.map(|_| Some(parsed)),
                Err(allowed) => {
                    let message = format!("{} is not {allowed}", value.shown(setting));
                    self.problems.push(Problem { origin, message });
                    result = None;
                }
            }
        }
        result
    }

    /// Where the effective value was written, until it is read; both names if it is not given.
    pub fn origin(&self, setting: Setting) -> String {
        let given = self.env.get(&setting).or_else(|| self.file.get(&setting));
        given.map_or_else(|| setting.names(), |(origin, _)| origin.clone())
    }

    /// Reads a setting that has a default in the table.
    pub fn required<T>(&mut self, setting: Setting, parse: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        debug_assert!(setting.default().is_some(), "{} has no default", setting.env());
        self.optional(setting, parse).flatten()
    }
}

/// Set by others: by the test harness, or by Kubernetes for a service that is called `segno`.
fn is_foreign(name: &str, value: &str) -> bool {
    ENV_PREFIXES_OF_TESTS.iter().any(|prefix| name.starts_with(prefix))
        || name.starts_with("SEGNO_SERVICE_")
        || name.starts_with("SEGNO_PORT_")
        || (name == "SEGNO_PORT" && value.contains("://"))
}

fn text_of(name: &Path, opened: io::Result<Opened>) -> Result<FileText, ConfigError> {
    let path = name.to_owned();
    let read = opened.and_then(|Opened { file, is_readable_by_others }| {
        let mut bytes = Vec::new();
        file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)?;
        Ok((bytes, is_readable_by_others))
    });
    let (bytes, is_readable_by_others) = match read {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Err(ConfigError::Directory(path)),
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(ConfigError::TooLarge { path, limit: FILE_LEN_MAX });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(FileText { name: path, text, is_readable_by_others }),
        Err(error) => {
            let line = line_at(error.as_bytes(), error.utf8_error().valid_up_to());
            Err(ConfigError::NotText { path, line })
        }
    }
}

/// The line, counted from one, that holds the byte at `offset`.
fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// The known variable that `name` is most likely a misspelling of, or whose key in the file it is.
fn nearest(name: &str) -> Option<&'static str> {
    let by_either_name = |setting: &Setting| {
        let by_key = setting.key().map(|key| distance(name, &settings::env_name(key)));
        (by_key.unwrap_or(usize::MAX).min(distance(name, setting.env())), setting.env())
    };
    // The prefix is common to all, so it does not count.
    let len = name.len() - settings::ENV_PREFIX.len();
    Setting::ALL.iter().map(by_either_name).min().filter(|(distance, _)| distance * 2 <= len).map(|(_, env)| env)
}

/// Levenshtein distance: how many letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
