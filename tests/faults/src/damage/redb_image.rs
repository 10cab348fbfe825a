//! Reads and writes the whole content of a redb file.
//!
//! A damaged file may make redb panic, so files are read by a process of their own: `minerva-faults rows FILE`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableHandle as _,
};
use tokio::process::Command;
use tokio::time::timeout;

use super::image::{Image, Row, RowKind};

const SETTINGS: TableDefinition<'static, &str, u64> = TableDefinition::new("settings");
const HEADS: TableDefinition<'static, u32, (u64, u64, u64)> = TableDefinition::new("heads");
const CLAIMS: TableDefinition<'static, u32, &str> = TableDefinition::new("claims");
const META: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'static, (u32, u64), &[u8]> = TableDefinition::new("log");
const STREAMS: TableDefinition<'static, (u32, u64), &[u8]> = TableDefinition::new("streams");
/// Deadline of the reading process.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Options of `rows`.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    file: PathBuf,
}

/// Exit code of the reader if redb does not open the file.
const NOT_OPENED: u8 = 3;

/// The result of opening a damaged file.
pub(super) enum Reading {
    Rows(Image),
    /// redb does not open the file.
    NotOpened,
    /// redb opens the file, but the reader fails, panics or hangs.
    Unreadable,
}

/// The command `rows`: writes the rows of a file to the output.
pub(crate) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut output = Vec::new();
    let database = match Database::open(&config.file) {
        Ok(database) => database,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::from(NOT_OPENED));
        }
    };
    for (row, value) in read_rows(&database)?.0 {
        output.push(row.kind as u8);
        for bytes in [&row.table, &row.key, &value] {
            output.extend((bytes.len() as u32).to_be_bytes());
            output.extend(bytes);
        }
    }
    std::io::stdout().write_all(&output).context("cannot write the rows")?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a file in a process of its own.
pub(super) async fn read(file: &Path) -> anyhow::Result<Reading> {
    let this = std::env::current_exe().context("cannot find this program's own path")?;
    let child =
        Command::new(this).arg("rows").arg(file).stderr(Stdio::null()).kill_on_drop(true).output();
    let Ok(output) = timeout(READ_TIMEOUT, child).await else { return Ok(Reading::Unreadable) };
    let output = output.context("cannot start the reader")?;
    Ok(match output.status.code() {
        Some(0) => {
            Reading::Rows(parse(&output.stdout).context("the reader's output is incomplete")?)
        }
        Some(code) if code == i32::from(NOT_OPENED) => Reading::NotOpened,
        Some(_) | None => Reading::Unreadable,
    })
}

fn parse(mut output: &[u8]) -> Option<Image> {
    let mut rows = BTreeMap::new();
    let bytes = |output: &mut &[u8]| -> Option<Vec<u8>> {
        let (length, rest) = output.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        *output = rest;
        Some(bytes.to_vec())
    };
    while let Some((_, rest)) = output.split_first() {
        output = rest;
        let (table, key) = (bytes(&mut output)?, bytes(&mut output)?);
        rows.insert(Row { table, kind: RowKind::Table, key }, bytes(&mut output)?);
    }
    Some(Image(rows))
}

fn read_rows(database: &Database) -> anyhow::Result<Image> {
    let transaction = database.begin_read()?;
    let mut rows = BTreeMap::new();
    let mut add = |table: &str, key: Vec<u8>, value: Vec<u8>| {
        rows.insert(Row { table: table.into(), kind: RowKind::Table, key }, value);
    };
    for table in transaction.list_tables()? {
        let name = table.name();
        match name {
            "settings" => {
                for row in transaction.open_table(SETTINGS)?.iter()? {
                    let (key, value) = row?;
                    add(name, key.value().into(), value.value().to_be_bytes().to_vec());
                }
            }
            "heads" => {
                for row in transaction.open_table(HEADS)?.iter()? {
                    let (key, value) = row?;
                    let (epoch, first, next) = value.value();
                    let value = [epoch, first, next].map(u64::to_be_bytes).concat();
                    add(name, key.value().to_be_bytes().to_vec(), value);
                }
            }
            "claims" => {
                for row in transaction.open_table(CLAIMS)?.iter()? {
                    let (key, value) = row?;
                    add(name, key.value().to_be_bytes().to_vec(), value.value().into());
                }
            }
            "meta" => {
                for row in transaction.open_table(META)?.iter()? {
                    let (key, value) = row?;
                    add(name, key.value().to_be_bytes().to_vec(), value.value().into());
                }
            }
            "log" | "streams" => {
                let definition = if name == "log" { LOG } else { STREAMS };
                for row in transaction.open_table(definition)?.iter()? {
                    let (key, value) = row?;
                    let (partition, number) = key.value();
                    let key = [&partition.to_be_bytes()[..], &number.to_be_bytes()].concat();
                    add(name, key, value.value().into());
                }
            }
            // Damaged blobs kept aside by a core, which no partition needs.
            "quarantine" => {}
            other => bail!("the table {other} is unknown to this program"),
        }
    }
    Ok(Image(rows))
}

/// Writes a new file.
pub(super) fn write(file: &Path, image: &Image) -> anyhow::Result<()> {
    let database = Database::create(file)?;
    let transaction = database.begin_write()?;
    {
        let mut settings = transaction.open_table(SETTINGS)?;
        let mut heads = transaction.open_table(HEADS)?;
        let mut claims = transaction.open_table(CLAIMS)?;
        let mut meta = transaction.open_table(META)?;
        let (mut log, mut streams) =
            (transaction.open_table(LOG)?, transaction.open_table(STREAMS)?);
        for (Row { table, key, .. }, value) in &image.0 {
            match &**table {
                b"settings" => {
                    settings.insert(str::from_utf8(key)?, number(value)?)?;
                }
                b"heads" => {
                    let part = |at: usize| number(value.get(at..at + 8).unwrap_or_default());
                    heads.insert(partition(key)?, (part(0)?, part(8)?, part(16)?))?;
                }
                b"claims" => {
                    claims.insert(partition(key)?, str::from_utf8(value)?)?;
                }
                b"meta" => {
                    meta.insert(partition(key)?, &**value)?;
                }
                b"log" => {
                    log.insert(
                        (partition(key)?, number(key.get(4..).unwrap_or_default())?),
                        &**value,
                    )?;
                }
                _ => {
                    streams.insert(
                        (partition(key)?, number(key.get(4..).unwrap_or_default())?),
                        &**value,
                    )?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn partition(key: &[u8]) -> anyhow::Result<u32> {
    Ok(u32::from_be_bytes(*key.first_chunk().context("a short key")?))
}

fn number(bytes: &[u8]) -> anyhow::Result<u64> {
    Ok(u64::from_be_bytes(bytes.try_into().context("not a number")?))
}
