//! The usage by address and service equals the sum over the streams after any sequence of inputs, and across owners.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use minerva_proto::link::{Attach, Batch, TransportId};
use minerva_proto::{AddressKey, EventNumber, Reset, StreamNumber};
use proptest::prelude::*;

use super::budgets::{hello_from, key};
use super::harness::{Harness, LINK, TestSession, messages, run_until_idle};
use super::store::TestStore;
use crate::partition::{Mail, SessionId};

const ADDRESSES: [&str; 3] = ["192.0.2.1", "192.0.2.2", "2001:db8::1"];

/// Overhead of a message behind a gap.
const OVERHEAD: u64 = 30;

/// Streams and bytes by key.
type Sums<K> = HashMap<K, (u64, u64)>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Create {
        address: usize,
    },
    /// A message in order of this many bytes.
    Send {
        stream: usize,
        bytes: usize,
    },
    /// A message behind a gap.
    SendLater {
        stream: usize,
        bytes: usize,
    },
    /// A transport from another address.
    Move {
        stream: usize,
        address: usize,
    },
    Detach {
        stream: usize,
    },
    Acknowledge {
        stream: usize,
    },
    End {
        stream: usize,
    },
    /// The next owner recovers the partition.
    Crash,
    Stop,
}

/// A live or ended stream.
#[derive(Default)]
struct ModelStream {
    created_by: usize,
    address: usize,
    /// Its last transport.
    transport: u64,
    batches: u64,
    next: u64,
    inbox: u64,
    gap: Option<u64>,
    is_ended: bool,
}

struct World {
    store: TestStore,
    harness: Option<Harness>,
    session: Option<TestSession>,
    sessions: u64,
    transports: u64,
    streams: BTreeMap<u64, ModelStream>,
    created: u64,
}

impl World {
    async fn start() -> Self {
        let (store, streams) = (TestStore::free(), BTreeMap::new());
        let mut this = Self {
            store,
            harness: None,
            session: None,
            sessions: 0,
            transports: 0,
            streams,
            created: 0,
        };
        this.recover().await;
        this
    }

    async fn recover(&mut self) {
        let harness = Harness::start(&self.store).await;
        self.sessions += 1;
        self.session = Some(harness.join(self.sessions, "one", &[]));
        self.harness = Some(harness);
        for stream in self.streams.values_mut() {
            (stream.address, stream.transport) = (stream.created_by, 0);
        }
        run_until_idle().await;
    }

    fn harness(&self) -> &Harness {
        self.harness.as_ref().unwrap()
    }

    fn number(&self, index: usize) -> Option<u64> {
        let live: Vec<_> =
            self.streams.iter().filter(|(_, s)| !s.is_ended).map(|(n, _)| *n).collect();
        (!live.is_empty()).then(|| live[index % live.len()])
    }

    fn attach(&mut self, number: u64, address: usize, create: bool) {
        self.transports += 1;
        let transport = self.transports;
        let hello = hello_from(ADDRESSES[address], transport, &format!("stream{number}"));
        self.harness().attach(Attach { create, ..hello });
        let stream = self.streams.entry(number).or_default();
        (stream.address, stream.transport, stream.batches) = (address, transport, 0);
    }

