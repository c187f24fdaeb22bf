//! Test peers: programs that the tests talk to, in a virtual environment of their own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::{command, output, run, works};
use crate::workspace;

const PACKAGES: &str = "tests/peers/requirements.txt";

/// Installs what `tests/peers/requirements.txt` names, unless that was done already.
pub fn install() -> Result<()> {
    let wanted = fs::read_to_string(workspace::root().join(PACKAGES))
        .with_context(|| format!("cannot read {PACKAGES}"))?;
    let peers = workspace::target().join("peers");
    let environment = peers.join("venv");
    let python = environment.join("bin/python");
    // Written last, so an installation that was interrupted is not taken for one.
    let stamp = peers.join("installed.txt");
    let installed = fs::read_to_string(&stamp).unwrap_or_default();
    // An interpreter that was upgraded or moved leaves an environment that does not start.
    if installed == wanted && works(command(&python).arg("--version")) {
        return Ok(());
    }
    println!("peers {}", peers.display());
    let interpreter = interpreter()?;
    for old in [&environment, &stamp] {
        remove(old)?;
    }
    fs::create_dir_all(&peers).with_context(|| format!("cannot make {}", peers.display()))?;
    run(command(interpreter).args(["-m", "venv"]).arg(&environment))?;
    run(command(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--requirement", PACKAGES]))
    .context("cannot install the test peers from PyPI")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Succeeds in an interpreter that will do: fakepve wants 3.10.
const SUITABLE: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// A Python that can make virtual environments. On a Debian in CI it is installed.
fn interpreter() -> Result<&'static str> {
    const PYTHON: &str = "python3";
    let usable = || works(command(PYTHON).args(["-c", SUITABLE]));
    if usable() {
        return Ok(PYTHON);
    }
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    if in_ci && is_root() && works(command("apt-get").arg("--version")) {
        println!("installing python3-venv");
        run(command("apt-get").arg("update").arg("--quiet"))?;
        run(command("apt-get")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(["python3", "python3-venv"])
            .env("DEBIAN_FRONTEND", "noninteractive"))?;
        if usable() {
            return Ok(PYTHON);
        }
    }
    bail!(
        "the test peers need Python 3.10 or newer with its venv module: install it (Debian and Ubuntu: \
         `apt-get install python3 python3-venv`, Fedora: `dnf install python3`, macOS: \
         `brew install python`) and run this again"
    )
}

fn is_root() -> bool {
    output(command("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
