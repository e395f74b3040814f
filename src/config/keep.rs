//! Keeps one setting in a file: the rest of it stays as the person wrote it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Writes the application's id into the settings file, which is created for this person alone if it does not exist. The
/// file is replaced in one step.
pub fn keep_client_id(file: &Path, client_id: &str) -> io::Result<()> {
    let before = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let new = file.with_extension("toml.new");
    // Left behind by a process that was killed.
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut written = options.open(&new)?;
    written.write_all(with_client_id(&before, client_id).as_bytes())?;
    written.sync_all()?;
    fs::rename(&new, file)
}

/// The text with the id in the table `[spotify]`, which is added if it is missing.
fn with_client_id(text: &str, client_id: &str) -> String {
    let line = format!("client_id = \"{client_id}\"\n");
    let mut end = 0;
    for one in text.split_inclusive('\n') {
        end += one.len();
        let name = one.split('#').next().unwrap_or_default().trim();
        if name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).is_some_and(|name| name.trim() == "spotify") {
            let (head, tail) = text.split_at(end);
            let head_ends = if head.ends_with('\n') { "" } else { "\n" };
            return format!("{head}{head_ends}{line}{tail}");
        }
    }
    let between = match text {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    format!("{text}{between}[spotify]\n{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "client_id = \"0a\"\n";

    #[test]
    fn the_rest_of_the_file_stays_as_it_was() {
        for (before, after) in [
            (String::new(), format!("[spotify]\n{LINE}")),
            ("[log]\nfilter = \"warn\"".into(), format!("[log]\nfilter = \"warn\"\n\n[spotify]\n{LINE}")),
            ("# mine\n[log]\n".into(), format!("# mine\n[log]\n\n[spotify]\n{LINE}")),
            (
                "[ spotify ] # ours\ntimeout = \"5s\"\n[log]\n".into(),
                format!("[ spotify ] # ours\n{LINE}timeout = \"5s\"\n[log]\n"),
            ),
            ("[spotify]".into(), format!("[spotify]\n{LINE}")),
        ] {
            let text = with_client_id(&before, "0a");
            assert_eq!(text, after);
            assert!(toml::de::DeTable::parse(&text).is_ok(), "{text}");
        }
    }
}
