//! What goes wrong, in words for an operator: nothing of what was said, no password.

use std::error::Error as StdError;

use chat_domain::ports::history::HistoryError;
use deadpool::managed::PoolError as WaitError;
use diesel::{
    ConnectionError,
    result::{DatabaseErrorKind, Error as QueryError},
};
use diesel_async::pooled_connection::PoolError;
use mysql_async::Error as DriverError;
use thiserror::Error;

/// Why the archive is not ready for use.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// The tables have to be changed, or rights to be granted, and the configured user may not do it. Somebody has to.
    #[error("the history database's user lacks the right to this; run it as one who may: {statement}")]
    Forbidden {
        /// What to run.
        statement: String,
        /// What the database said.
        #[source]
        source: DriverError,
    },
    /// A table wants more with each row than we have to give.
    #[error(
        "the history table `{table}` has a column `{column}` that is not ours and has no default, so nothing can be written \
         to it; give it one, or let it be NULL: ALTER TABLE `{table}` ALTER COLUMN `{column}` SET DEFAULT …"
    )]
    NeededColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// User, password or database is not what the server knows.
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

    /// What an error of the driver is to us.
    pub(crate) fn of(error: &DriverError) -> Self {
        match error {
            DriverError::Server(error) => match error.code {
                1045 | 1698 => Self::Refused("the user or the password is wrong".to_owned()),
                1130 => Self::Refused("it does not accept connections from this host".to_owned()),
                // These name the database, or what is wrong with the user.
                1044 | 1049 | 1251 | 1862 | 3118 | 3955 | 4151 => Self::Refused(error.message.clone()),
                _ => Self::Unavailable(error.message.clone()),
            },
            DriverError::Io(mysql_async::IoError::Io(error)) => Self::Unavailable(error.to_string()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// Whether the server says that a right is missing.
pub(crate) fn is_forbidden(error: &DriverError) -> bool {
    matches!(error, DriverError::Server(error) if [1044, 1142, 1143, 1227].contains(&error.code))
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

/// A connection that is not to be had.
pub(crate) fn no_connection(error: WaitError<PoolError>) -> HistoryError {
    HistoryError::Unavailable(match error {
        // Named anew: the pool's own words lead with what is only its own step.
        WaitError::Backend(PoolError::ConnectionError(ConnectionError::BadConnection(words))) => words.into(),
        WaitError::Timeout(_) => TooLate.into(),
        error => error.into(),
    })
}

/// What a server says of a value that the database will never take. Diesel has kinds for few of them.
const NEVER: [&str; 8] = [
    "Data too long",
    "Data truncated",
    "Out of range value",
    "Incorrect datetime value",
    "Incorrect integer value",
    "Invalid JSON",
    "Packet too large",
    "Got a packet bigger than 'max_allowed_packet'",
];

/// A character that a table's character set does not have. All that we write is UTF-8, so it is the table that is wrong.
const CHARACTERS: &str = "Incorrect string value";

/// A column that is not ours and has no default: to Diesel the same as a value that is missing.
const NO_DEFAULT: &str = "doesn't have a default value";

/// A statement that failed. Only what is known to be about its values is permanent: with everything else (a full disk, a
/// missing right, a server that is shutting down, a column or a constraint that somebody has added) the record would be
/// lost for what somebody can mend.
pub(crate) fn failed(error: QueryError) -> HistoryError {
    match &error {
        QueryError::DatabaseError(kind, information) => {
            let words = information.message();
            let is_missing = matches!(kind, DatabaseErrorKind::NotNullViolation) && !words.contains(NO_DEFAULT);
            if is_missing || NEVER.iter().any(|never| words.contains(never)) {
                return HistoryError::Permanent(without_values(words).into());
            }
            if words.contains(CHARACTERS) {
                let words = without_values(words);
                return HistoryError::Unavailable(format!("{words} (its character set must be utf8mb4)").into());
            }
            let may_quote = matches!(kind, DatabaseErrorKind::UniqueViolation);
            HistoryError::Unavailable(if may_quote { without_values(words) } else { words.to_owned() }.into())
        }
        QueryError::SerializationError(source) => HistoryError::Permanent(source.to_string().into()),
        _ => HistoryError::Unavailable(Box::<dyn StdError + Send + Sync>::from(error)),
    }
}

/// Whether the database took the side of another one who waited for us: it is worth asking again at once.
pub(crate) fn is_deadlock(error: &QueryError) -> bool {
    matches!(error, QueryError::DatabaseError(_, information) if information.message().contains("Deadlock found"))
}

/// Whether the server only reads: it was the one to write to, and another one is now.
pub(crate) fn is_wrong_server(error: &QueryError) -> bool {
    const READS_ONLY: [&str; 3] = ["--read-only option", "READ ONLY transaction", "read-only mode"];
    matches!(error, QueryError::DatabaseError(_, information) if READS_ONLY.iter().any(|words| information.message().contains(words)))
}

/// The words up to where they might quote what was to be written, and the column it was for.
fn without_values(words: &str) -> String {
    const COLUMN: &str = "for column ";
    let is_name = |c: char| c.is_ascii_alphanumeric() || "`'_$.".contains(c);
    // The last of them is the server's own word, and only if nothing else comes after it.
    let column = words.rsplit_once(COLUMN).and_then(|(_, rest)| {
        let rest = rest.split_once(" at row ").map_or(rest, |(name, _)| name);
        rest.chars().all(is_name).then_some(rest)
    });
    let what = words.split([':', '\'', '"']).next().unwrap_or_default().trim();
    match column {
        Some(column) => format!("{} {COLUMN}{column}", what.trim_end_matches(COLUMN.trim()).trim()),
        None => what.to_owned(),
    }
}

/// The column that a server says has no default.
pub(crate) fn needed_column(error: &DriverError) -> Option<&str> {
    match error {
        DriverError::Server(error) if error.code == 1364 => error.message.split('\'').nth(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: DatabaseErrorKind, words: &str) -> HistoryError {
        failed(QueryError::DatabaseError(kind, Box::new(words.to_owned())))
    }

    fn told(error: &HistoryError) -> (bool, String) {
        match error {
            HistoryError::Permanent(source) => (true, source.to_string()),
            HistoryError::Unavailable(source) => (false, source.to_string()),
        }
    }

    #[test]
    fn what_is_about_values_is_permanent_and_does_not_quote_them() {
        for (words, kept) in [
            ("Data too long for column 'content' at row 1", "Data too long for column 'content'"),
            ("Out of range value for column 'memory_limit' at row 1", "Out of range value for column 'memory_limit'"),
            (
                "Incorrect datetime value: 'said for column `x`' for column `d`.`t`.`created_at` at row 1",
                "Incorrect datetime value for column `d`.`t`.`created_at`",
            ),
            ("Incorrect integer value: 'said for column it' for function f", "Incorrect integer value"),
            ("Input/output error: Packet too large.", "Input/output error"),
        ] {
            assert_eq!(told(&of(DatabaseErrorKind::Unknown, words)), (true, kept.to_owned()));
        }
        let null = of(DatabaseErrorKind::NotNullViolation, "Column 'content' cannot be null");
        assert_eq!(told(&null), (true, "Column".to_owned()));
    }

    #[test]
    fn what_somebody_did_to_the_table_somebody_can_mend() {
        use DatabaseErrorKind::{CheckViolation, ForeignKeyViolation, NotNullViolation, UniqueViolation, Unknown};
        let child =
            "Cannot add or update a child row: a foreign key constraint fails (`d`.`t`, CONSTRAINT `c` FOREIGN KEY …)";
        for (kind, words, kept) in [
            (NotNullViolation, "Field 'tenant' doesn't have a default value", None),
            (ForeignKeyViolation, child, None),
            (CheckViolation, "Check constraint 'short' is violated.", None),
            (Unknown, "CONSTRAINT `short` failed for `d`.`t`", None),
            (UniqueViolation, "Duplicate entry 'said' for key 'k'", Some("Duplicate entry")),
            (
                Unknown,
                r"Incorrect string value: '\xF0\x9F\x98' for column `d`.`t`.`content` at row 1",
                Some("Incorrect string value for column `d`.`t`.`content` (its character set must be utf8mb4)"),
            ),
        ] {
            assert_eq!(told(&of(kind, words)), (false, kept.unwrap_or(words).to_owned()));
        }
    }

    #[test]
    fn everything_else_may_pass() {
        for words in [
            "Deadlock found when trying to get lock; try restarting transaction",
            "Lock wait timeout exceeded; try restarting transaction",
            "Input/output error: Broken pipe (os error 32)",
            "Server shutdown in progress",
            "The table 't' is full",
            "Incorrect key file for table 't'; try to repair it",
            "INSERT command denied to user 'u'@'h' for table `d`.`t`",
            "Table 'd.t' doesn't exist",
            "The MariaDB server is running with the --read-only option so it cannot execute this statement",
        ] {
            assert_eq!(told(&of(DatabaseErrorKind::Unknown, words)), (false, words.to_owned()));
        }
    }
}
