//! A transport whose end can be seen, and that ends when a server asks on and never reads the answers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rmcp::{
    RoleClient,
    model::JsonRpcMessage,
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use tokio_util::sync::CancellationToken;

/// Answers on their way to a server, at most: the library makes a task of each, as many as it is asked for.
const MOST_ANSWERS: usize = 64;

/// What others see of a transport.
#[derive(Clone, Default)]
pub(crate) struct Line {
    /// Cancelled when nothing more will be received.
    pub(crate) closed: CancellationToken,
    flooded: Arc<AtomicBool>,
}

impl Line {
    /// Why it is closed.
    pub(crate) fn why(&self) -> &'static str {
        if self.flooded.load(Ordering::Relaxed) {
            "it asks on without reading the answers"
        } else {
            "it closed the connection"
        }
    }
}

/// A transport with its [`Line`].
pub(crate) struct Watched<T> {
    inner: T,
    line: Line,
    /// Held by each answer on its way.
    answers: Arc<()>,
}

impl<T> Watched<T> {
    pub(crate) fn new(inner: T, line: &Line) -> Self {
        Self { inner, line: line.clone(), answers: Arc::default() }
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Watched<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let is_answer = matches!(message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        let answer = is_answer.then(|| self.answers.clone());
        let sent = self.inner.send(message);
        async move {
            let _answer = answer;
            sent.await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        if Arc::strong_count(&self.answers) > MOST_ANSWERS {
            self.line.flooded.store(true, Ordering::Relaxed);
            self.line.closed.cancel();
            return None;
        }
        let message = self.inner.receive().await;
        if message.is_none() {
            self.line.closed.cancel();
        }
        message
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.line.closed.cancel();
    }
}
