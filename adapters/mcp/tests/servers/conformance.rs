//! The port's promises, over a child.

use chat_domain::{conformance_tests, testing::conformance::tools::Subject};
use chat_test_support::TempDir;

use crate::scene::{RESULT_MAX, Scene, config, entries, scripted};

async fn over_stdio() -> Subject {
    let folder = TempDir::new();
    let journal = folder.path().join("journal");
    let server = scripted("scripted", &["--journal", &journal.display().to_string()]);
    let scene = Scene::within(folder, config(vec![server]));
    let tools = scene.tools.clone();
    chat_domain::ports::tools::ToolPort::started(&*tools, scene.clock.moment().plus(crate::scene::PATIENCE)).await;
    Subject {
        port: tools,
        clock: scene.clock.clone(),
        result_max: RESULT_MAX,
        cancelled: Box::new(move || entries(&journal, "cancelled").len()),
        held: Box::new(scene),
    }
}

conformance_tests!(
    #[tokio::test(flavor = "multi_thread")]
    tools,
    over_stdio
);
