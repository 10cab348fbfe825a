//! Access to link and API: callers without a token, tokens of one service, and revocation.

use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use minerva_core::Config;
use minerva_core::access::{TokenCommand, run};
use minerva_core::store::StoreUrl;
use minerva_core::store::memory::MemoryStore;
use minerva_proto::app::app_service_client::AppServiceClient;
use minerva_proto::app::stream_service_client::StreamServiceClient;
use minerva_proto::app::target::Target as Kind;
use minerva_proto::app::{
    Command, GetRequest, ListRequest, Register, ResetRequest, SendManyRequest, SendOutcome,
    SendRequest, ServeRequest, ServeResponse, Target, command, event,
};
use minerva_proto::link::pb::link_service_client::LinkServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::peers::{App, Edge, Served, attach, serve_with};

const ID: &str = "stream-id-stream-id-1";

#[derive(clap::Parser)]
struct Program {
    #[command(subcommand)]
    command: TokenCommand,
}

/// Runs `minerva-core token` with the token file; returns the printed token.
pub(crate) async fn token(file: &Path, arguments: &str) -> String {
    let arguments = std::iter::once("token").chain(arguments.split(' '));
    let program = Program::parse_from(arguments.chain(["--file", file.to_str().unwrap()]));
    let printed = std::sync::Mutex::new(String::new());
    let print = |text: &str| printed.lock().unwrap().push_str(text.trim());
    run(&program.command, &StoreUrl::Memory, print, |_| {}).await.unwrap();
    printed.into_inner().unwrap()
}

/// A core with this token file.
pub(crate) async fn serve(file: &Path, require_tokens: bool) -> Served {
    let mut config = Config { partitions: 4, ..Config::default() };
    config.access.require_tokens = require_tokens;
    config.access.token_file = Some(file.to_owned());
    serve_with(&config, Arc::new(MemoryStore::new())).await
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// Registers as an instance of a service; returns the call after the registration.
async fn register(
    served: &Served,
    token: &str,
    service: &str,
) -> Result<(mpsc::UnboundedSender<ServeRequest>, Streaming<ServeResponse>), Status> {
    let mut client = AppServiceClient::connect(format!("http://{}", served.api)).await.unwrap();
    let (requests, stream) = mpsc::unbounded_channel();
    let register = Register {
        service: service.to_owned(),
        instance_id: format!("of-{service}"),
        ..Register::default()
    };
    let command = Some(command::Command::Register(register));
    requests.send(ServeRequest { commands: vec![Command { command }] }).unwrap();
    let call = with(token, UnboundedReceiverStream::new(stream));
    let mut events = client.serve(call).await?.into_inner();
    let first = events.message().await?.unwrap().events.remove(0).event;
    assert!(matches!(first, Some(event::Event::Registered(_))), "{first:?}");
    Ok((requests, events))
}

fn code<T>(result: Result<T, Status>) -> Option<Code> {
    result.err().map(|status| {
        assert!(status.message().contains("minerva-core token create"), "{status}");
        status.code()
    })
}

async fn streams(served: &Served) -> StreamServiceClient<Channel> {
    StreamServiceClient::connect(format!("http://{}", served.api)).await.unwrap()
}

fn list(service: &str) -> ListRequest {
    ListRequest { service: service.to_owned(), ..ListRequest::default() }
}

fn target(number: u64) -> Option<Target> {
    Some(Target { target: Some(Kind::Stream(number)), service: String::new() })
}

#[tokio::test]
async fn without_a_token_all_calls_but_health_checks_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let edge_token = token(&file, "create --can edge").await;
    let chat_token = token(&file, "create --service chat --can serve,read").await;
    let served = serve(&file, true).await;
    let relay = async |token: &str| {
        let address = format!("http://{}", served.link);
        let mut client = LinkServiceClient::connect(address).await.unwrap();
        let (_requests, stream) = mpsc::unbounded_channel();
        // A silent call: an accepted one has no response before the greeting.
        let call = client.relay(with(token, UnboundedReceiverStream::new(stream)));
        call.await.map(|_: Response<_>| ())
    };
    assert_eq!(code(relay("").await), Some(Code::Unauthenticated));
    assert_eq!(code(relay(&chat_token).await), Some(Code::PermissionDenied));
    assert_eq!(code(relay(&edge_token).await), None);
    for (token, refused) in [
        ("", Some(Code::Unauthenticated)),
        ("mnv_forged", Some(Code::Unauthenticated)),
        (&edge_token, Some(Code::PermissionDenied)),
        (&chat_token, None),
    ] {
        assert_eq!(code(register(&served, token, "chat").await), refused, "{token}");
        let list = streams(&served).await.list(with(token, list("chat"))).await;
        assert_eq!(code(list), refused, "{token}");
    }
    for (token, refused) in [("", Some(Code::Unauthenticated)), (&edge_token, None)] {
        assert_eq!(code(reflect(&served, token).await), refused, "{token}");
    }
    let channel = Channel::from_shared(format!("http://{}", served.api)).unwrap();
    let mut health =
        tonic_health::pb::health_client::HealthClient::new(channel.connect().await.unwrap());
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
}

