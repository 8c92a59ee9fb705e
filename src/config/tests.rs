//! The promises of the configuration, each with a test that fails without it. No test reads or changes the process's
//! environment.

mod dotenv;
mod examples;
mod files;
mod mcp;
mod names;
mod python;
mod readme;
mod refused;
mod secrets;
mod together;
mod traces;
mod values;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// What an environment of these variables alone gives.
fn env(pairs: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load([Values::environment(pairs.iter().copied())])
}

/// What these sources give, strongest first.
fn load(layers: impl IntoIterator<Item = Values>) -> Result<Loaded, ConfigErrors> {
    Settings::load(&Sources::in_memory(layers), &BuiltIn::ALL)
}

/// The settings of an environment that is fine.
fn settings(pairs: &[(&str, &str)]) -> Settings {
    match env(pairs) {
        Ok(loaded) => loaded.settings,
        Err(errors) => panic!("{pairs:?} should do: {errors}"),
    }
}

/// The problems of an environment, as the user sees them.
fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    lines(env(pairs))
}

fn lines(result: Result<Loaded, ConfigErrors>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(Problem::to_string).collect()
}

/// A YAML file of this text.
fn yaml(text: &str) -> Values {
    match super::yaml::parse(Path::new("app.config.yaml"), text) {
        Ok(values) => values,
        Err(problem) => panic!("{problem}"),
    }
}

/// The line of the effective configuration for a variable.
fn effective<'a>(loaded: &'a Loaded, name: &str) -> &'a Effective {
    match loaded.effective.iter().find(|line| line.name == name) {
        Some(line) => line,
        None => panic!("{name} is not listed"),
    }
}

/// A directory with files in it, gone when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("chat-agent-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = Self(std::env::temp_dir().join(unique));
        std::fs::create_dir_all(&directory.0).expect("a directory");
        for (name, text) in files {
            directory.write(name, text.as_bytes());
        }
        directory
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, bytes).expect("a file");
    }

    /// What a process with these flags and this environment loads here.
    fn load(&self, flags: Flags, pairs: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        let environment = Values::environment(pairs.iter().copied());
        Settings::load(&Sources::gather(flags, environment, &self.0), &BuiltIn::ALL)
    }

    /// What these sources give here, strongest first.
    fn load_layers(&self, layers: impl IntoIterator<Item = Values>) -> Result<Loaded, ConfigErrors> {
        let sources = Sources { directory: self.0.clone(), ..Sources::in_memory(layers) };
        Settings::load(&sources, &BuiltIn::ALL)
    }

    fn load_env(&self, pairs: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        self.load(Flags::default(), pairs)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
