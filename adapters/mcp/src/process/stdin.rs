//! A child's stdin.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::{io::AsyncWrite, process::ChildStdin};

/// How much a child's stdin has taken. When that is as much as when a call began, nobody has heard of the call.
#[derive(Clone, Default)]
pub(crate) struct Written(Arc<Mutex<u64>>);

impl Written {
    pub(crate) fn bytes(&self) -> u64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child's stdin that counts what it takes.
pub(crate) struct CountedStdin<W = ChildStdin> {
    stdin: W,
    pub(crate) written: Written,
}

impl<W> CountedStdin<W> {
    pub(crate) fn new(stdin: W) -> Self {
        Self { stdin, written: Written::default() }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for CountedStdin<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stdin, written } = self.get_mut();
        // Held over the write, which does not block: the child may act on what it reads before we count it.
        let mut written = written.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = ready!(Pin::new(stdin).poll_write(cx, bytes))?;
        *written += taken as u64;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A pipe whose reader looks at the count while the writer is still at it.
    struct Quick {
        count: Written,
        seen: Sender<u64>,
    }

    impl AsyncWrite for Quick {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let (count, seen) = (self.count.clone(), self.seen.clone());
            std::thread::spawn(move || seen.send(count.bytes()));
            std::thread::sleep(std::time::Duration::from_millis(50));
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_was_read_was_counted() {
        let written = Written::default();
        let (seen, looks): (_, Receiver<u64>) = channel();
        let mut stdin = CountedStdin { stdin: Quick { count: written.clone(), seen }, written };
        stdin.write_all(b"call").await.expect("it takes all");
        assert_eq!(looks.recv().expect("a look"), 4);
    }
}