    fn batch(&mut self, number: u64, first: u64, bytes: usize, reset: Option<Reset>) {
        let stream = &self.streams[&number];
        if stream.transport == 0 {
            let address = stream.address;
            self.attach(number, address, false);
        }
        let stream = self.streams.get_mut(&number).unwrap();
        let (transport, count) = (stream.transport, stream.batches);
        stream.batches += 1;
        let batch = match bytes {
            0 => Batch { number: messages(count, 0, Vec::new()).number, ..Batch::default() },
            _ => messages(count, first, vec!["x".repeat(bytes).into()]),
        };
        self.harness().batch(transport, Batch { reset, ..batch });
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Create { address } => {
                self.created += 1;
                self.attach(self.created, address, true);
                self.streams.get_mut(&self.created).unwrap().created_by = address;
            }
            Step::Crash => {
                self.harness.take().unwrap().task.abort();
                self.recover().await;
            }
            Step::Stop => {
                let harness = self.harness.take().unwrap();
                let usage = harness.usage.clone();
                harness.stop().await.unwrap();
                assert!(usage.addresses.sums().is_empty() && usage.services.sums().is_empty());
                self.recover().await;
            }
            Step::Send { stream, .. }
            | Step::SendLater { stream, .. }
            | Step::Move { stream, .. }
            | Step::Detach { stream }
            | Step::Acknowledge { stream }
            | Step::End { stream } => {
                if let Some(number) = self.number(stream) {
                    self.stream_step(number, step);
                }
            }
        }
        run_until_idle().await;
    }

    fn stream_step(&mut self, number: u64, step: Step) {
        let stream = &self.streams[&number];
        let next = stream.next;
        match step {
            Step::Send { bytes, .. } => {
                self.batch(number, next, bytes, None);
                let stream = self.streams.get_mut(&number).unwrap();
                stream.inbox += bytes as u64;
                stream.next += 1;
                if let Some(gap) = stream.gap.take() {
                    stream.inbox += gap;
                    stream.next += 1;
                }
            }
            Step::SendLater { bytes, .. } if stream.gap.is_none() => {
                self.batch(number, next + 1, bytes, None);
                self.streams.get_mut(&number).unwrap().gap = Some(bytes as u64);
            }
            Step::SendLater { .. } => {}
            Step::Move { address, .. } => self.attach(number, address, false),
            Step::Detach { .. } => {
                let transport = TransportId(stream.transport);
                self.harness().send(Mail::Detach { link: LINK, transport });
                self.streams.get_mut(&number).unwrap().transport = 0;
            }
            Step::Acknowledge { .. } => {
                let (session, event) = (SessionId(self.sessions), EventNumber(next));
                let stream = StreamNumber(number);
                self.harness().send(Mail::Acknowledge { session, stream, event });
                let stream = self.streams.get_mut(&number).unwrap();
                stream.inbox = 0;
            }
            Step::End { .. } => {
                self.batch(number, next, 0, Some(Reset::new("bye", true)));
                let stream = self.streams.get_mut(&number).unwrap();
                (stream.gap, stream.is_ended) = (None, true);
            }
            Step::Create { .. } | Step::Crash | Step::Stop => {}
        }
    }

    fn expected(&self) -> (Sums<AddressKey>, Sums<Arc<str>>) {
        let (mut addresses, mut services) = (HashMap::new(), HashMap::new());
        for stream in self.streams.values() {
            let bytes = stream.inbox + stream.gap.map_or(0, |gap| gap + OVERHEAD);
            for sums in [
                addresses.entry(key(ADDRESSES[stream.address])).or_insert((0, 0)),
                services.entry("default".into()).or_insert((0, 0)),
            ] {
                *sums = (sums.0 + 1, sums.1 + bytes);
            }
        }
        (addresses, services)
    }
}

fn step() -> impl Strategy<Value = Step> {
    let (stream, address, bytes) = (0..8_usize, 0..ADDRESSES.len(), 1..40_usize);
    prop_oneof![
        2 => address.clone().prop_map(|address| Step::Create { address }),
        4 => (stream.clone(), bytes.clone()).prop_map(|(stream, bytes)| Step::Send { stream, bytes }),
        3 => (stream.clone(), bytes).prop_map(|(stream, bytes)| Step::SendLater { stream, bytes }),
        2 => (stream.clone(), address).prop_map(|(stream, address)| Step::Move { stream, address }),
        1 => stream.clone().prop_map(|stream| Step::Detach { stream }),
        2 => stream.clone().prop_map(|stream| Step::Acknowledge { stream }),
        1 => stream.prop_map(|stream| Step::End { stream }),
        1 => Just(Step::Crash),
        1 => Just(Step::Stop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn usage_is_the_sum_over_the_streams(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::start().await;
            for step in steps {
                world.step(step).await;
                let usage = &world.harness().usage;
                let sums = (usage.addresses.sums(), usage.services.sums());
                assert_eq!(sums, world.expected(), "after {step:?}");
            }
        });
    }
}
