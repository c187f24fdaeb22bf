//! What a plugin host of the usual kind pays for a call: one gRPC round trip over a Unix socket to a
//! process of its own, as HashiCorp's go-plugin makes it.
//!
//! HTTP/2 with gRPC's framing and trailers, on the `h2` crate that Rust's gRPC stands on, without
//! protobuf's own work. The other process is this program, started again.

use std::env;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use h2::RecvStream;
use h2::client::SendRequest;
use h2::server::SendResponse;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

use super::sample::Samples;

/// First argument of the other process.
pub const PLUGIN: &str = "--plugin";
/// Bytes of a message each way: about what a call of an engine has.
const MESSAGE: usize = 200;
const READY: Duration = Duration::from_secs(10);

/// Round trips, one after another, over one connection that stays open.
pub async fn round_trips(warm_up: usize, count: usize) -> Result<Samples> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("plugin");
    let _plugin = start(&socket)?;
    let (mut client, connection) = h2::client::handshake(connect(&socket).await?).await?;
    let driver = tokio::spawn(connection);
    let mut samples = Samples::default();
    for n in 0..warm_up + count {
        let began = Instant::now();
        client = call(client).await?;
        if n >= warm_up {
            samples.add(began.elapsed());
        }
    }
    driver.abort();
    Ok(samples)
}

fn start(socket: &Path) -> Result<Child> {
    let plugin = Command::new(env::current_exe()?)
        .arg(PLUGIN)
        .arg(socket)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok(plugin)
}

async fn connect(socket: &Path) -> Result<UnixStream> {
    let began = Instant::now();
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) if began.elapsed() > READY => {
                return Err(error).context("the other process does not listen");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Compressed or not, length, message.
fn framed() -> Bytes {
    let mut frame = vec![0, 0, 0, 0, MESSAGE as u8];
    frame.extend([b'x'; MESSAGE]);
    frame.into()
}

async fn call(client: SendRequest<Bytes>) -> Result<SendRequest<Bytes>> {
    let mut client = client.ready().await?;
    let request = Request::post("http://localhost/plugin.Machines/Read")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut body) = client.send_request(request, false)?;
    body.send_data(framed(), true)?;
    let mut answer = response.await?.into_body();
    let length = read(&mut answer).await?;
    ensure!(length == framed().len(), "the answer has {length} bytes");
    let trailers = answer.trailers().await?.context("no trailers")?;
    ensure!(trailers["grpc-status"] == "0", "{trailers:?}");
    Ok(client)
}

async fn read(body: &mut RecvStream) -> Result<usize> {
    let mut length = 0;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        length += piece.len();
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok(length)
}

/// The other process: answers until it is killed.
pub fn serve(socket: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (stream, _) = UnixListener::bind(socket)?.accept().await?;
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(call) = connection.accept().await {
            let (request, respond) = call?;
            tokio::spawn(answer(request.into_body(), respond));
        }
        Ok(())
    })
}

async fn answer(mut body: RecvStream, mut respond: SendResponse<Bytes>) -> Result<()> {
    read(&mut body).await?;
    let head = Response::builder()
        .header("content-type", "application/grpc")
        .body(())?;
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(framed(), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)?;
    Ok(())
}
