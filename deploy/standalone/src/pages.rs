//! The pages that `minerva` serves beside the streams. The edge answers for them; it does not know
//! what they are.

use minerva_edge::Pages;

/// Type of the scripts.
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The chat page of the demo.
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
