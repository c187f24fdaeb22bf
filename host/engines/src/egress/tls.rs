//! Whom to believe to be the hypervisor, and what to say when it is somebody else.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use enginehouse_documents::Code;
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use super::spec::{ConnectionError, Tls};

/// Fingerprints of certificates that were refused, by host: an error can then name what to pin.
pub(crate) type Seen = Arc<Mutex<BTreeMap<String, String>>>;

/// TLS of one hypervisor. HTTP/1.1 only: HTTP/2 has no reason phrase.
pub(crate) fn client_config(
    hypervisor: &str,
    tls: &Tls,
    seen: Seen,
) -> Result<ClientConfig, ConnectionError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |reason: String| ConnectionError::Client {
        hypervisor: hypervisor.to_owned(),
        reason,
    };
    let trust = match tls {
        Tls::Roots => Trust::Authorities {
            inner: webpki(system_roots(), &provider).map_err(unusable)?,
            pinned: Vec::new(),
        },
        Tls::CaFile(path) => {
            let pinned = read_pem(hypervisor, path)?;
            let mut roots = RootCertStore::empty();
            let (usable, _) = roots.add_parsable_certificates(pinned.iter().cloned());
            if usable == 0 {
                return Err(no_certificate(hypervisor, path));
            }
            Trust::Authorities {
                inner: webpki(roots, &provider).map_err(unusable)?,
                pinned,
            }
        }
        Tls::Fingerprint(text) => Trust::Fingerprint(read_fingerprint(hypervisor, text)?),
        Tls::Insecure => Trust::Anybody,
    };
    let verifier = Verifier {
        trust,
        provider: Arc::clone(&provider),
        seen,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

fn webpki(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| format!("no certificate authorities: {error}"))
}

/// The system's authorities, read once.
fn system_roots() -> RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        })
        .clone()
}

