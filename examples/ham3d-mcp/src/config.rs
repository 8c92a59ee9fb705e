//! The variables: [`Settings`].

use std::{ffi::OsString, fmt, num::NonZeroU16, ops::RangeInclusive, time::Duration};

use secrecy::SecretString;

/// More connections than any shop's database would let one reader have.
const MAX_POOL: u64 = 1000;

/// Every variable that is read.
pub const VARIABLES: [&str; 9] = [
    "HAM3D_DB_HOST",
    "HAM3D_DB_PORT",
    "HAM3D_DB_USER",
    "HAM3D_DB_PASSWORD",
    "HAM3D_DB_NAME",
    "HAM3D_DB_POOL_MIN_SIZE",
    "HAM3D_DB_POOL_MAX_SIZE",
    "HAM3D_DB_CONNECT_TIMEOUT",
    "HAM3D_ALLOWED_HOSTS",
];

/// Where the catalogue is, and who may ask for it over HTTP.
#[derive(Debug)]
pub struct Settings {
    /// The database with the catalogue.
    pub database: Database,
    /// The names, beside the loopback ones, by which HTTP clients may call this server.
    pub allowed_hosts: Vec<String>,
}

/// A database, and how many connections to it there may be.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its server's name or address.
    pub host: String,
    /// Its server's port.
    pub port: u16,
    /// Who we are to it.
    pub user: String,
    /// How we prove that; may be empty.
    pub password: SecretString,
    /// Its name.
    pub name: String,
    /// How many connections are opened at start.
    pub pool_min: usize,
    /// How many connections there are at the most.
    pub pool_max: usize,
    /// How long opening a connection, or waiting for a free one, may take.
    pub connect_timeout: Duration,
}

/// All that is wrong with the variables, a sentence each. Quotes no value: one of them may be a misplaced password.
#[derive(Debug, PartialEq, Eq)]
pub struct Problems(Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Settings {
    /// Reads the variables through `lookup`.
    ///
    /// # Errors
    /// When one is missing or cannot be understood: all of them at once.
    pub fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Problems> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let database = Database {
            host: reader.text("HAM3D_DB_HOST").unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: reader.number("HAM3D_DB_PORT", 3306, 1..=u64::from(NonZeroU16::MAX.get())),
            user: reader.required("HAM3D_DB_USER"),
            // Spaces may be part of a password.
            password: reader.raw("HAM3D_DB_PASSWORD").unwrap_or_default().into(),
            name: reader.required("HAM3D_DB_NAME"),
            pool_min: reader.number("HAM3D_DB_POOL_MIN_SIZE", 1, 0..=MAX_POOL),
            pool_max: reader.number("HAM3D_DB_POOL_MAX_SIZE", 10, 1..=MAX_POOL),
            connect_timeout: Duration::from_secs(reader.number("HAM3D_DB_CONNECT_TIMEOUT", 10, 1..=600)),
        };
        if database.pool_min > database.pool_max {
            reader.problem("HAM3D_DB_POOL_MIN_SIZE", "must not be greater than HAM3D_DB_POOL_MAX_SIZE");
        }
        let allowed_hosts: Vec<String> = split(&reader.text("HAM3D_ALLOWED_HOSTS").unwrap_or_default());
        if !allowed_hosts.iter().all(|host| crate::http::is_host(host)) {
            reader.problem("HAM3D_ALLOWED_HOSTS", "must be host names, separated by commas, such as mcp.example.com");
        }
        if reader.problems.is_empty() { Ok(Self { database, allowed_hosts }) } else { Err(Problems(reader.problems)) }
    }
}

struct Reader<L> {
    lookup: L,
    problems: Vec<String>,
}

impl<L: Fn(&str) -> Option<OsString>> Reader<L> {
    fn raw(&mut self, name: &str) -> Option<String> {
        match (self.lookup)(name)?.into_string() {
            Ok(value) => Some(value),
            Err(_) => {
                self.problem(name, "must be text in UTF-8");
                None
            }
        }
    }

