//! States of tasks, with as few requests as it takes.
//!
//! One task costs a request, and while it runs another for its new log lines. Three or more of one node
//! cost one request together; then only two of them are asked for lines in each poll, those that
//! were not asked for the longest time. A task that ended well costs no request for its log at all.

use std::collections::BTreeMap;

use enginehouse_sdk::prelude::*;

use crate::api;
use crate::problem;
use crate::settle::NodeTask;
use crate::task::Task;
use crate::upid::Upid;

/// From how many tasks of a node on its list is asked for instead of each.
const MANY: usize = 3;
/// How many running tasks of a batch are asked for log lines.
const LOGS: usize = 2;
/// Log lines asked for at once; a task that failed ends its log with the reason.
const LINES: u64 = 500;
/// Log lines that an error keeps.
const KEPT: usize = 10;

/// What is known of a task of Proxmox VE.
#[derive(Clone, Debug, PartialEq)]
enum State {
    Running,
    Stopped(String),
}

#[derive(Deserialize)]
struct StatusAnswer {
    status: String,
    #[serde(default)]
    exitstatus: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(deserialize_with = "loose::number")]
    n: u64,
    #[serde(default)]
    t: String,
}

/// Where a task's log was left off, and when it was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// Number of the last line that was read.
    line: u64,
    /// Milliseconds since 1970.
    at: u64,
}

impl Cursor {
    fn parse(text: &str) -> Self {
        let numbers = text.split_once(':');
        let parse = |(line, at): (&str, &str)| {
            Some(Self {
                line: line.parse().ok()?,
                at: at.parse().ok()?,
            })
        };
        numbers.and_then(parse).unwrap_or_default()
    }

    fn show(self) -> String {
        format!("{}:{}", self.line, self.at)
    }
}

pub fn poll(cx: &Cx, queries: &[TaskQuery]) -> Result<Vec<TaskState>> {
    let tasks: Vec<Option<Task>> = queries
        .iter()
        .map(|query| query.task.parse().ok())
        .collect();
    let known = known_states(cx, &tasks)?;
    let logs = whose_logs(queries, &tasks, &known);
    let mut states = Vec::with_capacity(queries.len());
    let mut away = None;
    let mut answered = false;
    for (n, (query, task)) in queries.iter().zip(&tasks).enumerate() {
        let state = match task {
            None => Ok(TaskState::lost()),
            Some(Task::Pause(until)) => Ok(if cx.now() >= *until {
                TaskState::ended(TaskEnd::default())
            } else {
                TaskState::running()
            }),
            Some(Task::Lock(place)) => lock(cx, place),
            Some(Task::Power {
                place,
                running,
                until,
            }) => power(cx, place, *running, *until),
            Some(Task::Upid(upid)) => match known.get(upid.as_str()) {
                Some(state) => of_state(cx, upid, state, &query.cursor, logs.contains(&n)),
                None => single(cx, upid, &query.cursor),
            },
        };
        states.push(match state {
            Ok(state) => {
                answered = true;
                state
            }
            // A node that is away hides nothing of the others.
            Err(error) if error.is(Code::Unreachable) => {
                away = Some(error);
                TaskState::running().cursor(&query.cursor)
            }
            Err(error) => return Err(error),
        });
    }
    match away {
        Some(error) if !answered => Err(error),
        _ => Ok(states),
    }
}