fn read_pem(
    hypervisor: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConnectionError> {
    let pem = std::fs::read(path).map_err(|source| ConnectionError::CaFile {
        hypervisor: hypervisor.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| no_certificate(hypervisor, path))
}

fn no_certificate(hypervisor: &str, path: &Path) -> ConnectionError {
    ConnectionError::Invalid {
        hypervisor: hypervisor.to_owned(),
        field: "tls.ca_file".to_owned(),
        value: path.display().to_string(),
        hint: "the file holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned(),
    }
}

fn read_fingerprint(hypervisor: &str, text: &str) -> Result<[u8; 32], ConnectionError> {
    let digits: Vec<u8> = (text.trim().bytes())
        .filter(|b| !matches!(b, b':' | b' '))
        .collect();
    let byte = |pair: &[u8]| {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        u8::try_from(high * 16 + low).ok()
    };
    (digits.len() == 64)
        .then(|| {
            digits
                .chunks_exact(2)
                .map(byte)
                .collect::<Option<Vec<u8>>>()
        })
        .flatten()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| ConnectionError::Invalid {
            hypervisor: hypervisor.to_owned(),
            field: "tls.fingerprint".to_owned(),
            value: text.chars().take(100).collect(),
            hint: "write the certificate's SHA-256: 64 hexadecimal digits, with or without colons"
                .to_owned(),
        })
}

fn sha256(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate.as_ref()).into()
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[derive(Debug)]
enum Trust {
    Authorities {
        inner: Arc<WebPkiServerVerifier>,
        /// The file's certificates: a server that shows one of them itself is it. A self-signed
        /// certificate is no authority, and webpki refuses it as one.
        pinned: Vec<CertificateDer<'static>>,
    },
    Fingerprint([u8; 32]),
    Anybody,
}

/// Checks the certificate as the operator said, and always that the server holds its key.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    seen: Seen,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result = match &self.trust {
            Trust::Authorities { inner, pinned } => {
                if pinned.iter().any(|known| known == end_entity) {
                    Ok(ServerCertVerified::assertion())
                } else {
                    inner.verify_server_cert(
                        end_entity,
                        intermediates,
                        server_name,
                        ocsp_response,
                        now,
                    )
                }
            }
            Trust::Fingerprint(wanted) if *wanted == sha256(end_entity) => {
                Ok(ServerCertVerified::assertion())
            }
            Trust::Fingerprint(_) => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
            Trust::Anybody => Ok(ServerCertVerified::assertion()),
        };
        if result.is_err() {
            let mut seen = self.seen.lock();
            seen.insert(server_name.to_str().into_owned(), hex(&sha256(end_entity)));
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The TLS error behind another one. `io::Error` hides it from `source`.
pub(crate) fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        if let Some(inner) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            && let Some(found) = tls_error(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What a TLS error means for the request: whoever waits for `unreachable` to pass waits for ever
/// where a person has to say whom to trust, or has written the wrong port.
pub(crate) fn code(error: &Error) -> Code {
    match error {
        Error::InvalidCertificate(_) => Code::Denied,
        Error::InvalidMessage(_) => Code::Invalid,
        _ => Code::Unreachable,
    }
}

/// What to say of a TLS error, and what to do about it.
pub(crate) fn explain(
    error: &Error,
    tls: &Tls,
    host: &str,
    authority: &str,
    seen: &Seen,
) -> (String, Option<String>) {
    let fingerprint = seen.lock().get(host).cloned();
    match error {
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
            if matches!(tls, Tls::Fingerprint(_)) =>
        {
            let shown = fingerprint.as_deref().unwrap_or("another one");
            (
                format!("{authority} shows a certificate with another fingerprint: {shown}"),
                Some(format!(
                    "if the certificate was renewed, and only then, set `tls.fingerprint` to {shown}"
                )),
            )
        }
        Error::InvalidCertificate(why) => {
            let reason = match why {
                CertificateError::UnknownIssuer => {
                    "its issuer is not known (self-signed, or a private authority)".to_owned()
                }
                // webpki's name for a self-signed certificate among the roots.
                CertificateError::Other(other)
                    if other.to_string().contains("CaUsedAsEndEntity") =>
                {
                    "it is self-signed".to_owned()
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "it has expired".to_owned()
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "it is not valid yet: compare the clocks".to_owned()
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => {
                    format!("it is not made out to `{host}`")
                }
                other => other.to_string(),
            };
            let pin = fingerprint.map_or_else(
                || "`tls.fingerprint`".to_owned(),
                |seen| format!("`tls.fingerprint` (it showed {seen}; compare before you trust it)"),
            );
            (
                format!("the certificate of {authority} is refused: {reason}"),
                Some(format!(
                    "set `tls.ca_file` to its authority's certificate, or {pin}"
                )),
            )
        }
        Error::InvalidMessage(_) => (
            format!("{authority} does not speak TLS on this port"),
            Some("write the endpoint with http://, or give the port that speaks TLS".to_owned()),
        ),
        other => (format!("TLS with {authority} failed: {other}"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_in_the_usual_spellings() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [plain.as_str(), colons.as_str(), &format!(" {plain} ")] {
            assert_eq!(read_fingerprint("h", text).unwrap(), [0xab; 32], "{text}");
        }
        for text in [
            "",
            "ab",
            &"zz".repeat(32),
            &"ab".repeat(20),
            &"ä".repeat(32),
        ] {
            let error = read_fingerprint("h", text).unwrap_err().to_string();
            assert!(error.contains("SHA-256"), "{error}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let tls = Tls::CaFile(path.clone());
        let error = client_config("h", &tls, Seen::default()).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
        std::fs::write(&path, "hello").unwrap();
        let error = client_config("h", &tls, Seen::default()).unwrap_err();
        assert!(
            error.to_string().contains("no certificate in PEM"),
            "{error}"
        );
    }

    #[test]
    fn a_tls_error_is_found_inside_an_io_error() {
        let inner = io::Error::other(Error::HandshakeNotComplete);
        let outer = io::Error::new(io::ErrorKind::ConnectionAborted, inner);
        assert_eq!(tls_error(&outer), Some(&Error::HandshakeNotComplete));
        assert_eq!(tls_error(&io::Error::other("x")), None);
    }
}
