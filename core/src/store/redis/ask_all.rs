//! One query to several servers at the same time, such as all Sentinels or several nodes of a cluster.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::timeout_at;

use super::super::StoreError;
use super::error::timed_out;
use super::url::Node;
use crate::clock;

/// How long the remaining servers are waited for after a majority has sent a useful reply.
const STRAGGLERS: Duration = Duration::from_millis(200);

/// Returns the reply of each server, in the order of the list. `query` must have a deadline.
pub(super) async fn ask_all<'a, T, F>(
    nodes: &'a [Node],
    query: impl Fn(&'a Node) -> F,
    is_useful: impl Fn(&T) -> bool,
) -> Vec<(Node, Result<T, StoreError>)>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let numbered = |(at, node)| {
        let reply = query(node);
        async move { (at, reply.await) }
    };
    let mut queries: FuturesUnordered<_> = nodes.iter().enumerate().map(numbered).collect();
    let late = |node: &Node| (node.clone(), Err(timed_out(&node.to_string())));
    let mut replies: Vec<_> = nodes.iter().map(late).collect();
    let (mut useful, mut deadline) = (0, None);
    loop {
        let next = match deadline {
            None => queries.next().await,
            Some(deadline) => timeout_at(deadline, queries.next()).await.ok().flatten(),
        };
        let Some((at, reply)) = next else { return replies };
        useful += usize::from(reply.as_ref().is_ok_and(&is_useful));
        replies[at].1 = reply;
        if deadline.is_none() && useful * 2 > nodes.len() {
            deadline = Some(clock::now() + STRAGGLERS);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// The times after which the servers reply, in ms, and the numbers of the replies received in time.
    async fn replies(delays: &[u64]) -> (Vec<u16>, u128) {
        let nodes: Vec<_> =
            (0..).zip(delays).map(|(port, _)| Node { host: "h".to_owned(), port }).collect();
        let query = |node: &Node| {
            let port = node.port;
            let delay = Duration::from_millis(delays[usize::from(port)]);
            async move {
                sleep(delay).await;
                Ok(port)
            }
        };
        let begun = clock::now();
        let replies = ask_all(&nodes, query, |port| *port != 1).await;
        let took = (clock::now() - begun).as_millis();
        (replies.into_iter().filter_map(|(_, reply)| reply.ok()).collect(), took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_majority_of_useful_replies_bounds_the_wait() {
        assert_eq!(replies(&[]).await, (vec![], 0));
        assert_eq!(replies(&[5, 1]).await, (vec![0, 1], 5));
        assert_eq!(replies(&[5, 900, 6]).await, (vec![0, 2], 206));
        assert_eq!(replies(&[205, 5, 6]).await, (vec![0, 1, 2], 205));
        assert_eq!(replies(&[900, 5, 6]).await, (vec![0, 1, 2], 900), "the reply of 1 is useless");
        assert_eq!(replies(&[5, 900, 205]).await, (vec![0, 2], 405));
    }
}
