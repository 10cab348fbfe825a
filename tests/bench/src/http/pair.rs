//! One client over HTTP: strings come as the response to one request, streamed or poll after poll, and go up in others
//! beside it, one at a time.

use std::net::SocketAddr;

use anyhow::ensure;

use super::Http;
use crate::heard::{Heard, MAKES_AND_STREAMS, hello, sack};
use crate::socket::random_id;

/// Two connections, and what is known of the stream.
pub(crate) struct Pair {
    download: Http,
    upload: Http,
    /// Whether the download's response goes on for ever.
    is_streamed: bool,
    is_uploading: bool,
    /// Strings that wait until the upload before them is answered.
    waiting: usize,
    outgoing: Outgoing,
    heard: Heard,
}

/// What requests say.
struct Outgoing {
    id: String,
    /// Number of the next transport.
    transport: u64,
    /// Number of the next string.
    string: u64,
    /// The frame of a string, always the same.
    frame: String,
}

impl Pair {
    /// Opens one for strings of so many bytes; its stream is made when this returns.
    pub(crate) async fn open(
        address: SocketAddr,
        is_streamed: bool,
        bytes: usize,
    ) -> anyhow::Result<Self> {
        let mut pair = Self {
            download: Http::open(address).await?,
            upload: Http::open(address).await?,
            is_streamed,
            is_uploading: false,
            waiting: 0,
            outgoing: Outgoing::new(random_id(), bytes),
            heard: Heard::new(bytes),
        };
        let first = match is_streamed {
            true => pair.outgoing.hello(MAKES_AND_STREAMS),
            false => pair.outgoing.poll(&pair.heard),
        };
        pair.download.post(&first).await?;
        while !pair.heard.is_created {
            pair.hear_download().await?;
        }
        Ok(pair)
    }

    /// Sends so many strings, if nothing is on its way up; otherwise together with others later.
    pub(crate) async fn send(&mut self, count: usize) -> anyhow::Result<()> {
        self.waiting += count;
        if self.is_uploading || self.waiting == 0 {
            return Ok(());
        }
        self.is_uploading = true;
        let messages = std::mem::take(&mut self.waiting);
        self.upload.post(&self.outgoing.upload(&self.heard, messages)).await
    }

    /// Waits for strings; gives how many came.
    pub(crate) async fn hear(&mut self) -> anyhow::Result<usize> {
        let before = self.heard.messages;
        while self.heard.messages == before {
            tokio::select! {
                whole = self.download.read() => self.on_download(whole?).await?,
                whole = self.upload.read(), if self.is_uploading => self.on_upload(whole?).await?,
            }
        }
        Ok((self.heard.messages - before) as usize)
    }

    async fn hear_download(&mut self) -> anyhow::Result<()> {
        let whole = self.download.read().await?;
        self.on_download(whole).await
    }

    /// A poll is followed by the next one.
    async fn on_download(&mut self, is_whole: bool) -> anyhow::Result<()> {
        self.download.hear(&mut self.heard)?;
        if !is_whole {
            return Ok(());
        }
        ensure!(!self.is_streamed, "the server ended a response that should go on");
        self.download.post(&self.outgoing.poll(&self.heard)).await
    }

    /// What waited goes up next.
    async fn on_upload(&mut self, is_whole: bool) -> anyhow::Result<()> {
        self.upload.hear(&mut self.heard)?;
        if !is_whole {
            return Ok(());
        }
        self.is_uploading = false;
        self.send(0).await
    }
}

impl Outgoing {
    fn new(id: String, bytes: usize) -> Self {
        Self { id, transport: 0, string: 0, frame: "x".repeat(bytes) + " \n" }
    }

    /// A request that asks for strings and ends with the first of them; makes the stream if there is none.
    fn poll(&mut self, heard: &Heard) -> String {
        let creates = if heard.is_created { "" } else { r#""new":true,"# };
        let more = format!(r#"{creates}"maxt":20,"eeds":null,{}"#, keys(heard));
        self.hello(&more)
    }

    /// A request that brings so many strings.
    fn upload(&mut self, heard: &Heard, messages: usize) -> String {
        let mut body = self.hello(&keys(heard));
        body.reserve(messages * self.frame.len() + 32);
        body += &format!("{}N\n", self.string);
        (0..messages).for_each(|_| body += &self.frame);
        self.string += messages as u64;
        body
    }

    fn hello(&mut self, more: &str) -> String {
        let hello = hello(&self.id, self.transport, more);
        self.transport += 1;
        hello + "\n"
    }
}

/// What polls and uploads say alike. Heartbeats would end a poll.
fn keys(heard: &Heard) -> String {
    let [seen, got] = [heard.acknowledged, heard.messages].map(sack);
    format!(r#""ming":false,"maxia":0,"seenack":"{seen}","sack":"{got}""#)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Duration, timeout};

    use super::*;

    /// Nothing comes for so long: something is wrong.
    const STUCK: Duration = Duration::from_secs(10);

    /// The next request's body.
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
    async fn strings_wait_for_the_upload_before_and_polls_follow_each_other() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let opening = Pair::open(listener.local_addr().unwrap(), false, 2);
        let accepting = async {
            let (mut down, _) = listener.accept().await.unwrap();
            let (up, _) = listener.accept().await.unwrap();
            assert!(request(&mut down).await.contains("\"new\":true"));
            answer(&mut down, ";)]}^\nC\n|-1T\n").await;
            (down, up)
        };
        let (pair, (mut down, mut up)) = tokio::join!(opening, accepting);
        let mut pair = pair.unwrap();
        for count in [1, 2, 1] {
            pair.send(count).await.unwrap();
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
        let both = async { tokio::join!(pair.hear(), serving) };
        let (came, ()) = timeout(STUCK, both).await.expect("a request does not come");
        assert_eq!(came.unwrap(), 1);
    }

    #[test]
    fn requests_count_transports_and_strings_and_say_what_was_heard() {
        let (mut outgoing, mut heard) = (Outgoing::new("id".into(), 2), Heard::new(2));
        assert_eq!(
            outgoing.poll(&heard),
            "{\"ver\":2,\"tnum\":0,\"id\":\"id\",\"new\":true,\"maxt\":20,\"eeds\":null,\"ming\":false,\"maxia\":0,\
             \"seenack\":\"|-1\",\"sack\":\"|-1\"}H\n"
        );
        for frame in ["C", "|1A", "0N", "xx "] {
            heard.frame(frame.as_bytes()).unwrap();
        }
        assert!(!outgoing.poll(&heard).contains("new"));
        let upload = outgoing.upload(&heard, 2);
        assert!(upload.starts_with("{\"ver\":2,\"tnum\":2,") && !upload.contains("eeds"));
        assert!(upload.ends_with("\"seenack\":\"|1\",\"sack\":\"|0\"}H\n0N\nxx \nxx \n"));
        assert!(outgoing.upload(&heard, 1).ends_with("H\n2N\nxx \n"));
    }
}
