//! What an operator is told of a Redis that is away.

use std::time::Duration;

use chat_domain::ports::health::{HealthCheck, HealthState};
use chat_test_support::{RedisServer, assert_eventually};

use crate::{
    faults::{is_unavailable, is_well_again},
    scene::{clock, connecting, prefix, replica, sessions},
};

/// Not since somebody asked, and not only that there is no connection.
#[tokio::test]
async fn health_tells_why_redis_is_away_and_since_when() {
    let server = RedisServer::start();
    let redis = replica(&server.url(), &prefix()).await;
    let (store, health) = (sessions(&redis), redis.health());
    assert_eq!(health.check().await.state, HealthState::Up);
    server.kill();
    is_unavailable(&store).await;
    let noticed = clock().now();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let told = health.check().await;
    assert_eq!(told.state, HealthState::Down);
    assert!(told.since.is_some_and(|since| since <= noticed), "{told:?}, noticed at {noticed}");
    server.restart();
    is_well_again(&store).await;
    assert_eq!(health.check().await.state, HealthState::Up);

    server.kill();
    let health = connecting(&server.url(), &prefix()).await.health();
    let told = async || health.check().await.last_error.expect("why");
    assert_eventually!(told().await.contains("refused"), Duration::from_secs(10));
    assert!(told().await.starts_with("Redis cannot be reached: "), "{}", told().await);
    server.restart();
    let wrong = server.url().replacen("redis://", "redis://nobody:mistaken@", 1);
    let health = connecting(&wrong, &prefix()).await.health();
    let told = async || health.check().await.last_error.expect("why");
    assert_eventually!(&*told().await == "Redis refuses the credentials", Duration::from_secs(10));
}
