//! Figures, printed by hand: `cargo test --release -p chat-openai --test backend bench -- --ignored --nocapture`.

use std::time::Instant;

use chat_domain::ports::llm::Delivery;
use chat_openai::{HttpClient, ModelChoice, OpenAiConfig, OpenAiLlm};
use chat_test_support::{Reply, Upstream};

use crate::{ask, clock, llm};

#[test]
#[ignore = "prints figures, proves nothing"]
fn the_cost_of_a_start() {
    for base_url in ["http://localhost/v1", "https://localhost/v1"] {
        let start = Instant::now();
        let config = OpenAiConfig::new(base_url, ModelChoice::Default("m".into()));
        let llm = OpenAiLlm::new(config, &HttpClient::new(), clock());
        println!("{base_url}: {:?} ({})", start.elapsed(), llm.is_ok());
    }
}

#[tokio::test]
#[ignore = "prints figures, proves nothing"]
async fn the_cost_of_a_call() {
    const CALLS: u32 = 2000;
    let upstream = Upstream::answering(|_| Reply::stream(vec!["token "; 100])).await;
    let llm = llm(&upstream);
    for delivery in [Delivery::Whole, Delivery::Streamed] {
        let start = Instant::now();
        for _ in 0..CALLS {
            ask(&llm, delivery).await.expect("an answer");
        }
        println!("{delivery:?}: {:?} a call, upstream included", start.elapsed() / CALLS);
    }
}
