//! The command `minerva-core token`: creates, lists and revokes API tokens in a store or a token file.

use std::path::PathBuf;
use std::time::Duration;

use minerva_proto::ServiceName;
use minerva_runtime::duration;

use super::book::{Book, Revocation};
use super::file::TokenFileError;
use super::now_seconds;
use super::rights::{Right, Rights, Scope};
use super::token::{NoRandomBytesError, TokenRecord, is_id};
use crate::store::{StoreError, StoreUrl};

const DAY: u64 = 24 * 3600;
/// Longest validity of a token: ten years.
const MAX_DAYS: u64 = 3650;

/// Commands for the tokens of a deployment.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it. The token is not shown again; the store keeps a hash.
    Create {
        /// Service of the token, or `*` for all services.
        #[arg(long, value_name = "NAME", value_parser = service)]
        service: Option<String>,
        /// Rights of the token, separated by commas.
        #[arg(long, value_name = "RIGHTS", required = true, value_delimiter = ',')]
        can: Vec<Right>,
        /// Validity, such as 90d or 12h; `never` for a token without an end.
        #[arg(long, value_name = "TIME", default_value = "90d", value_parser = validity)]
        expires: Validity,
        #[command(flatten)]
        place: Place,
    },
    /// Print id, service, rights and validity of all tokens.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a token: all cores refuse the token and end its calls within a second. A service whose last token with
    /// the right to serve is revoked stays closed to callers without a token.
    Revoke {
        /// The id of the token: the characters between the first and the last `_`.
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// Open the service to callers without a token again, if no other token permits to serve it.
        #[arg(long)]
        reopen: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// Place of the tokens.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// Use this token file, see --token-file of the core, instead of the store.
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

/// Time for which a token is valid; `None` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity(Option<u64>);

/// A token command failed.
#[derive(Debug, thiserror::Error)]
pub enum TokenCommandError {
    /// The store cannot be used.
    #[error("{error}{}", if *.is_redb { REDB_HINT } else { "" })]
    Store {
        /// Cause.
        error: StoreError,
        /// Whether the store is a file of one process.
        is_redb: bool,
    },
    /// The token file cannot be used.
    #[error(transparent)]
    File(#[from] TokenFileError),
    /// The options do not fit together.
    #[error("{0}")]
    Options(String),
    /// The token is revoked already; its record guards the service.
    #[error(
        "token {0} is revoked already; `token revoke --reopen {0}` opens its service to callers without a token"
    )]
    Revoked(String),
    /// There is no such token.
    #[error("there is no token {0}; `minerva-core token list` shows all")]
    NotFound(String),
    /// No token could be created.
    #[error(transparent)]
    Random(#[from] NoRandomBytesError),
}

impl TokenCommandError {
    /// Returns true if the operator resolves the error by another option.
    pub(crate) fn is_config(&self) -> bool {
        match self {
            Self::Store { error, .. } => matches!(error, StoreError::Config(_)),
            Self::File(_) | Self::Options(_) => true,
            Self::NotFound(_) | Self::Revoked(_) | Self::Random(_) => false,
        }
    }
}

pub(super) const REDB_HINT: &str = "; while a core uses the file, keep tokens in a token file: --file FILE here, and --token-file \
                         FILE at the core";

/// Runs a command and returns the text to print: `print` for standard output, `note` for people.
///
/// # Errors
/// If the store or the file cannot be used, or there is no such token.
pub async fn run(
    command: &TokenCommand,
    url: &StoreUrl,
    print: impl Fn(&str),
    note: impl Fn(&str),
) -> Result<(), TokenCommandError> {
    match command {
        TokenCommand::Create { service, can, expires, place } => {
            let (record, token) = create(service.as_deref(), can, *expires)?;
            let book = Book::open(place, url).await?;
            book.set(&record).await?;
            print(&format!("{token}\n"));
            note(&format!("{}\nThe token is not shown again.\n", describe(&record)));
        }
        TokenCommand::List { place } => {
            for record in Book::open(place, url).await?.all().await? {
                print(&format!("{}\n", describe(&record)));
            }
        }
        TokenCommand::Revoke { id, reopen, place } => {
            let revocation = Book::open(place, url).await?.revoke(id, *reopen).await?;
            note(&describe_revocation(id, &revocation));
        }
    }
    Ok(())
}

fn create(
    service: Option<&str>,
    can: &[Right],
    expires: Validity,
) -> Result<(TokenRecord, String), TokenCommandError> {
    let rights: Rights = can.iter().copied().collect();
    let scope = match service {
        Some("*") => Scope::All,
        Some(service) => Scope::One(service.into()),
        None if rights.iter().any(Right::is_of_service) => {
            let text = format!("--can {rights} needs --service NAME; `*` stands for all services");
            return Err(TokenCommandError::Options(text));
        }
        None => Scope::All,
    };
    let now = now_seconds();
    let expires = expires.0.map(|seconds| now.saturating_add(seconds));
    Ok(TokenRecord::create(scope, rights, now, expires)?)
}

fn describe_revocation(id: &str, revocation: &Revocation) -> String {
    let text = format!("token {id} is revoked\n");
    match revocation {
        Revocation::Removed => text,
        Revocation::Guarded { scope, guard } => format!(
            "{text}Service {scope} stays closed to callers without a token. To open the service again: \
             token revoke --reopen {guard}\n"
        ),
    }
}

/// Id, service, rights and validity.
fn describe(record: &TokenRecord) -> String {
    let TokenRecord { id, scope, rights, .. } = record;
    let now = now_seconds();
    let validity = match record.expires {
        _ if record.is_revoked => "revoked, the service stays closed".to_owned(),
        None => "never expires".to_owned(),
        Some(end) if end <= now => "has expired".to_owned(),
        Some(end) if end - now >= 2 * DAY => {
            format!("expires in {} days", (end - now + DAY / 2) / DAY)
        }
        Some(end) => format!("expires in {} minutes", (end - now).div_ceil(60)),
    };
    format!("{id}  service {scope}  can {rights}  {validity}")
}

fn service(text: &str) -> Result<String, String> {
    if text != "*" {
        ServiceName::check(text).map_err(|error| error.to_string())?;
    }
    Ok(text.to_owned())
}

fn id(text: &str) -> Result<String, String> {
    // A whole token names its id, too.
    let id = text.strip_prefix("mnv_").and_then(|rest| rest.split('_').next()).unwrap_or(text);
    match is_id(id) {
        true => Ok(id.to_owned()),
        false => Err("a token id has 12 hexadecimal digits".to_owned()),
    }
}

fn validity(text: &str) -> Result<Validity, String> {
    if text == "never" {
        return Ok(Validity(None));
    }
    let seconds = match text.strip_suffix('d') {
        Some(days) => days.parse::<u64>().ok().and_then(|days| days.checked_mul(DAY)),
        None => duration(text).ok().as_ref().map(Duration::as_secs),
    };
    match seconds {
        Some(seconds) if (1..=MAX_DAYS * DAY).contains(&seconds) => Ok(Validity(Some(seconds))),
        _ => Err(format!("`{text}` is not a time up to {MAX_DAYS}d; examples: 90d, 12h, never")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(subcommand)]
        command: TokenCommand,
    }

    /// Runs a command on a store; the printed text.
    async fn run_at(url: &str, arguments: &str) -> Result<String, String> {
        let arguments = std::iter::once("token").chain(arguments.split_whitespace());
        let program = Program::try_parse_from(arguments).map_err(|error| error.to_string())?;
        let printed = RefCell::new(String::new());
        let url = url.parse().unwrap();
        let print = |text: &str| printed.borrow_mut().push_str(text);
        run(&program.command, &url, print, |_| {}).await.map_err(|error| error.to_string())?;
        Ok(printed.into_inner())
    }

    #[tokio::test]
    async fn tokens_are_created_listed_and_revoked_in_a_file_and_in_a_store() {
        let directory = tempfile::tempdir().unwrap();
        let redb = format!("redb:{}", directory.path().join("data").display());
        let file = format!("--file {}", directory.path().join("tokens").display());
        for (url, place) in [("memory:", &*file), (&*redb, "")] {
            let create = format!("create --service chat --can serve,send --expires 90d {place}");
            let token = run_at(url, &create).await.unwrap();
            let id = id(token.trim()).unwrap();
            let list = run_at(url, &format!("list {place}")).await.unwrap();
            assert_eq!(list, format!("{id}  service chat  can serve,send  expires in 90 days\n"));
            let revoke = format!("revoke {id} {place}");
            assert_eq!(run_at(url, &revoke).await, Ok(String::new()));
            let list = run_at(url, &format!("list {place}")).await.unwrap();
            let guard = "service chat  can serve  revoked, the service stays closed";
            assert_eq!(list, format!("{id}  {guard}\n"));
            let again = run_at(url, &revoke).await.unwrap_err();
            assert!(again.contains("revoked already") && again.contains("--reopen"), "{again}");
            let reopen = format!("{revoke} --reopen");
            assert_eq!(run_at(url, &reopen).await, Ok(String::new()));
            assert_eq!(run_at(url, &format!("list {place}")).await, Ok(String::new()));
            let again = run_at(url, &reopen).await.unwrap_err();
            assert!(again.contains("there is no token"), "{again}");
        }
    }

    #[tokio::test]
    async fn a_service_stays_closed_by_one_record() {
        let directory = tempfile::tempdir().unwrap();
        let place = format!("--file {}", directory.path().join("tokens").display());
        let create = async |options: &str| {
            let token = run_at("memory:", &format!("create {options} {place}")).await.unwrap();
            id(token.trim()).unwrap()
        };
        let first = create("--service chat --can serve").await;
        let second = create("--service chat --can serve,read").await;
        let sender = create("--service chat --can send").await;
        let other = create("--service news --can serve").await;
        for id in [&sender, &second, &first, &other] {
            run_at("memory:", &format!("revoke {id} {place}")).await.unwrap();
        }
        let list = run_at("memory:", &format!("list {place}")).await.unwrap();
        let services: Vec<&str> = list.lines().filter_map(|l| l.split("  ").nth(1)).collect();
        assert_eq!(services.len(), 2, "{list}");
        assert!(services.contains(&"service chat") && services.contains(&"service news"), "{list}");
    }

    #[tokio::test]
    async fn wrong_options_are_explained() {
        for (url, arguments, problem) in [
            ("memory:", "create --service a --can send", "use --file"),
            ("memory:", "create --can send --file x", "needs --service"),
            ("memory:", "create --service A --can send --file x", "--service"),
            ("memory:", "create --service a --can fly --file x", "serve, send, read, reset"),
            ("memory:", "create --service a --can send --expires 3651d --file x", "3650d"),
            ("memory:", "create --service a --can send --expires 0 --file x", "3650d"),
            ("memory:", "revoke x --file x", "12 hexadecimal digits"),
            ("memory:", "list --file /nowhere/tokens", "/nowhere/tokens"),
        ] {
            let error = run_at(url, arguments).await.unwrap_err();
            assert!(error.contains(problem), "{arguments}: {error}");
        }
    }

    #[test]
    fn a_validity_is_at_most_ten_years() {
        for (text, seconds) in [("3650d", Some(3650 * DAY)), ("1s", Some(1)), ("2h", Some(7200))] {
            assert_eq!(validity(text), Ok(Validity(seconds)));
        }
        assert_eq!(validity("never"), Ok(Validity(None)));
    }
}
