//! The stand-in API in a process of its own.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

pub struct Sandbox {
    child: Child,
    /// The settings with which segno reads from it.
    pub env: BTreeMap<String, String>,
}

impl Sandbox {
    /// `segno sandbox` with these arguments.
    pub fn start<Arg: AsRef<OsStr>>(args: impl IntoIterator<Item = Arg>) -> Sandbox {
        let mut child = Command::new(env!("CARGO_BIN_EXE_segno"))
            .args(["sandbox", "--no-odd-rows"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines().take(4);
        let pair = |line: std::io::Result<String>| {
            line.expect("text").split_once('=').map(|(name, value)| (name.into(), value.into()))
        };
        Sandbox { child, env: lines.filter_map(pair).collect() }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
