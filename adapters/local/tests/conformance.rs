//! The promises of the ports, kept by what needs no infrastructure.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chat_domain::{
    admission::BucketPolicy,
    conformance_tests,
    ports::{Clock, history::Spool},
    testing::conformance,
};
use chat_local::{
    bypass::LocalBypass,
    limits::LocalLimiter,
    sessions::{LocalSessions, SessionPolicy},
    spool::{DISK_BYTES, DiskSpool, MemorySpool},
    system::SystemClock,
};
use uuid::Uuid;

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn store(clock: &Arc<dyn Clock>, capacity: usize, ttl: Option<Duration>) -> Arc<LocalSessions> {
    Arc::new(LocalSessions::new(SessionPolicy { capacity, ttl }, clock.clone()))
}

async fn sessions_subject() -> conformance::sessions::Subject {
    let clock = clock();
    conformance::sessions::Subject::new(store(&clock, 100_000, None), clock)
}

async fn forgetful_subject() -> conformance::session_expiry::Subject {
    let (clock, idle) = (clock(), Duration::from_secs(60));
    conformance::session_expiry::Subject::new(store(&clock, 100_000, Some(idle)), clock, idle)
}

async fn small_subject() -> conformance::session_capacity::Subject {
    let clock = clock();
    let sessions = conformance::sessions::Subject::new(store(&clock, 3, None), clock);
    conformance::session_capacity::Subject { sessions, capacity: 3 }
}

async fn limiter_subject(policy: BucketPolicy) -> conformance::limits::Subject {
    let clock = clock();
    conformance::limits::Subject::new(Arc::new(LocalLimiter::new(policy, clock.clone())), clock)
}

async fn bypass_subject() -> conformance::bypass::Subject {
    conformance::bypass::Subject::new(Arc::new(LocalBypass::new()), clock())
}

conformance_tests!(
    #[tokio::test(start_paused = true)]
    sessions,
    sessions_subject
);
conformance_tests!(
    #[tokio::test(start_paused = true)]
    session_expiry,
    forgetful_subject
);
conformance_tests!(
    #[tokio::test(start_paused = true)]
    session_capacity,
    small_subject
);
conformance_tests!(
    #[tokio::test(start_paused = true)]
    limits,
    limiter_subject
);
conformance_tests!(
    #[tokio::test(start_paused = true)]
    bypass,
    bypass_subject
);

/// The same store with real time and real threads.
mod at_once {
    use super::*;

    conformance_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        sessions,
        sessions_subject
    );
}

mod memory_spool {
    use super::*;

    async fn subject() -> conformance::spool::Subject {
        conformance::spool::Subject::new(Arc::new(MemorySpool::new(64 * 1024)), clock())
    }

    conformance_tests!(spool, subject);
}

mod disk_spool {
    use super::*;

    /// A directory that is gone after the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("chat-local-{}", Uuid::now_v7())))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    async fn subject() -> conformance::spool::Subject {
        let scratch = Scratch::new();
        let spool = DiskSpool::open(&scratch.0, 64 * 1024).await.expect("a spool");
        conformance::spool::Subject::new(Arc::new(spool), clock()).holding(scratch)
    }

    async fn durable_subject() -> conformance::durable_spool::Subject {
        let scratch = Scratch::new();
        let (root, damaged) = (scratch.0.clone(), scratch.0.clone());
        conformance::durable_spool::Subject {
            open: Box::new(move || {
                let root = root.clone();
                Box::pin(async move {
                    let spool: Arc<dyn Spool> = Arc::new(DiskSpool::open(root, DISK_BYTES).await.expect("a spool"));
                    spool
                })
            }),
            damage: Box::new(move |id| {
                let processes = std::fs::read_dir(&damaged).expect("a directory");
                let records = processes.flat_map(|process| std::fs::read_dir(process.expect("an entry").path()));
                let record = records
                    .flatten()
                    .map(|record| record.expect("an entry").path())
                    .find(|path| path.to_string_lossy().contains(&format!("{:020}-", id.0)))
                    .expect("the record");
                let half = std::fs::read(&record).expect("readable").len() / 2;
                let file = std::fs::OpenOptions::new().write(true).open(record).expect("writable");
                file.set_len(half as u64).expect("cut");
            }),
            held: Box::new(scratch),
        }
    }

    conformance_tests!(spool, subject);
    conformance_tests!(durable_spool, durable_subject);
}
