//! Partitions: fixed shares of all streams, each owned by one task.

mod mailbox;

pub use mailbox::{
    LinkHandle, LinkId, MAILBOX_ATTACH_LIMIT, Mail, MailReceiver, Partitions, SessionHandle,
    SessionId,
};