/// States by UPID, for nodes with many of the tasks.
fn known_states<'a>(cx: &Cx, tasks: &'a [Option<Task>]) -> Result<BTreeMap<&'a str, State>> {
    let mut nodes: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for task in tasks.iter().flatten() {
        if let Task::Upid(text) = task
            && let Some(upid) = Upid::parse(text)
        {
            nodes.entry(upid.node).or_default().push((text, upid.start));
        }
    }
    let mut known = BTreeMap::new();
    for (node, upids) in nodes.into_iter().filter(|(_, upids)| upids.len() >= MANY) {
        let since = upids.iter().map(|(_, start)| *start).min().unwrap_or(0);
        let reply = cx
            .get(path!("/api2/json/nodes/{}/tasks", node))
            .param("source", "all")
            .param("since", since.saturating_sub(1))
            .param("limit", 200 + 4 * upids.len())
            .send();
        let listed: Result<Vec<NodeTask>> = reply.and_then(|reply| api::data(cx, &reply));
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) if error.is(Code::SessionExpired) || error.is(Code::Denied) => {
                return Err(error);
            }
            // Each is asked for by itself then, and says what is wrong.
            Err(_) => continue,
        };
        let listed: BTreeMap<&str, &NodeTask> = listed
            .iter()
            .map(|task| (task.upid.as_str(), task))
            .collect();
        for (upid, _) in upids {
            if let Some(task) = listed.get(upid) {
                let state = if task.is_running() {
                    State::Running
                } else {
                    State::Stopped(task.status.clone().unwrap_or_default())
                };
                known.insert(upid, state);
            }
        }
    }
    Ok(known)
}

/// Which running tasks of a batch are asked for lines this time.
fn whose_logs(
    queries: &[TaskQuery],
    tasks: &[Option<Task>],
    known: &BTreeMap<&str, State>,
) -> Vec<usize> {
    let mut running: Vec<(u64, usize)> = queries
        .iter()
        .zip(tasks)
        .enumerate()
        .filter_map(|(n, (query, task))| match task {
            Some(Task::Upid(upid)) if known.get(upid.as_str()) == Some(&State::Running) => {
                Some((Cursor::parse(&query.cursor).at, n))
            }
            _ => None,
        })
        .collect();
    running.sort_unstable();
    running.into_iter().take(LOGS).map(|(_, n)| n).collect()
}

fn task_path(upid: &str, what: &str) -> Path {
    let node = Upid::parse(upid).map_or("", |upid| upid.node);
    path!("/api2/json/nodes/{}/tasks/{}/{}", node, upid, what)
}

fn single(cx: &Cx, upid: &str, cursor: &str) -> Result<TaskState> {
    if Upid::parse(upid).is_none() {
        return Ok(TaskState::lost());
    }
    let answer: StatusAnswer = match api::get(cx, task_path(upid, "status")) {
        Ok(answer) => answer,
        Err(error) if is_unknown(&error) => return Ok(TaskState::lost()),
        Err(error) => return Err(error),
    };
    let state = if answer.status == "stopped" {
        State::Stopped(answer.exitstatus.unwrap_or_default())
    } else {
        State::Running
    };
    of_state(cx, upid, &state, cursor, true)
}

/// The node has no such task, any more.
fn is_unknown(error: &Error) -> bool {
    error.message().contains("no such task")
        || error.message().contains("unable to parse worker upid")
}

fn of_state(cx: &Cx, upid: &str, state: &State, cursor: &str, with_log: bool) -> Result<TaskState> {
    let mut cursor = Cursor::parse(cursor);
    match state {
        State::Running if !with_log => Ok(TaskState::running().cursor(cursor.show())),
        State::Running => {
            let lines = log(cx, upid, &mut cursor);
            let percent = lines.iter().rev().find_map(|line| percent(line));
            Ok(TaskState::running()
                .percent(percent)
                .lines(lines)
                .cursor(cursor.show()))
        }
        State::Stopped(exit) if exit == "OK" => Ok(TaskState::ended(TaskEnd::default())),
        State::Stopped(exit) => {
            let lines = log(cx, upid, &mut cursor);
            let end = if exit.starts_with("WARNINGS") {
                TaskEnd {
                    warnings: warnings(exit, &lines),
                    problem: None,
                }
            } else {
                TaskEnd {
                    warnings: Vec::new(),
                    problem: Some(failure(exit, &lines)),
                }
            };
            Ok(TaskState::ended(end).lines(lines).cursor(cursor.show()))
        }
    }
}

