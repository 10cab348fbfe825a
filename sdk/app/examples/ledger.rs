//! A ledger: each message has one effect, stored exactly once, and one answer, despite crashes.
//! `docs/app-guide.md` explains the method.
//!
//! An effect is a row in SQLite, and the number of the next event is stored in the same transaction. Only
//! unanswered events are delivered again, because answer and acknowledgement are one durable step. A
//! redelivered event whose effect is stored gets an answer without a second effect.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use minerva_app::{AppStream, Event, EventNumber, SendError, Service, StreamNumber};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use tokio::signal::unix::{SignalKind, signal};

/// Stores the messages of clients exactly once.
#[derive(Parser)]
struct Config {
    /// Addresses of the cores' application API, separated by commas.
    #[arg(long, env = "MINERVA_API", default_value = "127.0.0.1:7400", value_name = "ADDRS")]
    api: String,
    /// Service to register as; `default` is the service of the path /_minerva/.
    #[arg(long, env = "MINERVA_SERVICE", default_value = "default", value_name = "NAME")]
    service: String,
    /// Id of this instance, constant over restarts, so that streams return to the instance with their
    /// database. Several instances with different ids must share one database.
    #[arg(long, env = "MINERVA_INSTANCE", default_value = "ledger", value_name = "ID")]
    instance: String,
    /// Path of the database.
    #[arg(long, env = "LEDGER_DATABASE", default_value = "ledger.sqlite", value_name = "FILE")]
    database: PathBuf,
    /// For tests: abort when a handler reaches POINT for the COUNTth time. POINT is one of
    /// before-transaction, before-commit, after-commit, after-answer (sent, not confirmed),
    /// after-confirmation.
    #[arg(long, value_name = "POINT:COUNT")]
    die_at: Option<Crash>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let ledger = Ledger { table: Table::open(&config.database)?, crash: config.die_at };
    let ledger = Arc::new(ledger);
    let service = Service::connect(&config.api).name(&config.service).instance_id(config.instance);
    let service = service.start().await?;
    println!("ledger: serving `{}`", config.service);
    let handle = service.handle();
    tokio::spawn(async move {
        terminate.recv().await;
        handle.stop().await;
    });
    service.run(move |stream| Arc::clone(&ledger).serve(stream)).await;
    Ok(())
}

/// State shared by all streams.
struct Ledger {
    table: Table,
    crash: Option<Crash>,
}

impl Ledger {
    /// Serves one stream from the current position to the end.
    async fn serve(self: Arc<Self>, mut stream: AppStream) -> anyhow::Result<()> {
        while let Some(next) = stream.next_event().await {
            let Event::Message { event, message, .. } = next else { continue };
            let Some(text) = message.as_text() else {
                stream.reset("not text")?;
                continue;
            };
            match self.on_message(&stream, event, text).await {
                // The stream is over; `next_event` returns the end.
                Err(error) if error.is::<SendError>() => {}
                done => done?,
            }
        }
        Ok(())
    }

    async fn on_message(
        &self,
        stream: &AppStream,
        event: EventNumber,
        message: &str,
    ) -> anyhow::Result<()> {
        self.reach(Point::BeforeTransaction, stream, event);
        let number = stream.number();
        let before_commit = || {
            println!("ledger: new {number} {event}");
            self.reach(Point::BeforeCommit, stream, event);
        };
        if !self.table.store(number, event, message, before_commit)? {
            println!("ledger: again {number} {event}");
        }
        self.reach(Point::AfterCommit, stream, event);
        // Includes the acknowledgement, in one durable step.
        stream.answer(event, format!("stored {message}")).await?;
        if let Some(crash) = self.crash {
            self.after_answer(crash, stream, event).await?;
        }
        Ok(())
    }

    /// For tests: crashes before or after the confirmation of the answer.
    async fn after_answer(
        &self,
        crash: Crash,
        stream: &AppStream,
        event: EventNumber,
    ) -> anyhow::Result<()> {
        let some_time = async {
            // A varying time, so that the answer is in different stages of delivery.
            for _ in 0..crash.count % 5 * 15 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            confirmed = stream.durable() => confirmed?,
            () = some_time, if crash.point == Point::AfterAnswer => {
                self.reach(Point::AfterAnswer, stream, event);
                stream.durable().await?;
            }
        }
        self.reach(Point::AfterConfirmation, stream, event);
        Ok(())
    }

    /// For tests: crashes at the configured point.
    fn reach(&self, point: Point, stream: &AppStream, event: EventNumber) {
        static TIMES: AtomicU64 = AtomicU64::new(0);
        let Some(crash) = self.crash.filter(|crash| crash.point == point) else { return };
        if TIMES.fetch_add(1, Ordering::Relaxed) + 1 == crash.count {
            println!("ledger: dies {} {event}", stream.number());
            std::process::abort();
        }
    }
}

/// The database: effects, and the next event of each stream. The row of an ended stream is needed until the
/// end cannot be delivered again, `--keep-ended` of the cores (24 hours).
struct Table(Mutex<Connection>);

impl Table {
    fn open(path: &PathBuf) -> anyhow::Result<Self> {
        let connection = Connection::open(path).with_context(|| format!("cannot open {path:?}"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS effects (number INTEGER PRIMARY KEY, stream, event, what);
             CREATE TABLE IF NOT EXISTS streams (stream INTEGER PRIMARY KEY, next_event NOT NULL);",
        )?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Stores the effect of an event once. Returns whether the effect is new.
    fn store(
        &self,
        stream: StreamNumber,
        event: EventNumber,
        content: &str,
        before_commit: impl FnOnce(),
    ) -> anyhow::Result<bool> {
        // SQLite has signed integers. The call blocks, while other streams continue on other threads.
        let (stream, event) = (stream.0.cast_signed(), event.0.cast_signed());
        tokio::task::block_in_place(|| {
            let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // A concurrent writer waits here and then reads the rows of this transaction.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let next: Option<i64> = transaction
                .query_one("SELECT next_event FROM streams WHERE stream = ?", [stream], |row| {
                    row.get(0)
                })
                .optional()?;
            if next.is_some_and(|next| event < next) {
                return Ok(false);
            }
            transaction.execute(
                "INSERT INTO effects (stream, event, what) VALUES (?, ?, ?)",
                params![stream, event, content],
            )?;
            transaction.execute(
                "INSERT OR REPLACE INTO streams (stream, next_event) VALUES (?, ?)",
                [stream, event + 1],
            )?;
            before_commit();
            transaction.commit()?;
            Ok(true)
        })
    }
}

/// A planned crash.
#[derive(Clone, Copy)]
struct Crash {
    point: Point,
    count: u64,
}

/// A point in the handling of a message.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Point {
    BeforeTransaction,
    BeforeCommit,
    AfterCommit,
    AfterAnswer,
    AfterConfirmation,
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (point, count) = text.split_once(':').ok_or("use POINT:COUNT")?;
        let count = count.parse().map_err(|_| format!("`{count}` is no number"))?;
        Ok(Self { point: Point::from_str(point, false)?, count })
    }
}
