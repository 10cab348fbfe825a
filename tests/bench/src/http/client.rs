//! One client over HTTP: messages arrive in a streamed response or in consecutive polls, and are sent in uploads, one
//! at a time.

use std::net::SocketAddr;

use anyhow::ensure;

use super::Http;
use crate::receive_state::{CREATE_STREAMED, ReceiveState, hello, sack};
use crate::socket::random_id;

/// Two connections and the state of the stream.
pub(crate) struct HttpClient {
    download: Http,
    upload: Http,
    /// Whether the download is a streamed response.
    is_streamed: bool,
    is_uploading: bool,
    /// Messages that wait for the end of the current upload.
    waiting: usize,
    outgoing: Outgoing,
    received: ReceiveState,
}

/// State of the requests.
struct Outgoing {
    id: String,
    /// Number of the next transport.
    transport: u64,
    /// Number of the next message.
    next_message: u64,
    /// The constant frame of a message.
    frame: String,
}

impl HttpClient {
    /// Opens a client for messages of this length and waits until its stream is created.
    pub(crate) async fn open(
        address: SocketAddr,
        is_streamed: bool,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        let mut client = Self {
            download: Http::open(address).await?,
            upload: Http::open(address).await?,
            is_streamed,
            is_uploading: false,
            waiting: 0,
            outgoing: Outgoing::new(random_id(), bytes),
            received: ReceiveState::new(bytes),
        };
        let first = match is_streamed {
            true => client.outgoing.hello(CREATE_STREAMED),
            false => client.outgoing.poll(&client.received),
        };
        client.download.post(&first).await?;
        while !client.received.is_created {
            client.receive_download().await?;
        }
        Ok(client)
    }

    /// Sends messages in an upload, or queues them while an upload is in progress.
    pub(crate) async fn send(&mut self, count: usize) -> anyhow::Result<()> {
        self.waiting += count;
        if self.is_uploading || self.waiting == 0 {
            return Ok(());
        }
        self.is_uploading = true;
        let messages = std::mem::take(&mut self.waiting);
        self.upload.post(&self.outgoing.upload(&self.received, messages)).await
    }

    /// Waits for messages; returns their number.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<usize> {
        let before = self.received.messages;
        while self.received.messages == before {
            tokio::select! {
                whole = self.download.read() => self.on_download(whole?).await?,
                whole = self.upload.read(), if self.is_uploading => self.on_upload(whole?).await?,
            }
        }
        Ok((self.received.messages - before) as usize)
    }

    async fn receive_download(&mut self) -> anyhow::Result<()> {
        let whole = self.download.read().await?;
        self.on_download(whole).await
    }

    /// Starts the next poll after a complete one.
    async fn on_download(&mut self, is_whole: bool) -> anyhow::Result<()> {
        self.download.receive(&mut self.received)?;
        if !is_whole {
            return Ok(());
        }
        ensure!(!self.is_streamed, "the server ended a response that should go on");
        self.download.post(&self.outgoing.poll(&self.received)).await
    }

    /// Uploads the queued messages after a complete upload.
    async fn on_upload(&mut self, is_whole: bool) -> anyhow::Result<()> {
        self.upload.receive(&mut self.received)?;
        if !is_whole {
            return Ok(());
        }
        self.is_uploading = false;
        self.send(0).await
    }
}

impl Outgoing {
    fn new(id: String, bytes: usize) -> Self {
        Self { id, transport: 0, next_message: 0, frame: "x".repeat(bytes) + " \n" }
    }