    /// What is blank counts as missing.
    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.raw(name)?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    }

    fn required(&mut self, name: &str) -> String {
        let problems = self.problems.len();
        self.text(name).unwrap_or_else(|| {
            if self.problems.len() == problems {
                self.problem(name, "must be configured for the ham3d server");
            }
            String::new()
        })
    }

    fn number<T: TryFrom<u64> + Default>(&mut self, name: &str, default: u64, range: RangeInclusive<u64>) -> T {
        let number = match self.text(name).map(|text| text.parse()) {
            None => default,
            Some(Ok(number)) if range.contains(&number) => number,
            Some(_) => {
                self.problem(name, &format!("must be a whole number from {} to {}", range.start(), range.end()));
                default
            }
        };
        T::try_from(number).unwrap_or_default()
    }

    fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("Environment variable {name} {what}."));
    }
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Problems> {
        Settings::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    fn problems(variables: &[(&str, &str)]) -> String {
        read(variables).expect_err("refused").to_string()
    }

    const REQUIRED: [(&str, &str); 2] = [("HAM3D_DB_USER", "shop"), ("HAM3D_DB_NAME", "catalogue")];

    fn with(name: &'static str, value: &'static str) -> [(&'static str, &'static str); 3] {
        let [user, database] = REQUIRED;
        [user, database, (name, value)]
    }

    #[test]
    fn defaults() {
        let Settings { database, allowed_hosts } = read(&REQUIRED).expect("enough");
        assert_eq!((database.host.as_str(), database.port), ("127.0.0.1", 3306));
        assert_eq!((database.user.as_str(), database.name.as_str()), ("shop", "catalogue"));
        assert_eq!(database.password.expose_secret(), "");
        assert_eq!((database.pool_min, database.pool_max), (1, 10));
        assert_eq!(database.connect_timeout, Duration::from_secs(10));
        assert!(allowed_hosts.is_empty());
    }

    #[test]
    fn blank_is_missing() {
        let settings = read(&with("HAM3D_DB_PORT", "  ")).expect("the default");
        assert_eq!(settings.database.port, 3306);
        assert_eq!(
            problems(&[("HAM3D_DB_USER", " "), ("HAM3D_DB_NAME", "")]),
            "Environment variable HAM3D_DB_USER must be configured for the ham3d server.\n\
             Environment variable HAM3D_DB_NAME must be configured for the ham3d server."
        );
    }

    #[test]
    fn numbers_in_their_ranges() {
        for (name, value) in [
            ("HAM3D_DB_PORT", "0"),
            ("HAM3D_DB_PORT", "65536"),
            ("HAM3D_DB_PORT", "hunter2"),
            ("HAM3D_DB_POOL_MIN_SIZE", "-1"),
            ("HAM3D_DB_POOL_MAX_SIZE", "0"),
            ("HAM3D_DB_CONNECT_TIMEOUT", "1.5"),
        ] {
            let problems = problems(&with(name, value));
            assert!(problems.starts_with(&format!("Environment variable {name} must be a whole number")), "{problems}");
            assert!(!problems.contains("hunter2"), "{problems}");
        }
        let problems = problems(&with("HAM3D_DB_POOL_MIN_SIZE", "11"));
        assert!(problems.contains("HAM3D_DB_POOL_MIN_SIZE must not be greater than"), "{problems}");
    }

    #[test]
    fn hosts() {
        let settings = read(&with("HAM3D_ALLOWED_HOSTS", "mcp.example.com, 10.0.0.7:8080,")).expect("hosts");
        assert_eq!(settings.allowed_hosts, ["mcp.example.com", "10.0.0.7:8080"]);
        for wrong in ["https://mcp.example.com", "a b", "*", "me@example.com"] {
            assert!(read(&with("HAM3D_ALLOWED_HOSTS", wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_password_is_kept_as_it_is_and_to_itself() {
        let settings = read(&with("HAM3D_DB_PASSWORD", " p ss ")).expect("a password");
        assert_eq!(settings.database.password.expose_secret(), " p ss ");
        assert!(!format!("{settings:?}").contains("p ss"));
    }

    #[test]
    fn the_example_names_every_variable() {
        let example = include_str!("../../../config/ham3d.env.example");
        for name in VARIABLES {
            assert!(example.contains(&format!("{name}=")), "{name}");
        }
    }
}
