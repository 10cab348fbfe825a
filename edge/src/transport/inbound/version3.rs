//! Input of version 3: the hello of either version, and the frames behind a hello of version 3. Part of `inbound.rs`.

use bytes::Bytes;
use minerva_proto::v3::{self, AnyHello, FrameError, FrameType, RefusalCode, requests_version_3};
use minerva_proto::{
    Eeds, KillReason, MAX_MESSAGE, MAX_TAG_PAIRS, MessageTag, Payload, ReceivedTags,
};

use super::super::compression;
use super::{Cut, FRAME_OVERHEAD, Fault, Inbound, Wire, WireVersions};

/// Most renewals of credentials in a row.
const MAX_RENEWALS: u8 = 4;

impl Inbound {
    /// Notes a request for credentials, which the client may answer once.
    pub(in super::super) fn on_credentials_wanted(&mut self) {
        self.renewals_left = self.renewals_left.saturating_add(1).min(MAX_RENEWALS);
    }

    /// Adds new credentials to the batch, the last ones of a read. Credentials beyond the requests have no effect: each
    /// costs the core the verification of a signature.
    fn take_credentials(&mut self, credentials: String, cut: &mut Cut) {
        let Some(left) = self.renewals_left.checked_sub(1) else { return };
        self.renewals_left = left;
        cut.cost += credentials.len();
        cut.batch.credentials = credentials;
    }

    /// Longest message of version 3, in bytes: that of the applications, so that they can return each message.
    pub(in super::super) fn max_message(&self) -> usize {
        self.max_frame.min(MAX_MESSAGE)
    }

    /// Input that cannot be cut into frames.
    pub(in super::super) fn corrupt(&self) -> Fault {
        self.refused_or(RefusalCode::Frame, KillReason::FrameCorruption)
    }

    /// A WebSocket message that is longer than allowed.
    pub(in super::super) fn too_large(&self) -> Fault {
        self.refused_or(RefusalCode::TooLarge, KillReason::FrameCorruption)
    }

    /// A frame that is unknown, malformed or not allowed.
    pub(super) fn invalid(&self) -> Fault {
        self.refused_or(RefusalCode::Frame, KillReason::InvalidFrameTypeOrArguments)
    }

    fn refused_or(&self, code: RefusalCode, reason: KillReason) -> Fault {
        if self.wire == Wire::V3 || self.versions == WireVersions::Three {
            Fault::refusal(code)
        } else {
            Fault::Kill(reason)
        }
    }

    /// Parses the hello and selects the framing of the frames behind the hello.
    pub(super) fn accept_hello(&mut self, json: &Bytes) -> Result<AnyHello, Fault> {
        let versions = self.versions;
        let is_refused = || {
            versions == WireVersions::Three || (versions.newest() > 2 && requests_version_3(json))
        };
        match AnyHello::parse(json, versions.newest()) {
            Err(error) if is_refused() => Err(Fault::refusal(error)),
            Err(_) => Err(Fault::INVALID),
            Ok(AnyHello::V2(_)) if versions == WireVersions::Three => {
                Err(Fault::titled(RefusalCode::Version, "the subprotocol minerva.3 has version 3"))
            }
            Ok(AnyHello::V2(hello)) => {
                self.last_sack.clone_from(&hello.sack);
                self.presumes = matches!(hello.eeds, Eeds::Number(_));
                Ok(AnyHello::V2(hello))
            }
            Ok(AnyHello::V3(_)) if versions == WireVersions::TwoByContentType => {
                Err(Fault::ContentType)
            }
            Ok(AnyHello::V3(hello)) => {
                self.wire = Wire::V3;
                self.last_sack.clone_from(&hello.common.sack);
                self.tags.clone_from(&hello.tags);
                Ok(AnyHello::V3(hello))
            }
        }
    }

