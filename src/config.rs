//! Configuration: from flags, the environment, `.env` and a YAML file to one validated [`Settings`].
//!
//! ```no_run
//! use chat_agent::config::{BuiltIn, Flags, Settings, Sources};
//!
//! let sources = Sources::from_process(Flags::default());
//! match Settings::load(&sources, &BuiltIn::this_build()) {
//!     Ok(loaded) => println!("listening on {}:{}", loaded.settings.server.host, loaded.settings.server.port),
//!     Err(errors) => eprintln!("{errors}"), // one line per problem, all of them at once
//! }
//! ```
//!
//! - [`variables`](self::variables()) is the table of all variables; everything else follows it.
//! - A [`Source`] is asked for a variable under all its names. The strongest source that has a value decides.
//! - Values that cannot be read, or make no sense, or contradict each other are collected, never the first one only.
//! - Whatever a source says is kept as a secret until the table has said that it may be shown.

mod assemble;
mod checks;
mod dotenv;
mod error;
mod mcp;
mod parse;
mod reader;
mod settings;
mod shown;
mod source;
mod sources;
mod table;
mod unknown;
mod url;
mod variables;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::Serialize;

pub use checks::{BuiltIn, REDIS_PREFIX};
pub use error::{ConfigErrors, Problem};
pub use settings::*;
pub use source::{Environment, Raw, Source, SourceKind, Values};
pub use sources::{DEFAULT_FILES, Flags, Sources};
pub use table::GROUPS;
pub use url::SecretUrl;
pub use variables::{Group, Secrecy, Variable, variables};

use reader::Reader;

/// A configuration that is fit to start with.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Every variable with its value and source, in the table's order; secrets are masked.
    pub effective: Vec<Effective>,
    /// What is odd but not wrong, for the log.
    pub warnings: Vec<Problem>,
    /// The YAML file that was read, if there was one.
    pub file: Option<PathBuf>,
}

/// One line of the effective configuration. It may be shown to an operator as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The variable's documented name.
    pub name: &'static str,
    /// Its value; `***` for a secret, empty when unset.
    pub value: String,
    /// Where the value comes from.
    pub source: SourceKind,
}

impl Settings {
    /// Reads and validates everything.
    ///
    /// # Errors
    /// Every problem that there is, each with the variable, its source, and what would be right.
    pub fn load(sources: &Sources, built_in: &BuiltIn) -> Result<Loaded, ConfigErrors> {
        let mut reader = Reader::new(sources);
        unknown::warn_of_unknown_names(&mut reader, sources);
        let settings = assemble::assemble(&mut reader);
        checks::check_together(&mut reader, &settings);
        checks::check_built_in(&mut reader, &settings, built_in);

        let Reader { mut effective, problems, warnings, .. } = reader;
        if !problems.is_empty() {
            return Err(ConfigErrors { problems, warnings });
        }
        effective.sort_by_key(|line| variables().position(|variable| variable.name == line.name));
        Ok(Loaded { settings, effective, warnings, file: sources.file.clone() })
    }
}

impl Loaded {
    /// Takes warnings for problems, as `check-config --strict` does.
    ///
    /// # Errors
    /// The warnings, if there are any.
    pub fn strict(self) -> Result<Self, ConfigErrors> {
        if self.warnings.is_empty() {
            return Ok(self);
        }
        Err(ConfigErrors { problems: self.warnings, warnings: Vec::new() })
    }
}
