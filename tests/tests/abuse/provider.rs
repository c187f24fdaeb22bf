//! A provider that counts what it is asked, and tells everybody what it was told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Answers by path, and requests so far.
#[derive(Debug, Default)]
struct Books {
    answers: BTreeMap<&'static str, &'static str>,
    seen: Vec<(String, String)>,
}

/// A running provider; it ends with this.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
    serving: JoinHandle<()>,
}

impl Provider {
    pub async fn start() -> Result<Self> {
        let books = Arc::new(Mutex::new(Books::default()));
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&books));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            // It serves until it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            books,
            serving,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it answers at a path from now on.
    pub fn says(&self, path: &'static str, answer: &'static str) {
        self.books.lock().answers.insert(path, answer);
    }

    /// Requests so far with this method and a path that begins so.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let books = self.books.lock();
        let seen = books.seen.iter();
        seen.filter(|(seen, at)| seen == method && at.starts_with(path))
            .count()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(books): State<Arc<Mutex<Books>>>, request: Request) -> (StatusCode, String) {
    let path = request.uri().path().to_owned();
    let mut books = books.lock();
    books
        .seen
        .push((request.method().to_string(), path.clone()));
    let body = match (path.as_str(), books.answers.get(path.as_str())) {
        (_, Some(answer)) => (*answer).to_owned(),
        ("/identity", None) => "provider-1".to_owned(),
        ("/echo" | "/leak", None) => {
            let headers = request.headers().iter();
            headers
                .map(|(name, value)| {
                    format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
                })
                .collect()
        }
        _ => "made".to_owned(),
    };
    (StatusCode::OK, body)
}
