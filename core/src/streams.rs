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
    Coverage, GetRequest, GetResponse, JoinRequest, JoinResponse, LeaveRequest, LeaveResponse,
    ListRequest, ListResponse, ResetRequest, ResetResponse, SendManyRequest, SendManyResponse,
    SendOutcome, SendRequest, SendResponse, SendResult, SendToGroupRequest, SendToGroupResponse,
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
    async fn ask_all(&self, ask: &Ask) -> Result<Said, Trouble> {
        let here = (0..self.partitions.count()).filter(|&p| self.partitions.is_served(p));
        let asked = here.map(async |partition| match self.ask(partition, ask.clone()).await {
            // It went away in this moment: not covered.
            Err(Trouble::NotOwner) => Ok(None),
            answer => answer.map(|answer| Some((partition, answer))),
        });
        let answers = try_join_all(asked).await?.into_iter().flatten();
        let (partitions, answers) = answers.unzip();
        Ok(Said { answers, coverage: Some(self.coverage(partitions)) })
    }

    /// Asks where the streams that are meant must be.
    async fn ask_for(
        &self,
        meant: Meant,
        ask: impl FnOnce(Target) -> Ask,
    ) -> Result<Said, Trouble> {
        let partition = match &meant {
            Meant::Number(number) => {
                Some(self.partitions.of_number(*number).ok_or(Trouble::NotFound)?)
            }
            Meant::Id(_, id) => Some(self.partitions.of(id)),
            Meant::Label(..) => None,
        };
        let ask = ask(meant.into());
        let Some(partition) = partition else { return self.ask_all(&ask).await };
        let answer = self.ask(partition, ask).await?;
        if answer.is_empty() {
            return Err(Trouble::NotFound);
        }
        Ok(Said { answers: vec![answer], coverage: None })
    }

    fn coverage(&self, partitions: Vec<u32>) -> Coverage {
        Coverage { partitions, total: self.partitions.count() }
    }

    /// Sends to streams of any partitions.
    async fn send_to(&self, send: decode::Many) -> Result<Vec<SendResult>, Trouble> {
        let decode::Many { by_partition, messages, key } = send;
        let each = by_partition.into_iter().map(|(partition, numbers)| {
            let to = Target::Numbers(numbers.clone());
            let ask = Ask::Push { to, messages: messages.clone(), key: key.clone() };
            async move {
                let answer = match partition {
                    Some(partition) => self.ask(partition, ask).await,
                    None => Err(Trouble::NotFound),
                };
                let (pushed, otherwise) = match answer {
                    Ok(answer) => (pushed([answer]), SendOutcome::NotFound),
                    Err(Trouble::NotFound) => (Vec::new(), SendOutcome::NotFound),
                    Err(Trouble::NotOwner) => (Vec::new(), SendOutcome::NotOwner),
                    Err(trouble) => return Err(trouble),
                };
                Ok(encode::complete(&numbers, pushed, otherwise))
            }
        });
        let mut results = try_join_all(each).await?.concat();
        results.sort_by_key(|result| result.stream);
        Ok(results)
    }

    /// One page, whether there is more, and where it was looked for.
    async fn page(&self, list: decode::List) -> Result<(Vec<Info>, bool, Vec<u32>), Trouble> {
        let decode::List { service, after, most } = list;
        let (mut page, mut covered) = (Vec::new(), Vec::new());
        for partition in (after >> 48) as u32..self.partitions.count() {
            // One more than wanted shows that there is more.
            let ask = Ask::List { service: service.clone(), after, most: most + 1 - page.len() };
            match self.ask(partition, ask).await {
                Ok(answer) => page.extend(encode::infos(answer)),
                Err(Trouble::NotOwner) => continue,
                Err(trouble) => return Err(trouble),
            }
            covered.push(partition);
            if page.len() > most {
                page.truncate(most);
                return Ok((page, true, covered));
            }
        }
        Ok((page, false, covered))
    }
}

