//! Tokens of clients on a link: verified outside of the partitions, before these receive the hello or the renewal.

use std::sync::Arc;

use minerva_proto::link::{Attach, Batch, CloseCause};
use minerva_proto::{ClientProtocol, Identity, Reset, ServiceName};
use minerva_runtime::recurring::RecurringFaults;

use super::Link;
use crate::clock;
use crate::jwt::{Denial, TokenError};
use crate::unavailable;

static FAULTS: RecurringFaults = RecurringFaults::new();

impl Link {
    /// Verifies the token of a hello that creates or adopts a stream. Other hellos belong to a stream with an identity.
    ///
    /// An adoption without a token keeps the identity of the stream.
    pub(super) fn authenticate(
        &self,
        service: &ServiceName,
        attach: &mut Attach,
    ) -> Result<(), CloseCause> {
        if let Some(batch) = &mut attach.batch {
            self.authenticate_batch(service, batch);
        }
        let adopts = matches!(attach.protocol, ClientProtocol::V3(proof) if proof.next.is_some());
        let is_needed = attach.create || (adopts && !attach.credentials.is_empty());
        if !is_needed || attach.resume.is_some() {
            return Ok(());
        }
        match self.verify(service, &attach.credentials) {
            Ok(identity) => attach.identity = Some(identity.into()),
            Err(Denial::Retry) => return Err(unavailable::close(unavailable::KEYS)),
            Err(Denial::Refused(error)) => {
                return Err(CloseCause::Reset(Reset::new(&error.to_string(), false)));
            }
        }
        Ok(())
    }

    /// Verifies a renewed token. An invalid one has no effect: the client is asked again, up to the end of the old one.
    pub(super) fn authenticate_batch(&self, service: &ServiceName, batch: &mut Batch) {
        let credentials = std::mem::take(&mut batch.credentials);
        if !credentials.is_empty() {
            batch.identity = self.verify(service, &credentials).ok().map(Arc::new);
        }
    }

    fn verify(&self, service: &ServiceName, token: &str) -> Result<Identity, Denial> {
        let now = (clock::now().into_std(), clock::wall_ms() / 1000);
        let verified = self.authenticator.verify(token, service.as_str(), now);
        let result = match &verified {
            Ok(_) => "accepted",
            Err(Denial::Retry) => "no_key",
            Err(Denial::Refused(TokenError::Expired)) => "expired",
            Err(Denial::Refused(_)) => "refused",
        };
        self.metrics.tokens.get_or_create(&[("result", result)]).inc();
        if let Err(Denial::Refused(error)) = &verified
            && let Some(refused) = FAULTS.record(&error.to_string(), now.0)
        {
            tracing::warn!(service = service.as_str(), refused, %error, "a token of a client is not accepted");
        }
        verified
    }
}
