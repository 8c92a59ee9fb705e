//! What is wrong with a configuration, in words that say how to put it right.

use std::fmt;

/// One thing to put right, or (as a warning) to look at. It never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable as the user wrote it (`rate_rps` in YAML, `--port` on the command line); for a whole file, its path.
    pub subject: String,
    /// Where it was written: `environment`, a file's path, `command line`, `not set`.
    pub origin: String,
    /// What would be right.
    pub message: String,
}

impl Problem {
    /// About a file as a whole.
    pub(super) fn in_file(path: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { subject: path.to_string(), origin: String::new(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin.is_empty() {
            write!(f, "{}: {}", self.subject, self.message)
        } else {
            write!(f, "{} ({}): {}", self.subject, self.origin, self.message)
        }
    }
}

/// Everything that is wrong with a configuration: one line per problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// What keeps the service from starting; never empty.
    pub problems: Vec<Problem>,
    /// What would only have been warned of; it may explain the problems (a misspelt key).
    pub warnings: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
