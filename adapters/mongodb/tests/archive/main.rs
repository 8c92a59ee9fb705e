//! The archive in a server that speaks MongoDB's protocol: the port's promises, and what the port does not know of.

mod content;
mod faults;
mod indexes;
mod python;
mod scene;

use std::sync::Arc;

use chat_domain::{conformance_tests, ports::health::HealthCheck, testing::conformance};
use chat_mongodb::MongoDbConfig;
use chat_test_support::DeadPort;

use scene::{clock, config, open};

async fn history_subject() -> conformance::history::Subject {
    conformance::history::Subject::new(Arc::new(open(config())), clock())
}

/// A well one, and one for each way in which a deployment can be away.
async fn health_subject() -> conformance::health::Subject {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dead = DeadPort::take();
    let at = |address| -> Arc<dyn HealthCheck> {
        let uri = format!("mongodb://tester:s3cret@{address}/");
        Arc::new(open(MongoDbConfig { uri: uri.into(), ..config() }))
    };
    conformance::health::Subject {
        unwell: vec![at(dead.address()), at(silent.local_addr().expect("bound"))],
        well: Arc::new(open(config())),
        secrets: vec!["s3cret".to_owned(), "mongodb://".to_owned()],
        clock: clock(),
        held: Box::new((silent, dead)),
    }
}

conformance_tests!(history, history_subject);
conformance_tests!(health, health_subject);

/// The same with real threads.
mod at_once {
    use super::*;

    conformance_tests!(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        history,
        history_subject
    );
}
