//! What goes wrong, in words for an operator. Servers quote whole commands in their errors, so nothing of what they say
//! is passed on but codes and the codes' names.

use chat_domain::ports::history::HistoryError;
use mongodb::error::{Error, ErrorKind, InsertManyError, WriteFailure};
use thiserror::Error;

/// Why the archive is not ready for use.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// Indexes have to be made, or rights to be granted, and the configured user may not do it. Somebody has to.
    #[error("the history database's user lacks the right to this; run it as one who may: {statement}")]
    Forbidden {
        /// What to run in the shell, with the database in use.
        statement: String,
    },
    /// User or password is not what the server knows, or what is in the database makes an index impossible.
    #[error("the history database refuses us: {0}")]
    Refused(String),
    /// It does not answer, or not now.
    #[error("the history database is away: {0}")]
    Unavailable(String),
}

impl PrepareError {
    /// Whether waiting does not help: the configuration or the database has to be changed first.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }

    pub(crate) fn of(error: &Error) -> Self {
        match code(error) {
            _ if is_access(error) => Self::Refused("the user or the password is wrong".to_owned()),
            Some((UNAUTHORIZED, _)) => Self::Refused("the user may not use the database".to_owned()),
            _ => Self::Unavailable(words(error)),
        }
    }
}

impl From<PrepareError> for HistoryError {
    /// What waits for an operator waits: nothing is lost by it.
    fn from(error: PrepareError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Nothing came in time.
#[derive(Debug, Error)]
#[error("no answer in time")]
pub(crate) struct TooLate;

pub(crate) const UNAUTHORIZED: i32 = 13;
const AUTHENTICATION_FAILED: i32 = 18;
pub(crate) const DUPLICATE: i32 = 11_000;

/// Codes that are about the document alone: too large, nested too deep, names that no document may have. Not 121: a rule
/// of the collection's refuses it, which somebody has made and can mend.
const NEVER: [i32; 5] = [10_334, 17_419, 17_420, 15, 52];

/// The server's code for an error, with its name.
pub(crate) fn code(error: &Error) -> Option<(i32, &str)> {
    match &*error.kind {
        ErrorKind::Command(error) => Some((error.code, &error.code_name)),
        ErrorKind::Write(WriteFailure::WriteError(error)) => {
            Some((error.code, error.code_name.as_deref().unwrap_or_default()))
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some((error.code, &error.code_name)),
        ErrorKind::InsertMany(InsertManyError { write_errors, write_concern_error, .. }) => {
            // What is there already is not what went wrong, if there is something else.
            let others = write_errors.iter().flatten().find(|error| error.code != DUPLICATE);
            let concern = write_concern_error.as_ref().map(|error| (error.code, &*error.code_name));
            let other = others.map(|error| (error.code, error.code_name.as_deref().unwrap_or_default()));
            other.or(concern).or(write_errors.as_ref().map(|_| (DUPLICATE, "DuplicateKey")))
        }
        _ => None,
    }
}

/// Whether user or password are wrong.
fn is_access(error: &Error) -> bool {
    let here = matches!(&*error.kind, ErrorKind::Authentication { .. })
        || code(error).is_some_and(|(code, _)| code == AUTHENTICATION_FAILED);
    here || std::error::Error::source(error).and_then(|source| source.downcast_ref()).is_some_and(is_access)
}

/// Only what is known to be about the document is permanent: with everything else the record would be lost for what
/// somebody can mend.
pub(crate) fn failed(error: Error) -> HistoryError {
    let is_about_document = match &*error.kind {
        ErrorKind::BsonSerialization(_) | ErrorKind::Bson(_) | ErrorKind::InvalidArgument { .. } => true,
        _ => code(&error).is_some_and(|(code, _)| NEVER.contains(&code)),
    };
    let words = words(&error).into();
    if is_about_document { HistoryError::Permanent(words) } else { HistoryError::Unavailable(words) }
}

fn words(error: &Error) -> String {
    if is_access(error) {
        return "the user or the password is wrong".to_owned();
    }
    if let Some((code, name)) = code(error) {
        return format!("it answered with error {code} {name}").trim_end().to_owned();
    }
    match &*error.kind {
        ErrorKind::ServerSelection { message, .. } if message.contains("refused") => "connection refused".to_owned(),
        ErrorKind::ServerSelection { .. } => "no server of the deployment can be reached".to_owned(),
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::ConnectionPoolCleared { .. } => "the connection was lost".to_owned(),
        ErrorKind::DnsResolve { .. } => "its name cannot be resolved".to_owned(),
        ErrorKind::InvalidTlsConfig { .. } => "TLS cannot be set up".to_owned(),
        ErrorKind::BsonSerialization(_) | ErrorKind::Bson(_) => "a document cannot be written".to_owned(),
        ErrorKind::InvalidArgument { .. } => "a document is too large, or an option is wrong".to_owned(),
        _ => "the driver did not understand the answer".to_owned(),
    }
}
