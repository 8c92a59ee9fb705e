//! The archive in a server that speaks MongoDB's protocol: the port's promises, and what the port does not know of.

mod content;
mod faults;
mod indexes;
mod python;
mod scene;

use std::sync::Arc;

use chat_domain::{conformance_tests, testing::conformance};
use scene::{clock, config, open};

async fn history_subject() -> conformance::history::Subject {
    conformance::history::Subject::new(Arc::new(open(config())), clock())
}

conformance_tests!(history, history_subject);

/// The same with real threads.
mod at_once {
    use super::*;

    conformance_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        history,
        history_subject
    );
}
