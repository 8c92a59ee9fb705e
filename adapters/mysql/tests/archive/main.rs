//! The archive in a real MariaDB: the port's promises, and what the port does not know of.

mod content;
mod faults;
mod marks;
mod python;
mod scene;
mod schema;

use std::sync::Arc;

use chat_domain::{conformance_tests, testing::conformance};
use chat_test_support::MariaDb;

use scene::{clock, config, open};

async fn history_subject() -> conformance::history::Subject {
    let database = MariaDb::shared().database();
    conformance::history::Subject::new(Arc::new(open(config(&database))), clock())
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
