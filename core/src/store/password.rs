//! The password of a Redis store apart from the URL, so that every password works without percent-encoding.
//!
//! Programs flatten [`StorePassword`] beside their option `--store` and call [`StorePassword::apply`]. The password itself
//! is no option: other users of the machine can read the arguments of a process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use minerva_runtime::ConfigError;

use super::StoreUrl;

/// Environment variable with the password.
const VARIABLE: &str = "MINERVA_STORE_PASSWORD";
const FILE_OPTION: &str = "--store-password-file";

/// The option for the password of a Redis store.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct StorePassword {
    /// File with the password of a Redis store, without percent-encoding; the user stays in the URL, as in
    /// redis://USER@HOST. The environment variable `MINERVA_STORE_PASSWORD` can hold the password instead.
    #[arg(long, env = "MINERVA_STORE_PASSWORD_FILE", global = true, value_name = "FILE")]
    pub store_password_file: Option<PathBuf>,
}

impl StorePassword {
    /// Adds the password of the environment or of the file to a store address.
    ///
    /// # Errors
    /// If the file is unreadable, a password is given twice, or the store has no password.
    pub fn apply(&self, store: StoreUrl) -> Result<StoreUrl, ConfigError> {
        self.apply_with(store, std::env::var_os(VARIABLE))
    }

    /// An empty variable counts as absent, because compose files cannot omit a variable.
    fn apply_with(
        &self,
        store: StoreUrl,
        variable: Option<OsString>,
    ) -> Result<StoreUrl, ConfigError> {
        let variable = variable.filter(|password| !password.is_empty());
        let file = self.store_password_file.as_ref().filter(|path| !path.as_os_str().is_empty());
        let (source, password) = match (variable, file) {
            (None, None) => return Ok(store),
            (Some(_), Some(_)) => {
                let problem = format!("{VARIABLE} holds a password, too");
                return Err(ConfigError::new(FILE_OPTION, problem, "keep one of the two"));
            }
            (Some(password), None) => (VARIABLE, text(password)?),
            (None, Some(path)) => (FILE_OPTION, read(path)?),
        };
        let StoreUrl::Redis(mut url) = store else {
            let problem = format!("`{store}` has no password");
            return Err(ConfigError::new(source, problem, "remove it, or use redis:// in --store"));
        };
        if !url.set_password(password) {
            let fix = "remove the password from the URL, as in redis://USER@HOST or redis://HOST";
            return Err(ConfigError::new(source, "the URL in --store has a password, too", fix));
        }
        Ok(StoreUrl::Redis(url))
    }
}

fn text(password: OsString) -> Result<String, ConfigError> {
    password.into_string().map_err(|_| {
        ConfigError::new(VARIABLE, "not UTF-8", "set the password in UTF-8, as at the server")
    })
}

/// Reads the file, without the line end of the last line.
fn read(path: &Path) -> Result<String, ConfigError> {
    let name = path.display();
    let password = std::fs::read_to_string(path).map_err(|error| {
        let fix = "name a readable file with the password alone";
        ConfigError::new(FILE_OPTION, format!("{name}: {error}"), fix)
    })?;
    let password = password.strip_suffix('\n').unwrap_or(&password);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        let fix = "write the password into the file, or remove the option";
        return Err(ConfigError::new(FILE_OPTION, format!("{name} is empty"), fix));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters with a meaning in URLs, shells and files.
    const PASSWORD: &str = "aB3/x@Y+z=%41:?#& \\\"'$`ä";

    fn from_file(content: &str) -> (tempfile::TempDir, StorePassword) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, content).unwrap();
        (directory, StorePassword { store_password_file: Some(path) })
    }

    fn apply(
        option: &StorePassword,
        url: &str,
        variable: Option<&str>,
    ) -> Result<StoreUrl, ConfigError> {
        option.apply_with(url.parse().unwrap(), variable.map(OsString::from))
    }

    fn password_of(url: &StoreUrl) -> &str {
        let StoreUrl::Redis(url) = url else { panic!("{url}") };
        url.password().unwrap()
    }

    #[test]
    fn every_password_works_in_the_environment_and_in_a_file() {
        let none = StorePassword::default();
        for url in ["redis://h", "redis://core@h", "redis-sentinel://a,b/m", "rediss-cluster://a"] {
            let applied = apply(&none, url, Some(PASSWORD)).unwrap();
            assert_eq!(password_of(&applied), PASSWORD, "{url}");
        }
        for end in ["", "\n", "\r\n"] {
            let (_directory, option) = from_file(&format!("{PASSWORD}{end}"));
            for variable in [None, Some("")] {
                let applied = apply(&option, "redis://core@h", variable).unwrap();
                assert_eq!(password_of(&applied), PASSWORD);
            }
        }
        let (_directory, option) = from_file(" two\n\n");
        assert_eq!(password_of(&apply(&option, "redis://h", None).unwrap()), " two\n");
    }

    #[test]
    fn without_a_password_the_address_stays() {
        let none = StorePassword::default();
        for url in ["redb:x", "redis://:pw@h", "memory:"] {
            for variable in [None, Some("")] {
                assert_eq!(apply(&none, url, variable).unwrap(), url.parse().unwrap());
            }
        }
    }

    #[test]
    fn a_wrong_password_option_is_explained_without_the_password() {
        let (_directory, file) = from_file("canary");
        let (_other, empty) = from_file("\n");
        let none = StorePassword::default();
        let absent = StorePassword { store_password_file: Some("/nonexistent/file".into()) };
        for (option, url, variable, part) in [
            (&none, "redis://:pw@h", Some("canary"), "has a password, too"),
            (&file, "redis://:pw@h", None, "has a password, too"),
            (&file, "redis://h", Some("canary"), "keep one of the two"),
            (&none, "redb:x", Some("canary"), "`redb:x` has no password"),
            (&empty, "redis://h", None, "is empty"),
            (&absent, "redis://h", None, "/nonexistent/file"),
        ] {
            let text = apply(option, url, variable).unwrap_err().to_string();
            assert!(text.contains(part) && !text.contains("canary"), "{text}");
        }
    }
}
