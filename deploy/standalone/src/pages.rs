//! Static files of the demo page, embedded in the program and served by the edge.

use minerva_edge::Pages;

/// Content type of scripts.
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Returns the files of the chat page.
pub(crate) fn demo() -> Pages {
    let page: &[u8] = include_bytes!("../page/index.html");
    let script: &[u8] = include_bytes!("../page/chat.js");
    let style: &[u8] = include_bytes!("../page/style.css");
    Pages::new().with("/", "text/html; charset=utf-8", page).with("/chat.js", SCRIPT, script).with(
        "/style.css",
        "text/css; charset=utf-8",
        style,
    )
}
