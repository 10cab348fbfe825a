//! The handle that applications hold, [`Stream`].

use std::sync::Arc;

use bytes::Bytes;
use minerva_proto::{MAX_MESSAGE, StreamId, hello, is_message_allowed};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::{Config, TransportKind};
use crate::driver;
use crate::error::{ConnectError, Ended, SendError};
use crate::http::HttpTarget;
use crate::shared::Shared;
use crate::stream::{Counters, StreamMachine};

/// A stream: an ordered, reliable, two-way sequence of strings with an application service. A handle;
/// clones are the same stream. When the last one is dropped the transports are closed and the stream is
/// left to the server's idle limit; [`Stream::reset`] ends it at once.
#[derive(Clone)]
pub struct Stream {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    id: StreamId,
    driver: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Stream {
    /// Starts a stream and returns at once; it connects, and connects again, for as long as it takes.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the configuration cannot work, or there is no runtime.
    pub fn connect(config: Config) -> Result<Self, ConnectError> {
        check(&config)?;
        let runtime = Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let targets = config.addresses().map(|address| HttpTarget::new(&config, address));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let id = match &config.id {
            Some(id) => id.clone(),
            None => random_id()?,
        };
        let seed = getrandom::u64().map_err(|_| ConnectError::Randomness)?;
        let machine = StreamMachine::new(config.clone(), id.clone(), seed);
        let shared = Arc::new(Shared::new(&config, Clock::start(), machine));
        let driver = runtime.spawn(driver::run(shared.clone(), targets));
        Ok(Self { inner: Arc::new(Inner { shared, id, driver }) })
    }

    /// The stream id: a secret.
    pub fn id(&self) -> &StreamId {
        &self.inner.id
    }

    /// Waits until the server has made the stream, or found it.
    ///
    /// # Errors
    /// If the stream ends instead.
    pub async fn ready(&self) -> Result<(), Ended> {
        self.until(StreamMachine::is_ready).await
    }

    /// Sends a string and waits until the server has acknowledged it: it is durable then, and arrives.
    /// Waits for room first, if there is none. Returns the string's number.
    ///
    /// # Errors
    /// If the string cannot be sent or the stream ends. When the future is dropped while it waits for
    /// the acknowledgement, the string is sent all the same.
    pub async fn send(&self, string: impl Into<Bytes>) -> Result<u64, SendError> {
        let number = self.queue(string).await?;
        self.until(|machine| machine.acknowledged() > number).await?;
        Ok(number)
    }

    /// Queues a string as soon as there is room. Returns its number.
    ///
    /// # Errors
    /// If the string cannot be sent or the stream has ended.
    pub async fn queue(&self, string: impl Into<Bytes>) -> Result<u64, SendError> {
        let string = string.into();
        loop {
            match self.try_send(string.clone()) {
                Err(SendError::Full) => {
                    self.until(|machine| machine.has_room(string.len())).await?;
                }
                sent => return sent,
            }
        }
    }

    /// Queues a string if there is room. Returns its number.
    ///
    /// # Errors
    /// [`SendError::Full`] if there is no room; if the string cannot be sent or the stream has ended.
    pub fn try_send(&self, string: impl Into<Bytes>) -> Result<u64, SendError> {
        let string = string.into();
        if string.len() > MAX_MESSAGE {
            return Err(SendError::TooLong);
        }
        if !is_message_allowed(&string) {
            return Err(SendError::NotAllowed);
        }
        self.inner.shared.with(|machine, now| match machine.ended() {
            Some(ended) => Err(ended.clone().into()),
            None => machine.push(now, string).ok_or(SendError::Full),
        })
    }

    /// Waits until the server has acknowledged all that was queued before this call.
    ///
    /// # Errors
    /// If the stream ends before.
    pub async fn flush(&self) -> Result<(), Ended> {
        let sent = self.counters().sent;
        self.until(|machine| machine.acknowledged() >= sent).await
    }

    /// The next string from the application; `None` once the stream has ended and all is taken. While
    /// many wait to be taken, the server is made to wait with more; what [`Stream::send`] waits for comes all the
    /// same. Dropping the future loses nothing.
    pub async fn recv(&self) -> Option<Bytes> {
        self.inner.shared.receive().await
    }

    /// Drops all transports with what is under way on them, as a bad network would; for tests and
    /// demonstrations.
    pub fn cut(&self) {
        self.inner.shared.with(StreamMachine::cut);
    }

    /// Moves the stream to another transport. The new one succeeds the old one before that closes, so
    /// nothing pauses. Naming the current one opens it afresh.
    pub fn switch(&self, transport: TransportKind) {
        self.inner.shared.with(|machine, now| machine.switch(now, transport));
    }

    /// What carries the stream now; `None` while it is being connected, and once it has ended.
    pub fn transport(&self) -> Option<TransportKind> {
        self.inner.shared.look().machine.carried_by()
    }

    /// Waits until something else carries the stream than `known`, and returns it: to show whether a program
    /// is connected, and how. Changes that follow each other quickly may be told as one.
    ///
    /// # Errors
    /// If the stream ends.
    pub async fn transport_changed(
        &self,
        known: Option<TransportKind>,
    ) -> Result<Option<TransportKind>, Ended> {
        let change = |machine: &StreamMachine| match machine.ended() {
            Some(ended) => Some(Err(ended.clone())),
            None => Some(machine.carried_by()).filter(|now| *now != known).map(Ok),
        };
        self.inner.shared.wait(change).await
    }

    /// Gives the stream up. The server is told, as soon as it can be reached; [`Stream::closed`] waits
    /// for that. The reason is cut to 255 characters of ASCII.
    pub fn reset(&self, reason: &str) {
        self.inner.shared.with(|machine, now| machine.reset(now, reason));
    }

    /// How the stream ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        self.inner.shared.look().machine.ended().cloned()
    }

    /// Waits for the end of the stream.
    pub async fn closed(&self) -> Ended {
        self.inner.shared.wait(|machine| machine.ended().cloned()).await
    }

    /// What the stream has done so far.
    pub fn counters(&self) -> Counters {
        self.inner.shared.look().machine.counters()
    }

    /// Waits until the machine is as wished.
    async fn until(&self, wished: impl Fn(&StreamMachine) -> bool) -> Result<(), Ended> {
        let outcome = |machine: &StreamMachine| match machine.ended() {
            _ if wished(machine) => Some(Ok(())),
            Some(ended) => Some(Err(ended.clone())),
            None => None,
        };
        self.inner.shared.wait(outcome).await
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("id", self.id()).finish_non_exhaustive()
    }
}

fn check(config: &Config) -> Result<(), ConnectError> {
    if config.credentials.as_ref().is_some_and(|cred| cred.len() > hello::MAX_CRED) {
        return Err(ConnectError::Credentials);
    }
    if !(1..=600).contains(&config.heartbeat.as_secs()) {
        return Err(ConnectError::Heartbeat);
    }
    Ok(())
}

/// 26 random letters and digits: 154 bits.
fn random_id() -> Result<StreamId, ConnectError> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0; 26];
    getrandom::fill(&mut random).map_err(|_| ConnectError::Randomness)?;
    let id: String =
        random.iter().map(|byte| char::from(LETTERS[usize::from(byte & 63)])).collect();
    StreamId::parse(&id).map_err(|_| ConnectError::Randomness)
}
