//! The least that poem and reqwest can do: hand the body on, and the answer back.

use std::io;
use std::net::SocketAddr;

use futures_util::TryStreamExt;
use poem::endpoint::make;
use poem::error::{BadGateway, BadRequest};
use poem::http::header::CONTENT_TYPE;
use poem::listener::{Acceptor, TcpAcceptor};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, Request, Response, Server};
use tokio::net::TcpStream;

use super::{listen, parent_gone};
use crate::Failure;

/// Runs until the parent is gone.
pub(crate) fn run(upstream: SocketAddr) -> Result<(), Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let acceptor = NoDelay(TcpAcceptor::from_tokio(listen().await?)?);
        let client = reqwest::Client::builder().no_proxy().build()?;
        let app = make(move |request| pass(client.clone(), upstream, request));
        tokio::select! {
            ended = Server::new_with_acceptor(acceptor).run(app) => Ok(ended?),
            () = parent_gone() => Ok(()),
        }
    })
}

async fn pass(client: reqwest::Client, upstream: SocketAddr, mut request: Request) -> poem::Result<Response> {
    let body = request.take_body().into_bytes().await.map_err(BadRequest)?;
    let url = format!("http://{upstream}{}", request.uri().path());
    let mut passed = client.post(url).body(body);
    if let Some(content_type) = request.headers().get(CONTENT_TYPE) {
        passed = passed.header(CONTENT_TYPE, content_type);
    }
    let answer = passed.send().await.map_err(BadGateway)?;
    let mut response = Response::builder().status(answer.status());
    if let Some(content_type) = answer.headers().get(CONTENT_TYPE) {
        response = response.header(CONTENT_TYPE, content_type);
    }
    let answer = answer.bytes_stream().map_err(io::Error::other);
    Ok(response.body(Body::from_bytes_stream(answer)))
}

/// poem leaves Nagle's algorithm on, and a stream would be stalled by it.
struct NoDelay(TcpAcceptor);

impl Acceptor for NoDelay {
    type Io = TcpStream;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.0.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, poem::http::uri::Scheme)> {
        let accepted = self.0.accept().await?;
        accepted.0.set_nodelay(true)?;
        Ok(accepted)
    }
}
