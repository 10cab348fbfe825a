//! Static pages of an edge: the web client and pages of the embedding program (a demo). Held in memory, plain and
//! compressed, with entity tags; served by `http.rs`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Path of the web client.
pub const CLIENT_JS: &str = "/_minerva/client.js";
/// Path of the web client with version 3 of the protocol.
const CLIENT3_JS: &str = "/_minerva/client3.js";
/// Path of the module that shares a stream among tabs.
const SHARED_JS: &str = "/_minerva/shared.js";
/// Path of the shared worker that owns a stream of several tabs.
const SHARED_WORKER_JS: &str = "/_minerva/shared_worker.js";
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
const SHARED_WORKER: &[u8] = include_bytes!("../../sdk/web/dist/shared_worker.js");
const WORKER: &[u8] = include_bytes!("../../sdk/web/dist/worker.js");
const MUX: &[u8] = include_bytes!("../../sdk/web/dist/mux.mjs");
const FILES: &[u8] = include_bytes!("../../sdk/web/dist/files.mjs");
const QAN: &[u8] = include_bytes!("../../sdk/web/dist/qan.mjs");
const SESSION: &[u8] = include_bytes!("../../sdk/web/dist/session.mjs");

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Files of the web client by path.
const FILES_OF_CLIENT: &[(&str, &[u8])] = &[
    (CLIENT_JS, CLIENT),
    (CLIENT3_JS, CLIENT3),
    (SHARED_JS, SHARED),
    (SHARED_WORKER_JS, SHARED_WORKER),
    (WORKER_JS, WORKER),
    (MUX_MJS, MUX),
    (FILES_MJS, FILES),
    (QAN_MJS, QAN),
    (SESSION_MJS, SESSION),
];

/// Shortest page in bytes that is compressed: a shorter one fits into a packet with its head.
const MIN_COMPRESSED: usize = 1024;

/// Pages by path. Clones share the content.
#[derive(Debug, Clone)]
pub struct Pages {
    pages: Arc<BTreeMap<String, Page>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) content_type: &'static str,
    pub(crate) plain: Representation,
    /// The same content with gzip; absent if shorter by less than a tenth.
    pub(crate) gzip: Option<Representation>,
}

/// Form of a page on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Representation {
    pub(crate) body: Bytes,
    /// Strong entity tag, with quotes. Each representation has its own.
    pub(crate) etag: String,
}

impl Pages {
    /// The web client in both versions, its modules for shared tabs, files, questions and sessions, and its shared workers with the module for tabs.
    pub fn new() -> Self {
        // Compressed once per process.
        static CLIENT_PAGES: LazyLock<Pages> = LazyLock::new(|| {
            FILES_OF_CLIENT.iter().fold(Pages { pages: Arc::default() }, |pages, (path, file)| {
                pages.with(*path, JAVASCRIPT, *file)
            })
        });
        CLIENT_PAGES.clone()
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
        let tag = format!("{:016x}-{:x}", fnv1a(&body), body.len());
        let gzip = compress(&body)
            .map(|body| Representation { body: body.into(), etag: format!("\"{tag}-gzip\"") });
        let plain = Representation { body, etag: format!("\"{tag}\"") };
        Arc::make_mut(&mut self.pages).insert(path.into(), Page { content_type, plain, gzip });
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

/// Compresses a page with gzip; none if the result saves too little.
fn compress(body: &[u8]) -> Option<Vec<u8>> {
    if body.len() < MIN_COMPRESSED {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < body.len() - body.len() / 10).then_some(compressed)
}

/// FNV-1a, 64 bits: identifies content, without security properties.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn the_web_client_is_always_served_and_compressed() {
        for (path, file) in FILES_OF_CLIENT {
            let page = Pages::new().at(path).cloned().expect(path);
            assert_eq!(page.plain.body, file, "{path}");
            let gzip = page.gzip.expect(path);
            let mut plain = Vec::new();
            GzDecoder::new(&gzip.body[..]).read_to_end(&mut plain).expect(path);
            assert_eq!(&plain, file, "{path}");
            assert!(gzip.body.len() * 10 < file.len() * 6, "{path}: {} bytes", gzip.body.len());
        }
    }

    #[test]
    fn short_pages_and_pages_without_redundancy_stay_plain() {
        let gzip_of = |body: Vec<u8>| Pages::new().with("/", "x", body).at("/")?.gzip.clone();
        assert!(gzip_of(vec![b'x'; MIN_COMPRESSED - 1]).is_none());
        assert!(gzip_of(vec![b'x'; MIN_COMPRESSED]).is_some());
        // The top byte of a linear congruential generator.
        let noise = |n: u64| (n.wrapping_mul(6_364_136_223_846_793_005) >> 56) as u8;
        assert!(gzip_of((0..4096).map(|n| noise(n * n + n)).collect()).is_none());
    }

    #[test]
    fn a_page_has_one_path_and_a_tag_of_its_content() {
        let one = Pages::new().with("/", "text/html", "one");
        let two = one.clone().with("/", "text/html", "two");
        let tag = |pages: &Pages| pages.at("/").map(|page| page.plain.etag.clone());
        assert!(tag(&one).is_some());
        assert_ne!(tag(&one), tag(&two));
        assert!(one.at("/x").is_none());
    }
}
