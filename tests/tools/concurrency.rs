//! Many turns at once.

use std::time::Instant;

use chat_test_support::{assert_eventually, mcp::Servers};
use tokio::task::JoinSet;

use crate::scene::{AT_ONCE, SOON, Scene};

const TURNS: usize = 64;

#[tokio::test]
async fn tools_of_sixty_four_sessions_run_at_once_and_slow_nobody_else() {
    let all = TURNS.to_string();
    let servers =
        Servers::new().scripted("hall", &["--only", "meet", "--meeting", &all]).scripted("quick", &["--only", "echo"]);
    let scene = Scene::of(&servers).await;
    scene.ask("/quick_echo {}").await;
    let mut turns = JoinSet::new();
    let mut meet = || {
        let client = scene.client.clone();
        turns.spawn(async move {
            let session = client.create_session().await;
            client.say(&session, "/hall_meet {}").await.expect(200).content().to_owned()
        });
    };
    (1..TURNS).for_each(|_| meet());
    // All but one are inside, and wait for that one.
    assert_eventually!(scene.journal("hall", "call meet").len() == TURNS - 1, SOON);
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(scene.ask("/quick_echo {\"text\": \"quick\"}").await.content(), "quick");
    }
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    meet();
    let said = tokio::time::timeout(SOON, turns.join_all()).await.expect("they have met");
    assert_eq!(said, vec!["met"; TURNS]);
}

#[tokio::test]
async fn a_session_waits_for_its_own_tools_and_for_no_other_sessions() {
    let servers = Servers::new().scripted("one", &["--only", "slow,echo"]);
    let scene = Scene::of(&servers).await;
    let [busy, free] = [scene.client.create_session().await, scene.client.create_session().await];
    let first = scene.client.say(&busy, "/one_slow {\"until\": \"go-on\"}");
    let second = async {
        assert_eventually!(scene.journal("one", "call slow").len() == 1, SOON);
        let second = scene.client.say(&busy, "/one_echo {\"text\": \"second\"}");
        let other = async {
            let other = scene.client.say(&free, "/one_echo {\"text\": \"other\"}").await.expect(200);
            assert_eq!(other.content(), "other");
            assert_eq!(scene.journal("one", "call echo").len(), 1, "the other session's");
            scene.touch("go-on");
        };
        tokio::join!(second, other).0
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.expect(200).content(), second.expect(200).content()), ("at last", "second"));
}
