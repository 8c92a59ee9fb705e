//! Where log lines go: into a buffer that a thread of its own empties, many lines with one system call.
//!
//! A turn that logs pays for a copy. Waking the thread for every line, or writing each on its own, would cost a turn
//! more than all its JSON.

use std::{
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

/// What may wait to be written. Beyond it lines are dropped, and counted: a full disk or a stopped terminal must not
/// stop the service.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// How long a line may wait for others to be written with.
const GATHER: Duration = Duration::from_millis(5);

/// How long the last lines may take to be written.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// How many lines were dropped since the start: a process has one log.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines of this process's log were dropped since its start, because nobody took them in time.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Relaxed)
}

/// Takes lines. Cloning gives the same buffer.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    /// The thread sleeps until it is told of the first line.
    asleep: bool,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is left when it is dropped.
pub struct LogGuard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        // A terminal that was stopped takes nothing; the service ends all the same.
        let until = Instant::now() + LAST_WRITE;
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A buffer whose lines are written to `sink`.
pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<(Lines, LogGuard)> {
    let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
    let writer = shared.clone();
    let thread = thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&writer, sink))?;
    Ok((Lines(shared.clone()), LogGuard { shared, thread: Some(thread) }))
}

fn write_all(shared: &Shared, mut sink: impl Write) {
    let mut batch = Vec::new();
    loop {
        let (dropped, closed) = {
            let mut state = shared.lock();
            while state.lines.is_empty() && !state.closed {
                state.asleep = true;
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.asleep = false;
            if !state.closed {
                // Only the end interrupts this: lines that come meanwhile are what is waited for.
                let gathered = shared.changed.wait_timeout_while(state, GATHER, |state| !state.closed);
                state = gathered.unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut batch, &mut state.lines);
            (std::mem::take(&mut state.dropped), state.closed)
        };
        // There is nowhere to tell of a log that cannot be written.
        let _ = sink.write_all(&batch);
        if dropped > 0 {
            let _ = writeln!(sink, r#"{{"level":"WARNING","message":"log lines were dropped","dropped":{dropped}}}"#);
        }
        let _ = sink.flush();
        batch.clear();
        if closed && shared.lock().lines.is_empty() {
            return;
        }
    }
}

impl Lines {
    /// Takes a line.
    pub(super) fn push(&self, line: &[u8]) {
        let asleep = {
            let mut state = self.0.lock();
            if state.lines.len() + line.len() > MOST_BYTES {
                state.dropped += 1;
                DROPPED.fetch_add(1, Relaxed);
            } else {
                state.lines.extend_from_slice(line);
            }
            std::mem::take(&mut state.asleep)
        };
        if asleep {
            self.0.changed.notify_one();
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            sink.0.extend_from_slice(bytes);
            sink.1 += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_once_and_whole_and_many_together() {
        let sink = Sink::default();
        let (lines, guard) = start(sink.clone()).expect("a thread");
        let threads = (0..4).map(|thread| {
            let mut lines = lines.clone();
            thread::spawn(move || (0..500).for_each(|line| writeln_one(&mut lines, &format!("{thread}:{line}\n"))))
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().expect("no panic"));
        drop(guard);
        let (written, writes) = sink.0.lock().expect("no panic").clone();
        let text = String::from_utf8(written).expect("UTF-8");
        for thread in 0..4 {
            let of_one: Vec<String> =
                text.lines().filter_map(|line| line.strip_prefix(&format!("{thread}:"))).map(str::to_owned).collect();
            assert_eq!(of_one, (0..500).map(|line| line.to_string()).collect::<Vec<_>>());
        }
        assert!(writes < 1000, "{writes} writes for 2,000 lines");
    }

    fn writeln_one(lines: &mut Lines, line: &str) {
        lines.write_all(line.as_bytes()).expect("the buffer takes it");
    }

    /// A disk that is full, or a terminal that was stopped.
    struct Stuck(Arc<Mutex<()>>, Sink);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_log_stops_nobody_and_says_how_much_it_lost() {
        let (gate, sink) = (Arc::new(Mutex::new(())), Sink::default());
        let held = gate.lock().expect("no panic");
        let (mut lines, guard) = start(Stuck(gate.clone(), sink.clone())).expect("a thread");
        let line = "x".repeat(64 * 1024) + "\n";
        (0..2 * MOST_BYTES / line.len() + 300).for_each(|_| writeln_one(&mut lines, &line));
        assert!(dropped_lines() > 0, "nobody would know of the lost lines");
        let began = Instant::now();
        drop(guard);
        assert!(began.elapsed() < 3 * LAST_WRITE, "the end waited for the log");
        drop(held);
        let all_written =
            || String::from_utf8_lossy(&sink.0.lock().expect("no panic").0).contains("lines were dropped");
        while !all_written() {
            assert!(began.elapsed() < 30 * LAST_WRITE, "the lost lines were never told");
            thread::sleep(Duration::from_millis(1));
        }
        let written = sink.0.lock().expect("no panic").0.clone();
        assert!(written.len() <= 2 * MOST_BYTES + 200, "{} bytes", written.len());
    }
}
