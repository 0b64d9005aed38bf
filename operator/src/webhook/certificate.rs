//! A certificate that signs itself, and its key, which never leaves the process.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

/// How long it is valid.
const VALID: Duration = Duration::from_hours(30 * 24);
/// When it is replaced.
const OLD: Duration = Duration::from_hours(20 * 24);
/// Clocks may differ by this.
const SKEW: Duration = Duration::from_hours(1);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    /// It could not be made.
    #[error("a certificate could not be signed")]
    Sign(#[source] rcgen::Error),
    /// TLS doesn't take it.
    #[error("TLS refuses the certificate")]
    Tls(#[source] tokio_rustls::rustls::Error),
}

/// A certificate and what serves it.
pub(super) struct Certificate {
    pem: String,
    acceptor: TlsAcceptor,
    made: SystemTime,
}

impl Certificate {
    /// A new one for these names and addresses.
    pub(super) fn new(names: &[String]) -> Result<Self, CertificateError> {
        let made = SystemTime::now();
        let mut params = CertificateParams::new(names).map_err(CertificateError::Sign)?;
        params
            .distinguished_name
            .push(DnType::CommonName, super::NAME);
        params.not_before = (made - SKEW).into();
        params.not_after = (made + VALID).into();
        let key = KeyPair::generate().map_err(CertificateError::Sign)?;
        let certificate = params.self_signed(&key).map_err(CertificateError::Sign)?;
        let private = PrivateKeyDer::try_from(key.serialize_der())
            .expect("a key that was made here has a form that is known");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![certificate.der().clone()], private)
            })
            .map_err(CertificateError::Tls)?;
        Ok(Self {
            pem: certificate.pem(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            made,
        })
    }

    /// As text, for those who are to trust it.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// What answers with it.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Whether it should be replaced: it will end, or the clock was set to before it began.
    pub(super) fn is_old(&self) -> bool {
        match SystemTime::now().duration_since(self.made) {
            Ok(age) => age > OLD,
            Err(before) => before.duration() > SKEW / 2,
        }
    }
}
