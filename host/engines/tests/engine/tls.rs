//! Certificates: whom to believe, and what to say otherwise.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use enginehouse_documents::{Code, Problem};
use enginehouse_engines::{CallError, Connection, Tls};
use sha2::{Digest, Sha256};

use crate::provider::{Provider, ok};
use crate::setup::{Trial, engine, problem, spec};

struct Server {
    address: SocketAddr,
    pem: String,
    fingerprint: String,
}

/// An HTTPS server with a self-signed certificate for `name`; each connection answers once.
fn server(name: &str) -> Server {
    let key = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let der = key.cert.der().clone();
    let private =
        rustls_pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], private)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(session, stream.unwrap());
            let mut buffer = [0; 4096];
            // A client that does not trust the certificate ends here.
            if tls.read(&mut buffer).is_ok_and(|n| n > 0) {
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nc1";
                let _ = tls.write_all(answer.as_bytes());
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        }
    });
    let digits: Vec<String> = Sha256::digest(&der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    Server {
        address,
        pem: key.cert.pem(),
        fingerprint: digits.join(":"),
    }
}

async fn check(server: &Server, tls: Tls) -> Result<String, CallError> {
    let mut spec = spec(server.address, "good");
    spec.endpoints
        .insert("host".into(), format!("https://{}", server.address));
    spec.tls = tls;
    let connection = Connection::new(spec).unwrap();
    let health = engine()
        .await
        .check(Trial::default().reading(), &connection)
        .await;
    health.map(|health| health.identity)
}

/// A certificate that is not believed is no outage: it does not pass by waiting.
async fn refusal(server: &Server, tls: Tls) -> Problem {
    let problem = problem(check(server, tls).await.unwrap_err());
    assert_eq!(problem.code, Code::Denied);
    problem
}

fn ca_file(server: &Server, dir: &tempfile::TempDir) -> PathBuf {
    let path = dir.path().join("ca.pem");
    std::fs::write(&path, &server.pem).unwrap();
    path
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused_with_its_fingerprint() {
    let server = server("127.0.0.1");
    let problem = refusal(&server, Tls::Roots).await;
    assert!(
        problem.message.starts_with("the certificate of 127.0.0.1:"),
        "{problem}"
    );
    let hint = problem.detail.hint.unwrap();
    assert!(
        hint.contains("`tls.ca_file`") && hint.contains(&server.fingerprint),
        "{hint}"
    );
}

#[tokio::test]
async fn a_fingerprint_is_believed_and_no_other() {
    let server = server("127.0.0.1");
    let right = Tls::Fingerprint(server.fingerprint.to_lowercase().replace(':', ""));
    assert_eq!(check(&server, right).await.unwrap(), "c1");
    let problem = refusal(&server, Tls::Fingerprint("00".repeat(32))).await;
    assert!(problem.message.contains("another fingerprint"), "{problem}");
    assert!(problem.message.contains(&server.fingerprint), "{problem}");
}

#[tokio::test]
async fn a_certificate_in_the_ca_file_is_believed_and_no_other() {
    let (first, second) = (server("127.0.0.1"), server("127.0.0.1"));
    let dir = tempfile::tempdir().unwrap();
    let tls = Tls::CaFile(ca_file(&first, &dir));
    assert_eq!(check(&first, tls.clone()).await.unwrap(), "c1");
    let problem = refusal(&second, tls).await;
    assert!(problem.detail.hint.unwrap().contains(&second.fingerprint));
}

#[tokio::test]
async fn insecure_believes_anybody() {
    assert_eq!(
        check(&server("elsewhere.example"), Tls::Insecure)
            .await
            .unwrap(),
        "c1"
    );
}

#[tokio::test]
async fn a_port_without_tls_is_told_from_a_bad_certificate() {
    let provider = Provider::start(|_| ok("x")).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = Server {
        address: listener.local_addr().unwrap(),
        pem: String::new(),
        fingerprint: String::new(),
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let problem = problem(check(&plain, Tls::Roots).await.unwrap_err());
    assert_eq!(problem.code, Code::Invalid);
    assert!(problem.message.contains("does not speak TLS"), "{problem}");
    assert!(problem.detail.hint.unwrap().contains("http://"));
    assert_eq!(provider.seen().len(), 0);
}
