//! The token file: one record of a token per line, blank lines and comments behind `#`. Written by `token create --file`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::token::TokenRecord;
use crate::store::MAX_TOKENS;

/// Longest file in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be read or written.
    #[error(
        "token file {path}: {error}; `minerva-core token create --file {path}` creates the file"
    )]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
    /// A line is no record.
    #[error("token file {path}, line {line}: {problem}")]
    Line {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Cause.
        problem: String,
    },
    /// The file is too large.
    #[error(
        "token file {path}: more than {MAX_TOKENS} tokens or {MAX_FILE} bytes; remove tokens that are not used"
    )]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
    },
}

/// Reads the content.
pub(crate) fn read(path: &Path) -> Result<String, TokenFileError> {
    let failed = |error| TokenFileError::Io { path: path.to_owned(), error };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(TokenFileError::TooLarge { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(failed)
}

/// Parses the content of the file at `path`.
pub(crate) fn parse(path: &Path, content: &str) -> Result<Vec<TokenRecord>, TokenFileError> {
    let mut records = Vec::new();
    for (line, text) in (1..).zip(content.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let record = TokenRecord::decode(text.as_bytes()).map_err(|error| {
            let problem = error.to_string();
            TokenFileError::Line { path: path.to_owned(), line, problem }
        })?;
        records.push(record);
    }
    match records.len() > MAX_TOKENS {
        true => Err(TokenFileError::TooLarge { path: path.to_owned() }),
        false => Ok(records),
    }
}

/// Replaces the record of a token or appends one; creates the file, readable for its owner only, if there is none.
pub(crate) fn set(path: &Path, record: &TokenRecord) -> Result<(), TokenFileError> {
    let failed = |error| TokenFileError::Io { path: path.to_owned(), error };
    let content = match read(path) {
        Err(TokenFileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            String::new()
        }
        content => content?,
    };
    let (encoded, mut is_replaced) = (record.encode(), false);
    let mut lines: Vec<&str> = content.lines().collect();
    for line in &mut lines {
        if is_of(line, &record.id) {
            (*line, is_replaced) = (&encoded, true);
        }
    }
    if !is_replaced {
        lines.push(&encoded);
    }
    let content: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    parse(path, &content)?;
    replace(path, &content).map_err(failed)
}

/// Removes the record of a token; returns false if there is none.
pub(crate) fn remove(path: &Path, id: &str) -> Result<bool, TokenFileError> {
    let content = read(path)?;
    parse(path, &content)?;
    let kept: Vec<&str> = content.lines().filter(|line| !is_of(line, id)).collect();
    if kept.len() == content.lines().count() {
        return Ok(false);
    }
    let kept: String = kept.iter().flat_map(|line| [line, "\n"]).collect();
    let failed = |error| TokenFileError::Io { path: path.to_owned(), error };
    replace(path, &kept).map_err(failed)?;
    Ok(true)
}

/// Whether a line is the record of this token.
fn is_of(line: &str, id: &str) -> bool {
    TokenRecord::decode(line.trim().as_bytes()).is_ok_and(|record| record.id == id)
}

/// Replaces the file in one step, so that a core never reads half of it.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::super::rights::{Right, Scope};
    use super::*;

    fn record() -> TokenRecord {
        let rights = [Right::Send].into_iter().collect();
        TokenRecord::create(Scope::All, rights, 1, None).unwrap().0
    }

    #[test]
    fn records_are_added_and_removed_and_comments_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let (first, second) = (record(), record());
        set(&path, &first).unwrap();
        let content = format!("# of the shop\n\n{}", first.encode());
        fs::write(&path, &content).unwrap();
        set(&path, &second).unwrap();
        let parsed = || parse(&path, &read(&path).unwrap()).unwrap();
        assert_eq!(parsed(), [first.clone(), second.clone()]);
        let guard = first.clone().into_guard();
        set(&path, &guard).unwrap();
        assert_eq!(parsed(), [guard, second.clone()], "the line is replaced");
        assert!(remove(&path, &first.id).unwrap() && !remove(&path, &first.id).unwrap());
        assert_eq!(read(&path).unwrap(), format!("# of the shop\n\n{}\n", second.encode()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_a_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        set(&path, &record()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_invalid_line_is_named() {
        let path = Path::new("tokens");
        let content = format!("{}\n# ok\nmnv_secret\n", record().encode());
        let error = parse(path, &content).unwrap_err().to_string();
        assert!(error.starts_with("token file tokens, line 3: "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let line = format!("{}\n", record().encode());
        for (count, ok) in [(MAX_TOKENS - 1, true), (MAX_TOKENS, true), (MAX_TOKENS + 1, false)] {
            assert_eq!(parse(Path::new("t"), &line.repeat(count)).is_ok(), ok, "{count}");
        }
    }
}
