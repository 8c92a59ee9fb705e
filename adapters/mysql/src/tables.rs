//! The tables' names, checked and quoted: [`Tables`].

use crate::config::{BuildError, MySqlConfig};

/// A name has so many characters at the most.
const LONGEST_NAME: usize = 64;

/// What is appended to the table of sessions for the one of deleted sessions.
const FORGOTTEN: &str = "_forgotten";

/// The names as they are: safe between backticks, and in SQL nowhere else.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) sessions: String,
    pub(crate) messages: String,
    /// The ids of deleted sessions.
    pub(crate) forgotten: String,
}

impl Tables {
    pub(crate) fn new(config: &MySqlConfig) -> Result<Self, BuildError> {
        let sessions = checked(&config.session_table)?;
        let messages = checked(&config.message_table)?;
        // Cut where it would be too long: what shares the rest shares a table of random ids, which harms nobody.
        let forgotten = format!("{:.*}{FORGOTTEN}", LONGEST_NAME - FORGOTTEN.len(), sessions);
        for (one, other) in [(&sessions, &messages), (&sessions, &forgotten), (&messages, &forgotten)] {
            // Some servers do not tell capitals apart.
            if one.eq_ignore_ascii_case(other) {
                return Err(BuildError::SameTable(one.clone()));
            }
        }
        Ok(Self { sessions, messages, forgotten })
    }
}

fn checked(name: &str) -> Result<String, BuildError> {
    let fits = (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'));
    if fits { Ok(name.to_owned()) } else { Err(BuildError::TableName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(sessions: &str, messages: &str) -> Result<Tables, BuildError> {
        Tables::new(&MySqlConfig {
            host: String::new(),
            port: 0,
            user: String::new(),
            password: None,
            database: String::new(),
            session_table: sessions.to_owned(),
            message_table: messages.to_owned(),
            namespace: String::new(),
            provider: String::new(),
        })
    }

    #[test]
    fn names_that_would_need_escaping_are_refused() {
        let long = "x".repeat(65);
        for name in ["", " ", "a b", "a`b", "a`; DROP TABLE x; --", "a.b", "a\\b", "a\0b", "tablé", "a'b", "a?b", &long]
        {
            assert!(matches!(tables(name, "m"), Err(BuildError::TableName(_))), "{name}");
            assert!(matches!(tables("s", name), Err(BuildError::TableName(_))), "{name}");
        }
        assert_eq!(tables("Chat_$1", "m").expect("names").forgotten, "Chat_$1_forgotten");
    }

    #[test]
    fn every_table_is_another_one() {
        let longest = "x".repeat(64);
        assert_eq!(tables(&longest, "m").expect("names").forgotten.len(), 64);
        for (sessions, messages) in [("a", "a"), ("a", "A"), ("a", "a_forgotten"), ("a", "A_Forgotten")] {
            assert!(matches!(tables(sessions, messages), Err(BuildError::SameTable(_))), "{sessions} {messages}");
        }
    }
}
