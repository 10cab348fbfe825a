//! Static pages of an edge: the web client and pages of the embedding program (a demo). Held in memory with
//! entity tags; served by `http.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

/// Path of the web client.
pub const CLIENT_JS: &str = "/_minerva/client.js";
/// Path of the web client with version 3 of the protocol.
const CLIENT3_JS: &str = "/_minerva/client3.js";
/// Path of the module that shares a stream among tabs.
const SHARED_JS: &str = "/_minerva/shared.js";
/// Path of the shared worker of the web client.
const WORKER_JS: &str = "/_minerva/worker.js";
/// Path of the module of the web client for transports over the shared worker.
const MUX_MJS: &str = "/_minerva/mux.mjs";
/// Path of the module of the web client that sends and receives files.
const FILES_MJS: &str = "/_minerva/files.mjs";
/// Path of the module of the web client for questions and answers.
const QAN_MJS: &str = "/_minerva/qan.mjs";
/// Path of the module of the web client for sessions.
const SESSION_MJS: &str = "/_minerva/session.mjs";
/// The web client as built from `sdk/web`; a test there compares the file with a fresh build.
const CLIENT: &[u8] = include_bytes!("../../sdk/web/dist/client.js");
const CLIENT3: &[u8] = include_bytes!("../../sdk/web/dist/client3.js");
const SHARED: &[u8] = include_bytes!("../../sdk/web/dist/shared.js");
const WORKER: &[u8] = include_bytes!("../../sdk/web/dist/worker.js");
const MUX: &[u8] = include_bytes!("../../sdk/web/dist/mux.mjs");
const FILES: &[u8] = include_bytes!("../../sdk/web/dist/files.mjs");
const QAN: &[u8] = include_bytes!("../../sdk/web/dist/qan.mjs");
const SESSION: &[u8] = include_bytes!("../../sdk/web/dist/session.mjs");

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Pages by path. Clones share the content.
#[derive(Debug, Clone)]
pub struct Pages {
    pages: Arc<BTreeMap<String, Page>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// Strong entity tag, with quotes.
    pub(crate) etag: String,
}

impl Pages {
    /// The web client in both versions, its modules for shared tabs, files, questions and sessions, and its shared worker with the module for tabs.
    pub fn new() -> Self {
        let none = Self { pages: Arc::default() };
        none.with(CLIENT_JS, JAVASCRIPT, CLIENT)
            .with(CLIENT3_JS, JAVASCRIPT, CLIENT3)
            .with(SHARED_JS, JAVASCRIPT, SHARED)
            .with(WORKER_JS, JAVASCRIPT, WORKER)
            .with(MUX_MJS, JAVASCRIPT, MUX)
            .with(FILES_MJS, JAVASCRIPT, FILES)
            .with(QAN_MJS, JAVASCRIPT, QAN)
            .with(SESSION_MJS, JAVASCRIPT, SESSION)
    }

    /// Adds a page, or replaces the page at the same path.
    #[must_use]
    pub fn with(
        mut self,
        path: impl Into<String>,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        let body = body.into();
        let etag = format!("\"{:016x}-{:x}\"", fnv1a(&body), body.len());
        Arc::make_mut(&mut self.pages).insert(path.into(), Page { content_type, body, etag });
        self
    }

    pub(crate) fn at(&self, path: &str) -> Option<&Page> {
        self.pages.get(path)
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

/// FNV-1a, 64 bits: identifies content, without security properties.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_client_is_always_served() {
        for path in
            [CLIENT_JS, CLIENT3_JS, SHARED_JS, WORKER_JS, MUX_MJS, FILES_MJS, QAN_MJS, SESSION_MJS]
        {
            assert!(Pages::new().at(path).is_some_and(|page| page.body.len() > 1000), "{path}");
        }
    }

    #[test]
    fn a_page_has_one_path_and_a_tag_of_its_content() {
        let one = Pages::new().with("/", "text/html", "one");
        let two = one.clone().with("/", "text/html", "two");
        let tag = |pages: &Pages| pages.at("/").map(|page| page.etag.clone());
        assert!(tag(&one).is_some());
        assert_ne!(tag(&one), tag(&two));
        assert!(one.at("/x").is_none());
    }
}
