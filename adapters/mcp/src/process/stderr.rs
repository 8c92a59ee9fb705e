//! A child's stderr.

use std::io;

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader},
    process::ChildStderr,
};
use tokio_util::task::AbortOnDropHandle;

use super::Start;

/// Where a line is cut in the log, in characters.
const LINE_MAX: usize = 2048;

/// So much of a line is read before its secrets are taken out and it is cut, in bytes: a secret at the cut is whole.
const LINE_READ: u64 = 64 * 1024;

/// Reads a child's stderr, wanted or not: a child that nobody reads from stops at 64 KiB.
pub(crate) struct Stderr(AbortOnDropHandle<()>);

impl Stderr {
    #[expect(clippy::disallowed_methods, reason = "reads until the child ends or is given up, beside all requests")]
    pub(crate) fn read(stderr: ChildStderr, start: &Start<'_>, log: bool) -> Self {
        let server = start.server.to_owned();
        let transport = start.transport.clone();
        Self(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut reader = BufReader::new(stderr);
            if !log {
                let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
                return;
            }
            while let Ok(Some(line)) = line(&mut reader).await {
                let text = transport.redact(String::from_utf8_lossy(&line).trim_end(), LINE_MAX);
                if !text.is_empty() {
                    tracing::info!(event = "mcp_stderr", server = %server, line = %text, "stderr of an MCP server");
                }
            }
        })))
    }

    /// Resolves when all has been read.
    pub(crate) async fn end(&mut self) {
        if !self.0.is_finished() {
            let _ = (&mut self.0).await;
        }
    }
}

/// A line, or as much of it as is read; the rest of it is passed over.
async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if (&mut *reader).take(LINE_READ).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    let mut ended = line.ends_with(b"\n");
    while !ended {
        let rest = reader.fill_buf().await?;
        let end = rest.iter().position(|&byte| byte == b'\n');
        ended = rest.is_empty() || end.is_some();
        let passed = end.map_or(rest.len(), |end| end + 1);
        reader.consume(passed);
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_line_is_one_line() {
        let long = [&b"a".repeat(200_000)[..], b"\nb\n\nend"].concat();
        let mut reader = BufReader::new(&long[..]);
        let mut lengths = Vec::new();
        while let Some(line) = line(&mut reader).await.expect("it is in memory") {
            lengths.push(line.len());
        }
        assert_eq!(lengths, [64 * 1024, 2, 1, 3]);
    }
}
