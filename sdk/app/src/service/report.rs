//! Reports that a developer must see, also in a program without a `tracing` subscriber: those go to stderr. Used by the
//! service.

use std::fmt::Display;
use std::io::Write as _;

use tracing::subscriber::NoSubscriber;

/// Reports the end of a handler.
pub(super) fn handler_failed(stream: &impl Display, how: &str, error: &dyn Display) {
    if is_logged() {
        tracing::error!(%stream, %error, "a handler {how}");
    } else {
        write(format_args!("the handler of stream {stream} {how}: {error}"));
    }
}

/// Reports a start for which no core has been found yet.
pub(super) fn waiting(service: &str, addresses: &str) {
    if is_logged() {
        tracing::warn!(service, addresses, "no core answers yet; the start waits");
    } else {
        write(format_args!(
            "no core answers yet at {addresses}, so the service `{service}` waits: start Minerva, or correct the address"
        ));
    }
}

fn is_logged() -> bool {
    tracing::dispatcher::get_default(|current| !current.is::<NoSubscriber>())
}

fn write(text: std::fmt::Arguments<'_>) {
    // An error of stderr has no consequence for the service.
    let _ = writeln!(std::io::stderr(), "minerva: {text}");
}