async fn reflect(served: &Served, token: &str) -> Result<(), Status> {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    let channel = Channel::from_shared(format!("http://{}", served.api)).unwrap();
    let mut client = ServerReflectionClient::new(channel.connect().await.unwrap());
    let requests = tokio_stream::iter([ServerReflectionRequest::default()]);
    client.server_reflection_info(with(token, requests)).await.map(|_| ())
}

#[tokio::test]
async fn a_service_with_a_token_is_served_by_a_holder_only() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let chat = token(&file, "create --service chat --can serve").await;
    let news = token(&file, "create --service news --can send").await;
    let served = serve(&file, false).await;
    assert_eq!(code(register(&served, "", "chat").await), Some(Code::Unauthenticated));
    assert_eq!(code(register(&served, &news, "chat").await), Some(Code::PermissionDenied));
    assert_eq!(code(register(&served, &chat, "news").await), Some(Code::PermissionDenied));
    assert_eq!(code(register(&served, &chat, "chat").await), None);
    assert_eq!(code(register(&served, "", "news").await), None, "on loopback");
}

#[tokio::test]
async fn a_token_of_one_service_reaches_no_stream_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let own = token(&file, "create --service default --can send,read,reset").await;
    let other = token(&file, "create --service other --can send,read,reset").await;
    let read = token(&file, "create --service default --can read").await;
    let served = serve(&file, false).await;
    let mut edge = Edge::connect(served.link).await;
    let mut app = App::register(served.api, "one", vec![]).await;
    edge.attach(attach(1, ID)).await;
    let stream = app.started().await.stream;
    let mut client = streams(&served).await;
    let send = SendRequest {
        target: target(stream),
        messages: vec!["x".into()],
        ..SendRequest::default()
    };
    let many =
        SendManyRequest { streams: vec![stream], messages: vec!["x".into()], ..Default::default() };
    let get = GetRequest { target: target(stream) };
    let reset = ResetRequest { target: target(stream), ..ResetRequest::default() };
    let refused = client.send(with(&other, send.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    let refused = client.get(with(&other, get.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    let refused = client.reset(with(&other, reset.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    let results = client.send_many(with(&other, many.clone())).await.unwrap().into_inner().results;
    assert_eq!(results[0].outcome(), SendOutcome::NotFound);
    assert_eq!(
        code(client.list(with(&other, list("default"))).await),
        Some(Code::PermissionDenied)
    );
    assert_eq!(code(client.send(with(&read, send.clone())).await), Some(Code::PermissionDenied));
    assert_eq!(code(client.reset(with(&read, reset.clone())).await), Some(Code::PermissionDenied));
    let listed = client.list(with(&read, list("default"))).await.unwrap().into_inner().streams;
    assert_eq!(listed.len(), 1);
    client.send(with(&own, send)).await.unwrap();
    let results = client.send_many(with(&own, many)).await.unwrap().into_inner().results;
    assert_eq!(results[0].outcome(), SendOutcome::Taken);
    client.get(with(&own, get)).await.unwrap();
    client.reset(with(&own, reset)).await.unwrap();
}

#[tokio::test]
async fn a_revocation_ends_the_call_of_an_instance() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let chat = token(&file, "create --service chat --can serve").await;
    let served = serve(&file, true).await;
    let (_requests, mut events) = register(&served, &chat, "chat").await.unwrap();
    token(&file, &format!("revoke {chat}")).await;
    let end = async {
        loop {
            if let Err(status) = events.message().await {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(std::time::Duration::from_secs(10), end).await.unwrap();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    assert_eq!(code(register(&served, &chat, "chat").await), Some(Code::Unauthenticated));
}

#[tokio::test]
async fn the_sdk_sends_its_token() {
    use minerva_app::{Service, StartError, Streams};
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let chat = token(&file, "create --service chat --can serve,send").await;
    let served = serve(&file, true).await;
    let service = || Service::connect(served.api.to_string()).name("chat");
    let refused = service().start().await.unwrap_err();
    assert!(matches!(&refused, StartError::Refused { reason } if reason.contains("token create")));
    let _service = service().token(chat.clone()).start().await.unwrap();
    let streams = Streams::at(served.api.to_string()).unwrap();
    assert!(streams.send_to_group("chat", "lobby", ["x"]).await.is_err());
    let streams = streams.token(chat).unwrap();
    assert_eq!(streams.send_to_group("chat", "lobby", ["x"]).await.unwrap().taken, 0);
    let refused = streams.send_to_group("news", "lobby", ["x"]).await.unwrap_err().to_string();
    assert!(refused.contains("--service news --can send"), "{refused}");
}
