//! What can go wrong with a command. How it is said: [`crate::report`].

use std::io;
use std::net::AddrParseError;
use std::path::PathBuf;

use enginehouse_api::{AccessError, ClientError, Operation};
use enginehouse_audit::{Break, Compared, Head};
use enginehouse_model::{FullName, NameError, OperationId};
use enginehouse_secrets::KeyFileError;
use enginehouse_server::StartError;
use enginehouse_sim::SimError;
use thiserror::Error;

use crate::export_files::ExportFilesError;
use crate::input::{ChangeError, DefinitionFileError, DirectoryError};

/// How several operations did not all end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAllWell {
    pub all: usize,
    /// Ended otherwise than well.
    pub failed: usize,
    /// Not over: they wait for a person, or go on.
    pub left: usize,
}

impl std::fmt::Display for NotAllWell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { all, failed, left } = *self;
        match (failed, left) {
            (failed, 0) => write!(f, "{failed} of {all} operations did not end well"),
            (0, left) => write!(f, "{left} of {all} operations are not over"),
            _ => write!(
                f,
                "{failed} of {all} operations did not end well, and {left} are not over"
            ),
        }
    }
}

#[derive(Debug, Error)]
pub enum CommandError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("no token for the server at {url}")]
    NoToken { url: String },
    #[error("no data directory: neither ENGINEHOUSE_DATA, XDG_DATA_HOME nor HOME is set")]
    NoHome,

    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    DefinitionFile(#[from] DefinitionFileError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    ExportFiles(#[from] ExportFilesError),
    #[error("nothing to change was given")]
    NoChange,
    #[error("`{text}` is no duration")]
    Duration { text: String },
    #[error("`{text}` is no time for something to be good")]
    Lifetime { text: String },
    #[error("`{text}` is no moment")]
    Moment { text: String },
    #[error("`{text}` does not say what is kept for how long")]
    Keep { text: String },

    /// It would destroy something, and there is nobody to ask.
    #[error("{what} {path} destroys machines, and standard input is no terminal to ask on")]
    NobodyToAsk { what: &'static str, path: FullName },
    /// It would change more than the node that it names, and there is nobody to ask.
    #[error(
        "{what} {path} changes more than its name ({summary}), and standard input is no terminal to ask on"
    )]
    NobodyToAskAbout {
        what: &'static str,
        path: FullName,
        summary: String,
    },
    /// The same, of an import that removes nodes or changes machines.
    #[error(
        "the import into {0} removes nodes or changes machines, and standard input is no terminal to ask on"
    )]
    ImportNeedsYes(FullName),
    /// The person said no.
    #[error("nothing was done")]
    Declined,

    /// An operation that ended otherwise than well, or waits for a person.
    #[error("operation {} ended {}", .0.number, .0.state)]
    Operation(Box<Operation>),
    /// Somebody pressed Ctrl-C while it ran.
    #[error("operation {0} goes on without being watched")]
    Left(OperationId),
    /// The server could not be asked while it ran.
    #[error("lost sight of operation {number}")]
    Lost {
        number: OperationId,
        #[source]
        source: ClientError,
    },
    /// It did not end in the time given.
    #[error("operation {0} is not over yet")]
    StillRunning(OperationId),
    /// Of several, some ended otherwise than well, or have not ended.
    #[error("{0}")]
    NotAllWell(NotAllWell),
    /// The server could not be asked for more results.
    #[error("no more results come")]
    LostResults {
        cursor: String,
        #[source]
        source: ClientError,
    },
    #[error("the history of this node has no entry #{entry}")]
    NoEntry { entry: u64 },
    #[error("the audit log has no entry {entry}")]
    NoAuditEntry { entry: u64 },
    #[error("the audit log is not whole")]
    BrokenAuditLog {
        #[source]
        source: Break,
    },
    /// It holds by itself, and is not what a person kept the head of.
    #[error("the audit log is not the one whose head was {kept}: {}", not_that(.kept, .compared))]
    OtherAuditLog {
        kept: Head,
        compared: Compared,
        /// The first entry, not after that head, that tells of a restore.
        restored: Option<u64>,
    },
    /// Some hypervisors have a problem; the output said which.
    #[error("{failed} of {all} hypervisors have a problem")]
    Unhealthy { failed: usize, all: usize },
    #[error("no hypervisor is called `{name}`")]
    NoHypervisor { name: String },

    #[error("`{text}` is no address to listen on")]
    Listen {
        text: String,
        #[source]
        source: AddrParseError,
    },
    #[error("{} is there already", .0.display())]
    BackupInTheWay(PathBuf),
    #[error("cannot write {}", .path.display())]
    BackupFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the backup ended after {bytes} of {of} bytes")]
    BackupCut { bytes: u64, of: u64 },
    #[error("nothing was restored")]
    Restore(#[source] enginehouse_server::RestoreError),
    #[error("cannot start the host")]
    Start(#[source] StartError),
    #[error(transparent)]
    Sim(#[from] SimError),
    #[error("the demonstration finds no engines: {} is no directory", .0.display())]
    NoEngines(PathBuf),
    #[error("the demonstration needs the engine `{needed}`, and there is none in {}", .dir.display())]
    NoEngine { needed: &'static str, dir: PathBuf },
    #[error("cannot tell where this program is")]
    Program(#[source] io::Error),
    #[error("`{text}` is no filter for the log")]
    LogFilter {
        text: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("cannot make a temporary directory")]
    Temporary(#[source] io::Error),

    #[error("cannot write the output")]
    Write(#[source] io::Error),
    #[error("cannot put the answer into JSON")]
    Json(#[from] serde_json::Error),
    #[error("cannot read the secret from {}", .path.display())]
    SecretFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read {}", .path.display())]
    SignatureFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Nothing of the operation waits for approval.
    #[error("nothing of operation {0} waits for approval")]
    NothingToSign(OperationId),
    #[error(transparent)]
    Key(KeyFileError),
    #[error("cannot read the answer")]
    Ask(#[source] io::Error),
    #[error("cannot wait for signals")]
    Signal(#[source] io::Error),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

fn not_that(kept: &Head, compared: &Compared) -> String {
    match compared {
        Compared::Holds => "it is".to_owned(),
        Compared::Differs { found } => {
            format!("entry {} has the hash {found} now", kept.number)
        }
        Compared::Missing { newest } => format!("its newest entry is {newest}"),
    }
}
