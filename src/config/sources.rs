//! Finds the sources of a configuration and puts them in order.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use super::error::Problem;
use super::source::{Environment, Raw, Source, SourceKind, Values};
use super::variables::variable;
use super::{dotenv, yaml};

/// Where a YAML file is looked for when none is named. The example file is a template and not among them.
pub const DEFAULT_FILES: [&str; 4] =
    ["config/app.config.yaml", "config/app.config.yml", "app/config/app.config.yaml", "app/config/app.config.yml"];

/// What the command line can set.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the YAML file.
    pub config: Option<PathBuf>,
    /// `--host`: the address to listen on.
    pub host: Option<String>,
    /// `--port`: the port to listen on.
    pub port: Option<u16>,
}

impl From<Flags> for Values {
    fn from(flags: Flags) -> Self {
        let config = flags.config.map(|path| match path.into_os_string().into_string() {
            Ok(path) => Raw::text(path),
            Err(_) => Raw::Unusable("must be valid UTF-8"),
        });
        let host = flags.host.map(Raw::text);
        let port = flags.port.map(|port| Raw::text(port.to_string()));
        [("APP_CONFIG_FILE", config), ("HOST", host), ("PORT", port)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .fold(Self::new(SourceKind::Flag, "command line"), |values, (name, value)| values.with(name, value))
    }
}

/// All sources of a configuration, strongest first, and what went wrong while opening them.
pub struct Sources {
    pub(super) layers: Vec<Box<dyn Source>>,
    pub(super) file: Option<PathBuf>,
    pub(super) directory: PathBuf,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Sources {
    /// The flags, the process's environment, and `.env` and YAML from the working directory.
    pub fn from_process(flags: Flags) -> Self {
        Self::gather(flags, Environment, "")
    }

    /// The same with any environment and any directory instead of the process's.
    pub fn gather(flags: Flags, environment: impl Source + 'static, directory: impl Into<PathBuf>) -> Self {
        let mut sources = Self {
            layers: vec![Box::new(Values::from(flags)), Box::new(environment)],
            file: None,
            directory: directory.into(),
            problems: Vec::new(),
            warnings: Vec::new(),
        };
        sources.add_dotenv();
        sources.add_yaml();
        sources
    }

    /// Sources that are already in memory, strongest first.
    pub fn in_memory(layers: impl IntoIterator<Item = Values>) -> Self {
        Self {
            layers: layers.into_iter().map(|layer| Box::new(layer) as Box<dyn Source>).collect(),
            file: None,
            directory: PathBuf::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn add_dotenv(&mut self) {
        let path = Path::new(".env");
        match read(&self.directory.join(path)) {
            Ok(text) => {
                let (values, problems) = dotenv::parse(path, &text, |name| self.first_text(name));
                self.problems.extend(problems);
                self.layers.push(Box::new(values));
            }
            // Mounting a file that is not there makes container engines create a directory of its name.
            Err(Unreadable::Missing | Unreadable::Directory) => {}
            Err(Unreadable::Other(why)) => self.problems.push(Problem::in_file(path.display(), why)),
        }
    }

    fn add_yaml(&mut self) {
        let Some((path, text)) = self.named_file().unwrap_or_else(|| self.default_file()) else {
            return;
        };
        match yaml::parse(&path, &text) {
            Ok(mut values) => {
                for name in variable("APP_CONFIG_FILE").spellings() {
                    if values.remove(&name).is_some() {
                        self.warnings.push(Problem {
                            subject: name,
                            origin: path.display().to_string(),
                            message: "has no effect inside of the file itself".to_owned(),
                        });
                    }
                }
                self.layers.push(Box::new(values));
            }
            Err(problem) => self.problems.push(problem),
        }
        self.file = Some(path);
    }

    /// The file that `APP_CONFIG_FILE` names, read; `Some(None)` when it is named but cannot be read.
    fn named_file(&mut self) -> Option<Option<(PathBuf, String)>> {
        let (layer, name, path) = self.layers.iter().find_map(|layer| {
            variable("APP_CONFIG_FILE").spellings().find_map(|name| match layer.get(&name)? {
                Raw::Text(text) if !text.expose_secret().trim().is_empty() => {
                    Some((layer, name, PathBuf::from(text.expose_secret().trim())))
                }
                _ => None,
            })
        })?;
        match read(&self.directory.join(&path)) {
            Ok(text) => Some(Some((path, text))),
            Err(why) => {
                self.problems.push(Problem {
                    subject: layer.written(&name),
                    origin: layer.origin(),
                    message: format!("must name a readable YAML file, but {} {why}", path.display()),
                });
                Some(None)
            }
        }
    }

    fn default_file(&mut self) -> Option<(PathBuf, String)> {
        for path in DEFAULT_FILES.map(PathBuf::from) {
            match read(&self.directory.join(&path)) {
                Ok(text) => return Some((path, text)),
                Err(Unreadable::Missing | Unreadable::Directory) => {}
                Err(Unreadable::Other(why)) => {
                    self.problems.push(Problem::in_file(path.display(), why));
                    return None;
                }
            }
        }
        None
    }

    /// What the environment, or else `.env`, has under exactly this name, for `${NAME}` in other files. Blank is unset.
    pub(super) fn environment(&self, name: &str) -> Option<Raw> {
        self.layers
            .iter()
            .filter(|layer| matches!(layer.kind(), SourceKind::Env | SourceKind::Dotenv))
            .find_map(|layer| layer.get(name).filter(|raw| !raw.is_blank()))
    }

    /// What the sources so far say under exactly this name, for `${NAME}` in `.env`.
    fn first_text(&self, name: &str) -> Option<secrecy::SecretString> {
        self.layers.iter().filter(|layer| layer.kind() == SourceKind::Env).find_map(|layer| match layer.get(name)? {
            Raw::Text(text) => Some(text),
            _ => None,
        })
    }
}

/// Why a file gave no text.
pub(super) enum Unreadable {
    Missing,
    Directory,
    Other(String),
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::Directory => f.write_str("is a directory"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// A file's text, without the mark that some editors put before it.
pub(super) fn read(path: &Path) -> Result<String, Unreadable> {
    read_at_most(path, u64::MAX)
}

/// The same for a file that may only be so long.
pub(super) fn read_at_most(path: &Path, most: u64) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes)).map_err(|error| {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Unreadable::Missing,
            ErrorKind::IsADirectory => Unreadable::Directory,
            _ => Unreadable::Other(format!("cannot be read: {error}")),
        }
    })?;
    if bytes.len() as u64 > most {
        return Err(Unreadable::Other(format!("must be at most {most} bytes long")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + valid.iter().rev().take_while(|byte| **byte != b'\n').count();
        Unreadable::Other(format!("must be UTF-8, and is not at line {line} column {column}"))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
