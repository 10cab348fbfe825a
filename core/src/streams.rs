//! Streams from outside: the server of `StreamService`. Finds the partitions that a call is about, asks each, and
//! puts their answers together. Knows nothing of streams itself; served by [`crate::Core::serve_api`].

mod decode;
mod encode;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::try_join_all;
use minerva_proto::app::stream_service_server::StreamService;
use minerva_proto::app::{
    GetRequest, GetResponse, JoinRequest, JoinResponse, LeaveRequest, LeaveResponse, ListRequest,
    ListResponse, ResetRequest, ResetResponse, SendManyRequest, SendManyResponse, SendOutcome,
    SendRequest, SendResponse, SendResult, SendToGroupRequest, SendToGroupResponse,
};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use self::decode::Meant;
use self::trouble::Trouble;
use crate::partition::{Answer, Ask, Call, CallId, Mail, Partitions, Target};
use crate::stream::{Info, Joined, Pushed};

/// The server; cheap to clone.
#[derive(Clone)]
pub(crate) struct StreamServer {
    partitions: Partitions,
    /// Number of the next question.
    next: Arc<AtomicU64>,
}

impl StreamServer {
    pub(crate) fn new(partitions: Partitions) -> Self {
        Self { partitions, next: Arc::default() }
    }

    /// Asks one partition.
    async fn ask(&self, partition: u32, ask: Ask) -> Result<Answer, Trouble> {
        if !self.partitions.is_served(partition) {
            return Err(Trouble::NotOwner);
        }
        let id = CallId(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let call = Box::new(Call { id, ask, answer });
        self.partitions.send_with_room(partition, Mail::Call(call)).await;
        answered.await.map_err(|_| Trouble::Interrupted)
    }

    /// Asks all partitions that are here the same.
    async fn ask_all(&self, ask: &Ask) -> Result<Vec<Answer>, Trouble> {
        let here = (0..self.partitions.count()).filter(|&p| self.partitions.is_served(p));
        try_join_all(here.map(|partition| self.ask(partition, ask.clone()))).await
    }

    /// Asks where the streams that are meant must be.
    async fn ask_for(
        &self,
        meant: Meant,
        ask: impl FnOnce(Target) -> Ask,
    ) -> Result<Vec<Answer>, Trouble> {
        let partition = match &meant {
            Meant::Number(number) => {
                Some(self.partitions.of_number(*number).ok_or(Trouble::NotFound)?)
            }
            Meant::Id(_, id) => Some(self.partitions.of(id)),
            Meant::Label(..) => None,
        };
        let ask = ask(meant.into());
        match partition {
            Some(partition) => Ok(vec![self.ask(partition, ask).await?]),
            None => self.ask_all(&ask).await,
        }
    }

    /// The streams for which something was done; an error if there are none.
    async fn done(
        &self,
        meant: Meant,
        ask: impl FnOnce(Target) -> Ask,
    ) -> Result<Vec<u64>, Trouble> {
        let answers = self.ask_for(meant, ask).await?.into_iter();
        found(answers.flat_map(|answer| match answer {
            Answer::Done(numbers) => numbers,
            Answer::Pushed(_) | Answer::Joined(_) | Answer::Infos(_) => Vec::new(),
        }))
    }

    /// How many partitions are here.
    fn partitions_here(&self) -> u32 {
        (0..self.partitions.count()).filter(|&p| self.partitions.is_served(p)).count() as u32
    }

    /// Sends to streams of any partitions.
    async fn send_to(&self, send: decode::Many) -> Result<Vec<SendResult>, Trouble> {
        let decode::Many { by_partition, strings, key } = send;
        let each = by_partition.into_iter().map(|(partition, numbers)| {
            let to = Target::Numbers(numbers.clone());
            let ask = Ask::Push { to, strings: strings.clone(), key: key.clone() };
            async move {
                let answer = match partition {
                    Some(partition) => self.ask(partition, ask).await,
                    None => Err(Trouble::NotFound),
                };
                match answer {
                    Ok(answer) => Ok(encode::complete(&numbers, pushed([answer]))),
                    Err(Trouble::NotOwner | Trouble::NotFound) => {
                        Ok(encode::complete(&numbers, Vec::new()))
                    }
                    Err(trouble) => Err(trouble),
                }
            }
        });
        let mut results = try_join_all(each).await?.concat();
        results.sort_by_key(|result| result.stream);
        Ok(results)
    }

    /// One page, and whether there is more.
    async fn page(&self, list: decode::List) -> Result<(Vec<Info>, bool), Trouble> {
        let decode::List { service, after, most } = list;
        let mut page: Vec<Info> = Vec::new();
        for partition in (after >> 48) as u32..self.partitions.count() {
            // One more than wanted shows that there is more.
            let ask = Ask::List { service: service.clone(), after, most: most + 1 - page.len() };
            match self.ask(partition, ask).await {
                Ok(Answer::Infos(infos)) => page.extend(infos),
                Ok(Answer::Pushed(_) | Answer::Joined(_) | Answer::Done(_))
                | Err(Trouble::NotOwner) => {}
                Err(trouble) => return Err(trouble),
            }
            if page.len() > most {
                page.truncate(most);
                return Ok((page, true));
            }
        }
        Ok((page, false))
    }
}

#[tonic::async_trait]
impl StreamService for StreamServer {
    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        let decode::Send { meant, strings, key } = decode::send(request.into_inner())?;
        let answers = self.ask_for(meant, |to| Ask::Push { to, strings, key }).await?;
        let pushed = found(pushed(answers))?;
        if let [(_, one)] = pushed[..] {
            trouble::of(one).map_or(Ok(()), Err)?;
        }
        let results = pushed.into_iter().map(encode::send_result).collect();
        Ok(Response::new(SendResponse { results }))
    }

