//! nginx as it is commonly set up in front of an API: two workers, keep-alive on both sides.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::process::Process;

/// It starts within milliseconds; a port that was taken meanwhile shows at once as well.
const START: Duration = Duration::from_secs(5);

/// Starts it in front of the upstream, with all its files in one folder.
pub(crate) fn start(folder: &Path, upstream: SocketAddr) -> Result<(Process, SocketAddr), Failure> {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        return Err("nginx is what the service is measured by, and is not installed: \
            apt-get install nginx-light"
            .into());
    }
    // nginx cannot pick a free port by itself.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(folder, address, upstream))?;
    let mut nginx = Process::start(
        Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(&file)
            .args(["-g", "daemon off;"])
            .stdin(Stdio::null())
            // Before it has read its configuration, it complains of a log it may not write.
            .stderr(Stdio::null()),
    )?;
    let deadline = Instant::now() + START;
    while TcpStream::connect(address).is_err() {
        let log = || fs::read_to_string(folder.join("error.log")).unwrap_or_default();
        nginx.check_running().map_err(|error| format!("nginx {error}: {}", log()))?;
        if Instant::now() > deadline {
            return Err(format!("nginx does not listen: {}", log()).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((nginx, address))
}

fn configuration(folder: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {folder}/{name};\n"))
        .concat();
    format!(
        "worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
{temporary}    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    upstream llm {{
        server {upstream};
        keepalive 128;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://llm;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}