/// New lines of a log. That they cannot be had is no reason to know less of the task.
fn log(cx: &Cx, upid: &str, cursor: &mut Cursor) -> Vec<String> {
    cursor.at = cx.now();
    let reply = cx
        .get(task_path(upid, "log"))
        .param("start", cursor.line)
        .param("limit", LINES)
        .send();
    let lines: Result<Vec<Line>> = reply.and_then(|reply| api::data(cx, &reply));
    let Ok(lines) = lines else { return Vec::new() };
    let mut texts = Vec::new();
    for line in lines {
        // How an empty log looks.
        if line.t == "no content" || line.n <= cursor.line {
            continue;
        }
        cursor.line = line.n;
        texts.push(line.t);
    }
    texts
}

/// `transferred 1.0 GiB of 8.0 GiB (12.50%)`, `progress 12%`.
fn percent(line: &str) -> Option<u8> {
    let (before, _) = line.rsplit_once('%')?;
    let begin = before
        .rfind(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map_or(0, |at| at + 1);
    let number = before.get(begin..)?;
    let whole = number.split('.').next()?;
    whole.parse().ok().filter(|percent| *percent <= 100)
}

fn warnings(exit: &str, lines: &[String]) -> Vec<String> {
    let found: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let text = line.strip_prefix("WARN: ");
            let text = text.or_else(|| line.strip_prefix("WARNING: "));
            Some(text?.trim().to_owned())
        })
        .collect();
    if found.is_empty() {
        return vec![format!(
            "the task ended with {exit}; its log in Proxmox VE says why"
        )];
    }
    found
}

fn failure(exit: &str, lines: &[String]) -> Problem {
    let error = if exit.is_empty() {
        Error::provider("the task ended without saying how")
    } else {
        problem::of_text(exit)
    };
    let from = lines.len().saturating_sub(KEPT);
    let last = lines.get(from..).unwrap_or_default();
    error.lines(last.iter().cloned()).into_problem()
}

fn lock(cx: &Cx, place: &api::Place) -> Result<TaskState> {
    match place.config(cx) {
        Ok(config) if config.lock().is_some() => Ok(TaskState::running()),
        Ok(_) => Ok(TaskState::ended(TaskEnd::default())),
        // Moved to its own node, or removed: whoever waits looks for it.
        Err(error) if error.is(Code::NotFound) => Ok(TaskState::ended(TaskEnd::default())),
        Err(error) => Err(error),
    }
}

fn power(cx: &Cx, place: &api::Place, running: bool, until: u64) -> Result<TaskState> {
    let status = place.status(cx)?;
    let wanted = if running {
        PowerState::Running
    } else {
        PowerState::Stopped
    };
    if status.power() == wanted {
        return Ok(TaskState::ended(TaskEnd::default()));
    }
    if cx.now() < until {
        return Ok(TaskState::running());
    }
    let problem = Error::busy(format_args!(
        "the HA manager was asked for {}, and guest {} is {}",
        if running { "a start" } else { "a stop" },
        place.vmid,
        status.status
    ))
    .hint("look at the cluster's HA state: is its resource in error, or its node without quorum?");
    Ok(TaskState::ended(TaskEnd {
        warnings: Vec::new(),
        problem: Some(problem.into_problem()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_cent_is_found_in_log_lines() {
        for (line, wanted) in [
            ("transferred 1.0 GiB of 8.0 GiB (12.50%)", Some(12)),
            ("progress 7%", Some(7)),
            ("100% done", Some(100)),
            ("drive mirror: 50.2% of 3%x", Some(3)),
            ("load 250%", None),
            ("no number %", None),
            ("create full clone of drive scsi0", None),
        ] {
            assert_eq!(percent(line), wanted, "{line}");
        }
    }

    #[test]
    fn a_cursor_is_read_back_and_garbage_begins_anew() {
        let cursor = Cursor { line: 3, at: 9 };
        assert_eq!(Cursor::parse(&cursor.show()), cursor);
        assert_eq!(Cursor::parse("x"), Cursor::default());
    }

    #[test]
    fn warnings_come_from_the_log() {
        let lines = ["create", "WARN: no efidisk", "TASK WARNINGS: 1"].map(str::to_owned);
        assert_eq!(warnings("WARNINGS: 1", &lines), ["no efidisk"]);
        assert!(warnings("WARNINGS: 1", &[])[0].contains("WARNINGS: 1"));
    }
}