    async fn send_many(
        &self,
        request: Request<SendManyRequest>,
    ) -> Result<Response<SendManyResponse>, Status> {
        let many = decode::send_many(request.into_inner(), &self.partitions)?;
        Ok(Response::new(SendManyResponse { results: self.send_to(many).await? }))
    }

    async fn send_to_group(
        &self,
        request: Request<SendToGroupRequest>,
    ) -> Result<Response<SendToGroupResponse>, Status> {
        let ask = decode::send_to_group(request.into_inner())?;
        let partitions = self.partitions_here();
        let pushed = pushed(self.ask_all(&ask).await?);
        let is_full = |(_, pushed): &&(u64, Pushed)| matches!(pushed, Pushed::Full { .. });
        let full = pushed.iter().filter(is_full).map(|(stream, _)| *stream);
        let is_taken = |pushed: &Pushed| matches!(pushed, Pushed::Taken | Pushed::Repeated);
        Ok(Response::new(SendToGroupResponse {
            taken: pushed.iter().filter(|(_, pushed)| is_taken(pushed)).count() as u64,
            full_count: full.clone().count() as u64,
            full: full.take(encode::MOST_FULL).collect(),
            partitions,
            partitions_total: self.partitions.count(),
        }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let JoinRequest { target, group } = request.into_inner();
        let (meant, group) = (decode::target(target)?, decode::group(group)?);
        let answers = self.ask_for(meant, |to| Ask::Join(to, group)).await?;
        let joined: Vec<_> = answers.into_iter().flat_map(encode::joined).collect();
        let streams: Vec<_> = joined
            .iter()
            .filter(|(_, joined)| *joined == Joined::Done)
            .map(|(stream, _)| *stream)
            .collect();
        if let (true, Some((_, joined))) = (streams.is_empty(), joined.first()) {
            return Err(trouble::of_join(*joined).into());
        }
        Ok(Response::new(JoinResponse { streams: found(streams)? }))
    }

    async fn leave(
        &self,
        request: Request<LeaveRequest>,
    ) -> Result<Response<LeaveResponse>, Status> {
        let LeaveRequest { target, group } = request.into_inner();
        let (meant, group) = (decode::target(target)?, decode::group(group)?);
        let streams = self.done(meant, |to| Ask::Leave(to, group)).await?;
        Ok(Response::new(LeaveResponse { streams }))
    }

    async fn reset(
        &self,
        request: Request<ResetRequest>,
    ) -> Result<Response<ResetResponse>, Status> {
        let (meant, reset) = decode::reset(request.into_inner())?;
        let streams = self.done(meant, |to| Ask::Reset(to, reset)).await?;
        Ok(Response::new(ResetResponse { streams }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let meant = decode::target(request.into_inner().target)?;
        let answers = self.ask_for(meant, Ask::Get).await?.into_iter();
        let infos = found(answers.flat_map(encode::infos))?;
        Ok(Response::new(GetResponse { streams: infos.into_iter().map(encode::info).collect() }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let list = decode::list(request.into_inner())?;
        let partitions = self.partitions_here();
        let (page, is_more) = self.page(list).await?;
        let last = page.last().filter(|_| is_more);
        Ok(Response::new(ListResponse {
            next_page_token: last.map(|info| info.stream.to_string()).unwrap_or_default(),
            streams: page.into_iter().map(encode::info).collect(),
            partitions,
            partitions_total: self.partitions.count(),
        }))
    }
}

/// What became of each stream, in the order of their numbers.
fn pushed(answers: impl IntoIterator<Item = Answer>) -> Vec<(u64, Pushed)> {
    let of = |answer| match answer {
        Answer::Pushed(pushed) => pushed,
        Answer::Joined(_) | Answer::Done(_) | Answer::Infos(_) => Vec::new(),
    };
    answers.into_iter().flat_map(of).collect()
}

/// An error if there is none.
fn found<T>(streams: impl IntoIterator<Item = T>) -> Result<Vec<T>, Trouble> {
    let streams: Vec<T> = streams.into_iter().collect();
    if streams.is_empty() { Err(Trouble::NotFound) } else { Ok(streams) }
}

/// What an outcome is called.
fn outcome(pushed: Pushed) -> SendOutcome {
    match pushed {
        Pushed::Taken => SendOutcome::Taken,
        Pushed::Repeated => SendOutcome::Repeated,
        Pushed::Full { .. } => SendOutcome::Full,
        Pushed::Ended => SendOutcome::Ended,
    }
}
