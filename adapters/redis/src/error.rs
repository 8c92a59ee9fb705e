//! Why a command failed: [`enum@Error`].

use chat_domain::ports::{BoxError, sessions::Unavailable};
use fred::error::{Error as DriverError, ErrorKind};
use thiserror::Error;

/// Why Redis did not do what it was asked to. Holds nothing of what was sent, and of what Redis said only its first word.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// No connection can be made, for this reason.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(Box<str>),
    /// There is no connection: nothing was sent.
    #[error("no connection to Redis")]
    Disconnected,
    /// The connection was lost: what was sent may or may not have been done.
    #[error("the connection to Redis was lost")]
    Lost,
    /// No answer came in time: what was sent may or may not have been done.
    #[error("no answer from Redis in time")]
    Silent,
    /// More is waiting to be sent than may wait.
    #[error("too many commands are waiting for Redis")]
    Overloaded,
    /// Redis wants other credentials.
    #[error("Redis refuses the credentials")]
    Credentials,
    /// Redis refused, with this word (`OOM`, `READONLY`, `WRONGTYPE` …).
    #[error("Redis refuses the command: {0}")]
    Refused(Box<str>),
    /// What is stored, or was answered, is not what belongs there.
    #[error("what Redis holds cannot be read: {0}")]
    Unreadable(&'static str),
}

impl Error {
    /// Whether the command may have been carried out all the same.
    pub(crate) fn is_doubtful(&self) -> bool {
        matches!(self, Error::Lost | Error::Silent)
    }

    /// The server behind the connection is none that can be written to: another one has taken over.
    pub(crate) fn is_wrong_server(&self) -> bool {
        matches!(self, Error::Refused(word) if **word == *"READONLY" || **word == *"MASTERDOWN")
    }

    /// Whether Redis refuses for now what it may do in a moment: during a failover, or while it reads its data.
    pub(crate) fn passes(&self) -> bool {
        const PASSING: [&str; 5] = ["READONLY", "MASTERDOWN", "LOADING", "CLUSTERDOWN", "TRYAGAIN"];
        matches!(self, Error::Refused(word) if PASSING.contains(&&**word))
    }
}

impl Error {
    /// Why no connection can be made. The system's words about an address hold neither the user's name nor the password.
    pub(crate) fn connecting(error: DriverError) -> Self {
        match error.kind() {
            ErrorKind::IO if !error.details().contains(['@', '/']) => Error::Unreachable(match error.details() {
                // The driver says it in the words of a programmer.
                details if details.contains("InvalidCertificate") => {
                    format!("its certificate is not trusted: {details}").into()
                }
                details => details.into(),
            }),
            _ => match Error::from(error) {
                Error::Lost => Error::Unreachable("the connection was refused, or ended".into()),
                error => error,
            },
        }
    }
}

impl From<DriverError> for Error {
    fn from(error: DriverError) -> Self {
        match error.kind() {
            ErrorKind::IO | ErrorKind::Routing => Error::Lost,
            // What is refused because there is no connection is "canceled" before it is sent.
            ErrorKind::Canceled => Error::Disconnected,
            ErrorKind::Timeout => Error::Silent,
            ErrorKind::Backpressure => Error::Overloaded,
            ErrorKind::Auth => Error::Credentials,
            _ => Error::Refused(first_word(error.details()).into()),
        }
    }
}

impl From<Error> for Unavailable {
    fn from(error: Error) -> Self {
        Unavailable(BoxError::from(error))
    }
}

/// The code that an error of Redis begins with. What is none, the driver's own words, is not passed on.
pub(crate) fn first_word(details: &str) -> &str {
    let word = details.split(' ').next().unwrap_or_default();
    let is_code = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_code { word } else { "failed" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_quoted() {
        let said = "ERR unknown command 'x', with args beginning with: 'secret'";
        let error = Error::from(DriverError::new(ErrorKind::Unknown, said));
        assert_eq!(error, Error::Refused("ERR".into()));
        assert!(!format!("{error} {error:?}").contains("secret"));
        for words in ["secret words", "Secret words", "SEcret", "", "S ecret"] {
            assert_eq!(first_word(words), "failed");
        }
        assert_eq!(first_word("OOM command not allowed"), "OOM");
    }
}
