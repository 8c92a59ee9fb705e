//! Certificates for 127.0.0.1 that are good for a day.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a Redis in the folder of its certificate is told.
pub(super) const OPTIONS: [&str; 6] =
    ["--tls-cert-file", "server.crt", "--tls-key-file", "server.key", "--tls-auth-clients", "no"];

/// Makes a server's certificate and the root that vouches for it, whose file it returns.
pub(super) fn make(folder: &Path) -> PathBuf {
    openssl(folder, "root", &["-subj", "/CN=Root of a test"]);
    let name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
    let by = ["-CA", "root.crt", "-CAkey", "root.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(folder, "server", &[&name[..], &by].concat());
    folder.join("root.crt")
}

fn openssl(folder: &Path, name: &str, options: &[&str]) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["req", "-x509", "-days", "1", "-newkey", "ec", "-nodes"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
    let output = command.args(options).output().expect("openssl is missing: apt-get install openssl");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