    /// The body of a poll, which ends with the first messages and creates the stream if necessary.
    fn poll(&mut self, received: &ReceiveState) -> String {
        let creates = if received.is_created { "" } else { r#""new":true,"# };
        let more = format!(r#"{creates}"maxt":20,"eeds":null,{}"#, keys(received));
        self.hello(&more)
    }

    /// The body of an upload with this number of messages.
    fn upload(&mut self, received: &ReceiveState, messages: usize) -> String {
        let mut body = self.hello(&keys(received));
        body.reserve(messages * self.frame.len() + 32);
        body += &format!("{}N\n", self.next_message);
        (0..messages).for_each(|_| body += &self.frame);
        self.next_message += messages as u64;
        body
    }

    fn hello(&mut self, more: &str) -> String {
        let hello = hello(&self.id, self.transport, more);
        self.transport += 1;
        hello + "\n"
    }
}

/// Hello keys of polls and uploads. A heartbeat would end a poll, so heartbeats are off.
fn keys(received: &ReceiveState) -> String {
    let [seen, got] = [received.acknowledged, received.messages].map(sack);
    format!(r#""ming":false,"maxia":0,"seenack":"{seen}","sack":"{got}""#)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Duration, timeout};

    use super::*;

    const STALL_TIMEOUT: Duration = Duration::from_secs(10);

    /// The body of the next request.
    async fn request(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        loop {
            text.push(char::from(stream.read_u8().await.unwrap()));
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let (_, length) = head.split_once("content-length: ").unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return body.to_owned();
            }
        }
    }

    async fn answer(stream: &mut TcpStream, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn messages_wait_for_the_previous_upload_and_polls_are_consecutive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let opening = HttpClient::open(listener.local_addr().unwrap(), false, 2);
        let accepting = async {
            let (mut down, _) = listener.accept().await.unwrap();
            let (up, _) = listener.accept().await.unwrap();
            assert!(request(&mut down).await.contains("\"new\":true"));
            answer(&mut down, ";)]}^\nC\n|-1T\n").await;
            (down, up)
        };
        let (client, (mut down, mut up)) = tokio::join!(opening, accepting);
        let mut client = client.unwrap();
        for count in [1, 2, 1] {
            client.send(count).await.unwrap();
        }
        let serving = async {
            assert!(request(&mut down).await.contains("\"tnum\":1,"));
            assert!(request(&mut up).await.ends_with("H\n0N\nxx \n"));
            answer(&mut up, ";)]}^\n|0A\n|-1T\n").await;
            let next = request(&mut up).await;
            assert!(next.contains("\"seenack\":\"|0\"") && next.ends_with("\n1N\nxx \nxx \nxx \n"));
            answer(&mut down, ";)]}^\n0N\nxx \n|0A\n|-1T\n").await;
            let next = request(&mut down).await;
            assert!(next.contains("\"sack\":\"|0\"") && next.contains("\"eeds\":null"));
        };
        let both = async { tokio::join!(client.receive(), serving) };
        let (came, ()) = timeout(STALL_TIMEOUT, both).await.expect("a request does not come");
        assert_eq!(came.unwrap(), 1);
    }

    #[test]
    fn requests_carry_transport_and_message_numbers_and_sacks() {
        let (mut outgoing, mut received) = (Outgoing::new("id".into(), 2), ReceiveState::new(2));
        assert_eq!(
            outgoing.poll(&received),
            "{\"ver\":2,\"tnum\":0,\"id\":\"id\",\"new\":true,\"maxt\":20,\"eeds\":null,\"ming\":false,\"maxia\":0,\
             \"seenack\":\"|-1\",\"sack\":\"|-1\"}H\n"
        );
        for frame in ["C", "|1A", "0N", "xx "] {
            received.frame(frame.as_bytes()).unwrap();
        }
        assert!(!outgoing.poll(&received).contains("new"));
        let upload = outgoing.upload(&received, 2);
        assert!(upload.starts_with("{\"ver\":2,\"tnum\":2,") && !upload.contains("eeds"));
        assert!(upload.ends_with("\"seenack\":\"|1\",\"sack\":\"|0\"}H\n0N\nxx \nxx \n"));
        assert!(outgoing.upload(&received, 1).ends_with("H\n2N\nxx \n"));
    }
}
