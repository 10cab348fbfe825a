//! One transport's way to the owner of its stream: a place while there is an owner, and word of it when
//! that changes. Held by `session.rs`; what it says is never of a place that has ended.

use minerva_proto::StreamId;
use minerva_proto::link::{CoreMessage, EdgeMessage};

use super::directory::Directory;
use super::place::Place;
use crate::cached_watch::CachedWatch;
use crate::metrics::Cause;

/// What a route has to say.
#[derive(Debug)]
pub(crate) enum News {
    /// The owner said something.
    Said(CoreMessage),
    /// The place has ended: the transport is nobody's.
    Displaced(Cause),
    /// There may be a place now.
    Open,
}

#[derive(Debug)]
pub(crate) struct Route {
    directory: Directory,
    stream_hash: u64,
    changes: CachedWatch<Cause>,
    place: Option<Place>,
}

impl Route {
    pub(crate) fn new(directory: &Directory, stream: &StreamId) -> Self {
        let stream_hash = stream.stable_hash();
        let changes = CachedWatch::new(directory.follow(stream_hash));
        Self { directory: directory.clone(), stream_hash, changes, place: None }
    }

    /// Takes a place if there is an owner; `true`: the transport has a new one.
    pub(crate) fn take_place(&mut self) -> bool {
        if self.place.is_some() {
            return false;
        }
        self.place = self.directory.place(self.stream_hash);
        self.place.is_some()
    }

    /// Tells the owner, if there is one.
    pub(crate) fn tell(&mut self, message: EdgeMessage) {
        if let Some(place) = &mut self.place {
            place.tell(message);
        }
    }

    /// What happens next. May be cancelled.
    pub(crate) async fn next(&mut self) -> News {
        loop {
            let Self { changes, place, .. } = self;
            tokio::select! {
                // What a former owner still says must not get past the news of its end.
                biased;
                changed = changes.changed() => {
                    if changed.is_err() {
                        self.changes = CachedWatch::new(self.directory.follow(self.stream_hash));
                    }
                    match self.ended() {
                        Some(cause) => return self.displaced(cause),
                        None if self.place.is_none() => return News::Open,
                        None => {}
                    }
                }
                said = said(place) => match said {
                    Some(said) => return News::Said(said),
                    None => {
                        let lost = self.place.as_ref().is_some_and(Place::is_closed);
                        let cause = if lost { Cause::LinkLost } else { Cause::Dropped };
                        let cause = self.ended().unwrap_or(cause);
                        return self.displaced(cause);
                    }
                },
            }
        }
    }

    /// What the owner said already.
    pub(crate) fn try_next(&mut self) -> Option<CoreMessage> {
        self.place.as_mut().and_then(Place::try_next)
    }

    fn ended(&self) -> Option<Cause> {
        let tenure = self.place.as_ref()?.tenure();
        // Not within the call: whoever tells holds the directory.
        let last = *self.changes.borrow();
        self.directory.ended(tenure, last)
    }

    fn displaced(&mut self, cause: Cause) -> News {
        self.place = None;
        News::Displaced(cause)
    }
}

async fn said(place: &mut Option<Place>) -> Option<CoreMessage> {
    match place {
        Some(place) => place.next().await,
        None => std::future::pending().await,
    }
}
