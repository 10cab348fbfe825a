//! Files as messages: a header, then binary parts. Section 11 of `docs/protocol.md` has the format. Optional.
//!
//! [`Sender::send_file`](crate::Sender::send_file) splits a reader into messages. [`FileAssembler`] puts the parts of the client
//! together. Neither holds more than one part in memory.
//!
//! ```no_run
//! use minerva_app::files::{FileAssembler, FileEvent, FileHeader};
//! use minerva_app::{AppStream, Message};
//!
//! async fn serve(mut stream: AppStream) -> Result<(), Box<dyn std::error::Error>> {
//!     let sender = stream.sender();
//!     tokio::spawn(async move {
//!         let picture = vec![0; 1 << 20]; // or a `tokio::fs::File` and its length
//!         let header = FileHeader::new("cat.png", picture.len() as u64, "image/png");
//!         sender.send_file(&header, &picture[..], |sent| println!("{sent} bytes sent")).await
//!     });
//!     let (mut files, mut content) = (FileAssembler::new(10 << 20), Vec::new());
//!     while let Some(message) = stream.recv().await {
//!         match files.on_message(message)? {
//!             FileEvent::Begun(header) => println!("{} has {} bytes", header.name, header.size),
//!             FileEvent::Part { bytes, is_last, .. } => {
//!                 content.extend_from_slice(&bytes);
//!                 if is_last {
//!                     println!("complete");
//!                 }
//!             }
//!             FileEvent::GivenUp(reason) => println!("incomplete: {reason}"),
//!             FileEvent::Other(Message::Text(text)) => println!("no part of a file: {text}"),
//!             FileEvent::Other(Message::Binary(_)) => {}
//!         }
//!     }
//!     Ok(())
//! }
//! ```

mod assembler;
mod header;
mod sending;

pub use assembler::{FileAssembler, FileAssemblyError, FileEvent};
pub use header::FileHeader;
pub use sending::SendFileError;

/// Most bytes of a part.
pub const MAX_PART: usize = 32 << 10;
