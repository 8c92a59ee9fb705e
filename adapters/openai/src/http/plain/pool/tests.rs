use std::net;

use tokio::{io::AsyncReadExt, net::TcpListener};

use super::*;
use crate::http::connect::Proxies;

/// A host and a pool of connections to it.
async fn scene() -> (TcpListener, Arc<Pool>) {
    let host = TcpListener::bind((net::Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let to = format!("http://{}/", host.local_addr().expect("an address")).parse().expect("a URL");
    (host, Arc::new(Pool::new(Reach::new(Arc::new(Proxies::none())), to)))
}

/// A new connection, and the host's end of it.
async fn connected(host: &TcpListener, pool: &Pool) -> (TcpStream, TcpStream) {
    let connection = pool.take().await.expect("a connection");
    assert!(!connection.was_kept);
    (connection.tcp, host.accept().await.expect("a client").0)
}

/// Resolves when the other end has been closed.
async fn is_closed(mut end: TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(10), end.read_u8()).await;
    read.is_ok_and(|read| read.is_err())
}

fn kept(pool: &Pool) -> usize {
    pool.idle().connections.len()
}

#[tokio::test]
async fn the_one_used_last_is_used_next_unless_the_host_has_closed_it_or_said_something() {
    let (host, pool) = scene().await;
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(connected(&host, &pool).await);
    }
    let mut ports = Vec::new();
    let mut hosts = Vec::new();
    for (tcp, end) in ends {
        ports.push(tcp.local_addr().expect("an address"));
        hosts.push(end);
        pool.give_back(tcp);
    }
    hosts[1].try_write(b"HTTP/1.1 408 Request Timeout\r\n\r\n").expect("room for it");
    drop(hosts.pop());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let connection = pool.take().await.expect("a connection");
    assert!(connection.was_kept);
    assert_eq!(connection.tcp.local_addr().expect("an address"), ports[0]);
    assert_eq!(kept(&pool), 0);
}

#[tokio::test]
async fn what_nobody_needs_is_closed() {
    let (host, pool) = scene().await;
    let (tcp, end) = connected(&host, &pool).await;
    let (other, closing) = connected(&host, &pool).await;
    tokio::time::pause();
    pool.give_back(tcp);
    pool.give_back(other);
    // Its own end stays until somebody looks.
    drop(closing);
    while kept(&pool) > 1 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    while kept(&pool) > 0 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert!(began.elapsed() <= IDLE_TIMEOUT + SWEEP + Duration::from_secs(1));
    tokio::time::resume();
    assert!(is_closed(end).await);
    assert!(!pool.idle().is_swept, "the next one to be given back has to start the sweeping anew");
}

#[tokio::test]
async fn no_connection_is_used_that_has_been_idle_for_too_long() {
    let (host, pool) = scene().await;
    let (tcp, end) = connected(&host, &pool).await;
    tokio::time::pause();
    // As if nothing swept.
    pool.idle().is_swept = true;
    pool.give_back(tcp);
    tokio::time::advance(IDLE_TIMEOUT).await;
    tokio::time::resume();
    assert!(!pool.take().await.expect("a connection").was_kept);
    assert!(is_closed(end).await);
}

#[tokio::test]
async fn no_more_are_kept_than_the_bound_allows() {
    let (host, pool) = scene().await;
    let mut ends = Vec::new();
    for _ in 0..=MOST_IDLE {
        ends.push(connected(&host, &pool).await);
    }
    let hosts: Vec<TcpStream> = ends
        .into_iter()
        .map(|(tcp, end)| {
            pool.give_back(tcp);
            end
        })
        .collect();
    assert_eq!(kept(&pool), MOST_IDLE);
    assert!(is_closed(hosts.into_iter().next_back().expect("the last one")).await);
}
