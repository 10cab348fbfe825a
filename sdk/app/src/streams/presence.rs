//! The members of groups and the connections of their clients.

use std::time::{Duration, SystemTime};

use minerva_proto::StreamNumber;
use minerva_proto::app::{self, ListGroupRequest, ListGroupResponse};

use super::{Streams, StreamsError};

/// A stream in a group, reported by a core. See [`Streams::list_group`](crate::Streams::list_group) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Number of the stream.
    pub stream: StreamNumber,
    /// Label, unless empty.
    pub label: Option<String>,
    /// Whether the client is connected.
    pub connection: Connection,
    /// Begin of the connection, or of the time without one, by the core's clock. Starts again when the partition of the
    /// stream moves to another core.
    pub since: SystemTime,
}

/// The connection of a client. See [`Streams::list_group`](crate::Streams::list_group) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Connection {
    /// Connected, or without a connection for less than a second.
    Attached,
    /// Without a connection for 1 to 10 seconds: a page is reloaded, or a network changes.
    Detached,
    /// Without a connection for 10 seconds. The stream is still a member, and gets the messages to the group.
    Absent,
    /// The core serves the stream for less than 10 seconds, and the client has not connected yet. Or newer than this SDK.
    Unknown,
}

impl Streams {
    /// Passes the members of a group to `each`, page by page and core by core, in no particular order. Absent members
    /// are omitted: their clients have had no connection for 10 seconds. Members that join, leave or move meanwhile may
    /// be missing.
    ///
    /// ```no_run
    /// # async fn example(streams: minerva_app::Streams) -> Result<(), minerva_app::StreamsError> {
    /// use minerva_app::Connection;
    ///
    /// let mut online = Vec::new();
    /// streams.list_group("default", "lobby", |page| online.extend(page)).await?;
    /// for member in online {
    ///     let is_reloading = member.connection == Connection::Detached;
    ///     println!("{} since {:?}, reloads: {is_reloading}", member.stream, member.since);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a core is unreachable, or a partition has moved meanwhile: the list may be incomplete.
    pub async fn list_group(
        &self,
        service: impl Into<String>,
        group: impl Into<String>,
        mut each: impl FnMut(Vec<GroupMember>),
    ) -> Result<(), StreamsError> {
        let request = ListGroupRequest {
            service: service.into(),
            group: group.into(),
            ..ListGroupRequest::default()
        };
        let each = |page: ListGroupResponse| {
            each(page.members.into_iter().map(GroupMember::from).collect());
        };
        self.cores.list(request, self.timeout, each).await
    }
}

impl From<app::GroupMember> for GroupMember {
    fn from(member: app::GroupMember) -> Self {
        let connection = match member.connection() {
            app::Connection::Attached => Connection::Attached,
            app::Connection::Detached => Connection::Detached,
            app::Connection::Absent => Connection::Absent,
            app::Connection::Unknown | app::Connection::Unspecified => Connection::Unknown,
        };
        Self {
            stream: StreamNumber(member.stream),
            label: Some(member.label).filter(|label| !label.is_empty()),
            connection,
            since: SystemTime::UNIX_EPOCH + Duration::from_millis(member.since_ms),
        }
    }
}