#[tonic::async_trait]
impl StreamService for StreamServer {
    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        let decode::Send { meant, messages, key } = decode::send(request.into_inner())?;
        let Said { answers, coverage } =
            self.ask_for(meant, |to| Ask::Push { to, messages, key }).await?;
        let pushed = pushed(answers);
        if let ([(_, one)], None) = (&pushed[..], &coverage) {
            trouble::of(*one).map_or(Ok(()), Err)?;
        }
        let results = pushed.into_iter().map(encode::send_result).collect();
        Ok(Response::new(SendResponse { results, coverage }))
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
        let Said { answers, coverage } = self.ask_all(&ask).await?;
        let pushed = pushed(answers);
        let is_full = |(_, pushed): &&(u64, Pushed)| matches!(pushed, Pushed::Full { .. });
        let full = pushed.iter().filter(is_full).map(|(stream, _)| *stream);
        let is_taken = |pushed: &Pushed| matches!(pushed, Pushed::Taken | Pushed::Repeated);
        Ok(Response::new(SendToGroupResponse {
            taken: pushed.iter().filter(|(_, pushed)| is_taken(pushed)).count() as u64,
            full_count: full.clone().count() as u64,
            full: full.take(encode::MOST_FULL).collect(),
            coverage,
        }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let JoinRequest { target, group } = request.into_inner();
        let (meant, group) = (decode::target(target)?, decode::group(group)?);
        let Said { answers, coverage } = self.ask_for(meant, |to| Ask::Join(to, group)).await?;
        let joined: Vec<_> = answers.into_iter().flat_map(encode::joined).collect();
        if let ([(_, one)], None) = (&joined[..], &coverage) {
            trouble::of_join(*one).map_or(Ok(()), Err)?;
        }
        let is_in = |(stream, joined)| (joined == Joined::Done).then_some(stream);
        let streams = joined.into_iter().filter_map(is_in).collect();
        Ok(Response::new(JoinResponse { streams, coverage }))
    }

    async fn leave(
        &self,
        request: Request<LeaveRequest>,
    ) -> Result<Response<LeaveResponse>, Status> {
        let LeaveRequest { target, group } = request.into_inner();
        let (meant, group) = (decode::target(target)?, decode::group(group)?);
        let Said { answers, coverage } = self.ask_for(meant, |to| Ask::Leave(to, group)).await?;
        let streams = answers.into_iter().flat_map(encode::done).collect();
        Ok(Response::new(LeaveResponse { streams, coverage }))
    }

    async fn reset(
        &self,
        request: Request<ResetRequest>,
    ) -> Result<Response<ResetResponse>, Status> {
        let (meant, reset) = decode::reset(request.into_inner())?;
        let Said { answers, coverage } = self.ask_for(meant, |to| Ask::Reset(to, reset)).await?;
        let streams = answers.into_iter().flat_map(encode::done).collect();
        Ok(Response::new(ResetResponse { streams, coverage }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let meant = decode::target(request.into_inner().target)?;
        let Said { answers, coverage } = self.ask_for(meant, Ask::Get).await?;
        let infos = answers.into_iter().flat_map(encode::infos);
        Ok(Response::new(GetResponse { streams: infos.map(encode::info).collect(), coverage }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let (page, is_more, covered) = self.page(decode::list(request.into_inner())?).await?;
        let last = page.last().filter(|_| is_more);
        Ok(Response::new(ListResponse {
            next_page_token: last.map(|info| info.stream.to_string()).unwrap_or_default(),
            streams: page.into_iter().map(encode::info).collect(),
            coverage: Some(self.coverage(covered)),
        }))
    }
}

/// What partitions said, in their order.
struct Said {
    answers: Vec<Answer>,
    /// Which they are, if it might have been any.
    coverage: Option<Coverage>,
}

/// What became of each stream, in the order of their numbers.
fn pushed(answers: impl IntoIterator<Item = Answer>) -> Vec<(u64, Pushed)> {
    let of = |answer| match answer {
        Answer::Pushed(pushed) => pushed,
        Answer::Joined(_) | Answer::Done(_) | Answer::Infos(_) => Vec::new(),
    };
    answers.into_iter().flat_map(of).collect()
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
