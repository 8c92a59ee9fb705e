//! The archive in a real MariaDB: the port's promises, and what the port does not know of.

mod content;
mod faults;
mod python;
mod scene;
mod schema;

use std::sync::Arc;

use chat_domain::{conformance_tests, ports::health::HealthCheck, testing::conformance};
use chat_mysql::MySqlConfig;
use chat_test_support::{DeadPort, MariaDb};

use scene::{clock, config, open};

async fn history_subject() -> conformance::history::Subject {
    let database = MariaDb::shared().database();
    conformance::history::Subject::new(Arc::new(open(config(&database))), clock())
}

/// A well one, and one for each way in which a database can be away.
async fn health_subject() -> conformance::health::Subject {
    let database = MariaDb::shared().database();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dead = DeadPort::take();
    let well = config(&database);
    let at = |port| MySqlConfig { port, ..well.clone() };
    let unwell = [
        at(dead.address().port()),
        at(silent.local_addr().expect("bound").port()),
        MySqlConfig { password: Some("a wr0ng s3cret".into()), ..well.clone() },
        MySqlConfig { database: "not_there".into(), ..well.clone() },
    ];
    let check = |config| -> Arc<dyn HealthCheck> { Arc::new(open(config)) };
    conformance::health::Subject {
        unwell: unwell.into_iter().map(check).collect(),
        well: check(well),
        secrets: vec![MariaDb::shared().password().to_owned(), "a wr0ng s3cret".to_owned(), "mysql://".to_owned()],
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
