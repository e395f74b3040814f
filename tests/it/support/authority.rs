//! A certificate authority of the test's own, made by openssl: what the operating system does not trust by itself.

use super::needs;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

pub struct Authority {
    folder: TempDir,
}

impl Authority {
    /// `None`, and a word of it, where openssl is not installed.
    pub fn new() -> Option<Authority> {
        if !needs::has("openssl") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let may = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
        let made = ["-x509", "-days", "2", "-keyout", "authority.key", "-out", "authority.pem"];
        openssl(folder.path(), &[&["req"], &made[..], &KEY, &["-subj", "/CN=an authority"], &may].concat());
        Some(Authority { folder })
    }

    /// What `SSL_CERT_FILE` takes.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A certificate of a server of this name, and its key.
    pub fn certify(&self, name: &str) -> [PathBuf; 2] {
        let folder = self.folder.path();
        let [certificate, key, wish, more] = ["pem", "key", "csr", "ext"].map(|kind| format!("{name}.{kind}"));
        openssl(
            folder,
            &[&["req", "-keyout", &key, "-out", &wish, "-subj", &format!("/CN={name}")], &KEY[..]].concat(),
        );
        let says = format!("subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n");
        fs::write(folder.join(&more), says).expect("a file");
        let by = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2"];
        let signed = ["x509", "-req", "-in", &wish, "-out", &certificate, "-extfile", &more];
        openssl(folder, &[&signed[..], &by].concat());
        [folder.join(certificate), folder.join(key)]
    }
}

/// A key that is made along.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

fn openssl(folder: &Path, args: &[&str]) {
    let ended = Command::new("openssl").args(args).current_dir(folder).output().expect("openssl runs");
    assert!(ended.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
}
