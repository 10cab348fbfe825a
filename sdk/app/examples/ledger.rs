//! A ledger: each message of a client has one effect, which is stored exactly once, and one answer, whatever crashes.
//! `docs/app-guide.md` explains why that holds.
//!
//! An effect is a row in SQLite, and the number of the next event is stored in the same transaction. An event that
//! comes again after a crash is one that was not answered, as the answer and the acknowledgement are one step: if it
//! is stored already, it gets its answer and has no second effect.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use minerva_app::{AppStream, Event, EventNumber, SendError, Service, StreamNumber};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use tokio::signal::unix::{SignalKind, signal};

/// Stores what clients say, exactly once.
#[derive(Parser)]
struct Config {
    /// Where the cores serve apps: one address or several, with commas in between.
    #[arg(long, env = "MINERVA_API", default_value = "127.0.0.1:7400", value_name = "ADDRS")]
    api: String,
    /// Service to register as; `default` is what clients of /_minerva/ reach.
    #[arg(long, env = "MINERVA_SERVICE", default_value = "default", value_name = "NAME")]
    service: String,
    /// Name of this instance, the same when it is started again. The database is this instance's, so the streams must
    /// come back to it; several instances with other names need one database for all.
    #[arg(long, env = "MINERVA_INSTANCE", default_value = "ledger", value_name = "ID")]
    instance: String,
    /// The database.
    #[arg(long, env = "LEDGER_DATABASE", default_value = "ledger.sqlite", value_name = "FILE")]
    database: PathBuf,
    /// For tests: abort when a handler is at POINT for the COUNTth time. POINT is one of before-transaction,
    /// before-commit, after-commit, after-answer (sent and not confirmed), after-confirmation.
    #[arg(long, value_name = "POINT:COUNT")]
    die_at: Option<Death>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = Config::parse();
    let mut asked = signal(SignalKind::terminate())?;
    let ledger = Ledger { table: Table::open(&config.database)?, death: config.die_at };
    let ledger = Arc::new(ledger);
    let service = Service::connect(&config.api).name(&config.service).instance_id(config.instance);
    let service = service.start().await?;
    println!("ledger: serving `{}`", config.service);
    let handle = service.handle();
    tokio::spawn(async move {
        asked.recv().await;
        handle.stop().await;
    });
    service.run(move |stream| Arc::clone(&ledger).serve(stream)).await;
    Ok(())
}

/// What all streams share.
struct Ledger {
    table: Table,
    death: Option<Death>,
}

impl Ledger {
    /// One stream, from wherever it goes on to its end.
    async fn serve(self: Arc<Self>, mut stream: AppStream) -> anyhow::Result<()> {
        while let Some(happened) = stream.next_event().await {
            let Event::Message { event, message } = happened else { continue };
            let message = String::from_utf8_lossy(&message).into_owned();
            match self.on_message(&stream, event, &message).await {
                // The stream is over; `next_event` tells how.
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
        // With the acknowledgement, in one durable step.
        stream.answer(event, format!("stored {message}")).await?;
        if let Some(death) = self.death {
            self.after_answer(death, stream, event).await?;
        }
        Ok(())
    }

    /// For tests: dies before or after the answer is confirmed.
    async fn after_answer(
        &self,
        death: Death,
        stream: &AppStream,
        event: EventNumber,
    ) -> anyhow::Result<()> {
        let some_time = async {
            // More or less time, so that the answer is on its way more or less far.
            for _ in 0..death.count % 5 * 15 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            confirmed = stream.durable() => confirmed?,
            () = some_time, if death.point == Point::AfterAnswer => {
                self.reach(Point::AfterAnswer, stream, event);
                stream.durable().await?;
            }
        }
        self.reach(Point::AfterConfirmation, stream, event);
        Ok(())
    }

    /// For tests: dies if this is where it should.
    fn reach(&self, point: Point, stream: &AppStream, event: EventNumber) {
        static TIMES: AtomicU64 = AtomicU64::new(0);
        let Some(death) = self.death.filter(|death| death.point == point) else { return };
        if TIMES.fetch_add(1, Ordering::Relaxed) + 1 == death.count {
            println!("ledger: dies {} {event}", stream.number());
            std::process::abort();
        }
    }
}

/// The database: effects, and the number of the next event of each stream. The number of a stream that has ended is
/// needed until its end cannot come again: `--keep-ended` of the cores, 24 hours.
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

    /// Stores the effect of an event, unless that was done before; gives whether it did.
    fn store(
        &self,
        stream: StreamNumber,
        event: EventNumber,
        what: &str,
        before_commit: impl FnOnce(),
    ) -> anyhow::Result<bool> {
        // SQLite has signed numbers, and blocks: others go on in threads of their own meanwhile.
        let (stream, event) = (stream.0.cast_signed(), event.0.cast_signed());
        tokio::task::block_in_place(|| {
            let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Another instance that writes as well waits here, and then sees what this one wrote.
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
                params![stream, event, what],
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

/// Where to die.
#[derive(Clone, Copy)]
struct Death {
    point: Point,
    count: u64,
}

/// A moment in the handling of a message.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Point {
    BeforeTransaction,
    BeforeCommit,
    AfterCommit,
    AfterAnswer,
    AfterConfirmation,
}

impl FromStr for Death {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (point, count) = text.split_once(':').ok_or("use POINT:COUNT")?;
        let count = count.parse().map_err(|_| format!("`{count}` is no number"))?;
        Ok(Self { point: Point::from_str(point, false)?, count })
    }
}
