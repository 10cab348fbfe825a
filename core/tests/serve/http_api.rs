//! The HTTP API, called by curl.

use minerva_proto::app::{JoinGroup, command};
use serde_json::{Value, json};

use crate::access::{serve, token};
use crate::peers::{App, Edge, Served, attach};

const ID: &str = "stream-id-stream-id-1";

/// Runs curl; returns the HTTP status and the JSON body.
async fn curl(served: &Served, path: &str, arguments: &[&str]) -> (u16, Value) {
    let mut command = std::process::Command::new("curl");
    command.args(["-s", "-S", "--max-time", "30", "-w", "\n%{http_code}"]);
    command.args(arguments).arg(format!("http://{}{path}", served.api));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

struct Setup {
    served: Served,
    edge: Edge,
    _app: App,
    stream: u64,
    /// `Authorization` of a token with the rights send, read and reset.
    all: String,
    _directory: tempfile::TempDir,
}

const JSON: &str = "Content-Type: application/json";

impl Setup {
    /// A core with one stream in the group `news`, and a token.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokens");
        let all = token(&file, "create --service default --can send,read,reset").await;
        let all = format!("Authorization: Bearer {all}");
        let served = serve(&file, false).await;
        let mut edge = Edge::connect(served.link).await;
        let mut app = App::register(served.api, "one", vec![]).await;
        edge.attach(attach(1, ID)).await;
        let stream = app.started().await.stream;
        app.send(command::Command::JoinGroup(JoinGroup { stream, group: "news".to_owned() }));
        app.acknowledge(stream, 0);
        app.send_messages(stream, 0, &["hello"]);
        app.sent(1).await;
        Self { served, edge, _app: app, stream, all, _directory: directory }
    }

    async fn post(&self, path: &str, body: &Value, more: &[&str]) -> (u16, Value) {
        let body = body.to_string();
        let common = ["-H", &self.all, "-H", JSON, "-d", &body];
        curl(&self.served, path, &[&common[..], more].concat()).await
    }
}

#[tokio::test]
async fn a_program_sends_reads_and_ends_streams() {
    let mut setup = Setup::new().await;
    let group = json!({ "group": "news", "messages": ["news"] });
    for _ in 0..2 {
        let key = ["-H", "Idempotency-Key: order-17"];
        let (status, sent) = setup.post("/v1/send-to-group", &group, &key).await;
        assert_eq!((status, &sent["taken"]), (200, &json!("1")), "{sent}");
    }
    let target = json!({ "stream": setup.stream });
    let send = json!({ "target": target, "messages": [{ "text": "direct" }] });
    let (status, sent) = setup.post("/v1/send", &send, &[]).await;
    assert_eq!(status, 200, "{sent}");
    let result = json!([{ "stream": setup.stream.to_string(), "outcome": "SEND_OUTCOME_TAKEN" }]);
    assert_eq!(sent["results"], result);
    assert_eq!(setup.edge.messages(1, 0, 3).await, ["hello", "news", "direct"]);
    let raw = ["-H", &setup.all, "-H", "Content-Type: application/octet-stream", "-d", "raw"];
    let (status, sent) = curl(&setup.served, "/v1/send-to-group?group=news", &raw).await;
    // The client of this test accepts text alone.
    assert_eq!((status, &sent["unsupportedTotal"]), (200, &json!("1")), "{sent}");
    let (status, got) = setup.post("/v1/get", &json!({ "target": target }), &[]).await;
    assert_eq!((status, &got["streams"][0]["groups"]), (200, &json!(["news"])), "{got}");
    let (status, list) = setup.post("/v1/list", &json!({}), &[]).await;
    assert_eq!((status, list["streams"].as_array().unwrap().len()), (200, 1), "{list}");
    let reset = json!({ "target": target, "reason": "over" });
    let (status, over) = setup.post("/v1/reset", &reset, &[]).await;
    assert_eq!((status, &over["streams"]), (200, &json!([setup.stream.to_string()])), "{over}");
    let (status, error) = setup.post("/v1/send", &send, &[]).await;
    assert_eq!((status, &error["details"][0]["reason"]), (400, &json!("STREAM_ENDED")), "{error}");
}

#[tokio::test]
async fn each_error_names_the_problem() {
    let setup = Setup::new().await;
    let body = json!({ "group": "news", "messages": ["a"] }).to_string();
    let all = setup.all.as_str();
    let send = "/v1/send-to-group";
    for (path, arguments, status, reason) in [
        (send, &["-H", JSON, "-d", &body][..], 401, "TOKEN_MISSING"),
        (send, &["-H", "Authorization: Bearer x", "-H", JSON, "-d", &body], 401, "TOKEN_INVALID"),
        (
            send,
            &["-H", all, "-H", JSON, "-H", "Origin: http://a", "-d", &body],
            403,
            "ORIGIN_REFUSED",
        ),
        (
            send,
            &["-H", all, "-H", JSON, "-H", "Host: evil.example", "-d", &body],
            403,
            "HOST_REFUSED",
        ),
        (send, &["-H", all, "-d", &body], 415, "CONTENT_TYPE"),
        (send, &["-H", all], 405, "METHOD_NOT_ALLOWED"),
        ("/v1/nothing", &["-H", all, "-H", JSON, "-d", &body], 404, "NO_SUCH_PATH"),
        ("/", &["-H", all], 404, "NO_SUCH_PATH"),
        // A web page can send such a request to a loopback port without a token.
        ("/minerva.app.v1.StreamService/Reset", &["-d", "x"], 404, "NO_SUCH_PATH"),
    ] {
        let (got, error) = curl(&setup.served, path, arguments).await;
        let expected = (status, &json!(reason));
        assert_eq!((got, &error["details"][0]["reason"]), expected, "{arguments:?}: {error}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(": ")), "{error}");
    }
    let unknown = json!({ "target": { "stream": 9 }, "messages": ["a"] });
    let (status, error) = setup.post("/v1/send", &unknown, &[]).await;
    assert_eq!((status, &error["code"]), (404, &json!(5)), "{error}");
    let empty = json!({ "group": "news", "messages": [] });
    let (status, error) = setup.post(send, &empty, &[]).await;
    assert_eq!((status, &error["message"]), (400, &json!("messages: must not be empty")));
    let foreign = json!({ "service": "other", "group": "news", "messages": ["a"] });
    let (status, error) = setup.post(send, &foreign, &[]).await;
    assert_eq!((status, &error["code"]), (403, &json!(7)), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("large");
    std::fs::write(&file, vec![b' '; (8 << 20) + 1]).unwrap();
    let data = format!("@{}", file.display());
    let large = ["-H", all, "-H", JSON, "--data-binary", &data];
    let (status, error) = curl(&setup.served, send, &large).await;
    assert_eq!(
        (status, &error["details"][0]["reason"]),
        (413, &json!("BODY_TOO_LARGE")),
        "{error}"
    );
}
