//! Programs that read segno's output: python3 with packages from PyPI, xmllint.

use super::needs;
use std::{
    env,
    path::Path,
    process::{Command, Output},
};

/// Runs a program on a file, and returns its output. `None`, with a notice, if it is not installed.
pub fn read_by(program: &str, args: &[&str], path: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).arg(path);
    if let Some(packages) = env::var_os("SEGNO_TEST_PYTHON").filter(|folder| !folder.is_empty()) {
        command.env("PYTHONPATH", packages);
    }
    let Ok(Output { status, stdout, stderr }) = command.output() else {
        needs::left_out(&format!("{program} is not installed"));
        return None;
    };
    assert!(status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&stderr));
    Some(String::from_utf8_lossy(&stdout).trim().to_owned())
}

/// The same with a Python program, which needs these packages.
pub fn python(packages: &[&str], program: &str, path: &Path) -> Option<String> {
    let find = format!("import importlib.util as i\nprint(all(map(i.find_spec, {packages:?})))");
    if read_by("python3", &["-c", &find], path)? != "True" {
        needs::left_out(&format!(
            "python3 finds no {}: tests/run installs them, or name their folder in SEGNO_TEST_PYTHON",
            packages.join(", ")
        ));
        return None;
    }
    read_by("python3", &["-c", program], path)
}
