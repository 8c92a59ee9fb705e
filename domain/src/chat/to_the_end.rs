//! [`ToTheEnd`]: work that a request waits for and that does not end with the request.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};

use crate::ports::Tasks;

/// Polled by the request like any future, without a task of its own; dropped before its end, it is handed to [`Tasks`]
/// and goes on there.
pub(super) struct ToTheEnd<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    tasks: Arc<dyn Tasks>,
}

impl<T: Send + 'static> ToTheEnd<T> {
    pub(super) fn new(tasks: &Arc<dyn Tasks>, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), tasks: tasks.clone() }
    }
}

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out while it is polled: if it panics it is gone, and not begun again elsewhere.
        let Some(mut work) = self.work.take() else { panic!("polled after its end") };
        let result = work.poll_unpin(cx);
        if result.is_pending() {
            self.work = Some(work);
        }
        result
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.tasks.detach(Box::pin(work.map(drop)));
        }
    }
}