    /// Decodes one frame of version 3 and returns its length; `None` if more bytes are needed.
    pub(super) fn cut_v3(&mut self, cut: &mut Cut) -> Option<usize> {
        let max_message = self.max_message();
        if let Some(run) = &mut self.run {
            match run.next_frame() {
                Ok(Some(raw)) => return Some(self.on_raw(raw, cut)),
                Ok(None) => self.run = None,
                Err(error) => {
                    cut.fault = Some(Fault::refusal(error));
                    return None;
                }
            }
        }
        match v3::cut(&mut self.uncut, max_message) {
            Ok(Some(raw)) if raw.frame_type == FrameType::Compressed => {
                let length = v3::frame_len(raw.body.len());
                // The frames of the run are charged one by one: decoding pauses within a run.
                cut.cost += FRAME_OVERHEAD;
                match compression::inflate(&raw.body, max_message) {
                    Ok(run) => self.run = (!run.is_empty()).then(|| Box::new(run)),
                    Err(error) => cut.fault = Some(Fault::refusal(error)),
                }
                Some(length)
            }
            Ok(Some(raw)) => Some(self.on_raw(raw, cut)),
            Ok(None) => None,
            Err(error) => {
                cut.fault = Some(Fault::refusal(error));
                None
            }
        }
    }

    /// Charges and takes one frame; returns its length.
    fn on_raw(&mut self, raw: v3::RawFrame, cut: &mut Cut) -> usize {
        let length = v3::frame_len(raw.body.len());
        cut.cost += length + FRAME_OVERHEAD;
        if let Err(fault) = self.take_v3(raw, cut) {
            cut.fault = Some(fault);
        }
        length
    }

    fn take_v3(&mut self, raw: v3::RawFrame, cut: &mut Cut) -> Result<(), Fault> {
        if !raw.frame_type.is_from_client() {
            return Err(Fault::refusal(FrameError::Body(raw.frame_type.byte())));
        }
        if raw.frame_type.is_message() {
            return self.number(payload(raw)?, &mut cut.batch);
        }
        match v3::Frame::decode(raw).map_err(Fault::refusal)? {
            v3::Frame::SeqNum(number) => self.next_message = number,
            v3::Frame::Sack(sack) => self.take_sack(sack, cut),
            v3::Frame::ClaimTag(tag) => {
                self.tags = with_tag(&self.tags, tag);
                cut.cost += size_of_val(self.tags.pairs());
                cut.batch.tag_history.clone_from(&self.tags);
            }
            v3::Frame::Reset(reset) => cut.batch.reset = Some(reset),
            v3::Frame::Renewal(v3::Renewal::Credentials(new)) => self.take_credentials(new, cut),
            v3::Frame::Comment(_) | v3::Frame::Extension(_) | v3::Frame::Renewal(_) => {}
            // `cut_v3` inflates runs and takes messages.
            v3::Frame::Compressed(_)
            | v3::Frame::Text(_)
            | v3::Frame::Binary(_)
            | v3::Frame::Welcome(_)
            | v3::Frame::StreamStatus(_)
            | v3::Frame::YouCloseIt
            | v3::Frame::Refusal(_) => return Err(self.invalid()),
        }
        Ok(())
    }
}

/// The message of a frame.
fn payload(raw: v3::RawFrame) -> Result<Payload, Fault> {
    if raw.frame_type == FrameType::Binary {
        return Ok(Payload::binary(raw.body));
    }
    Payload::text(raw.body).map_err(|error| Fault::refusal(FrameError::NotUtf8(error.0)))
}

/// The tags with another pair at the end. A pair replaces those from its number on; of too many the first one goes.
fn with_tag(tags: &ReceivedTags, added: MessageTag) -> ReceivedTags {
    let before = tags.pairs().iter().filter(|pair| pair.first < added.first);
    let mut pairs: Vec<_> = before.copied().chain([added]).collect();
    if pairs.len() > MAX_TAG_PAIRS {
        pairs.remove(0);
    }
    ReceivedTags::new(pairs).unwrap_or_default()
}
