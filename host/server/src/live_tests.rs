use enginehouse_engines::Effect;
use enginehouse_queue::Token;

use super::*;

fn asked(path: &str, status: u16) -> Arc<RequestLine> {
    Arc::new(RequestLine {
        endpoint: "host".to_owned(),
        method: "GET".to_owned(),
        path: path.to_owned(),
        effect: Effect::Read,
        status: Some(status),
        error: None,
        millis: 3,
        bytes: 0,
        login: false,
        replayed: false,
    })
}

fn shown(live: &Live) -> Vec<(String, Option<u32>)> {
    let requests = live.newest_requests();
    let requests = requests.iter();
    requests.map(|one| (one.path.clone(), one.times)).collect()
}

fn waiting() -> Entry {
    Entry::Waiting {
        task: "t-1".to_owned(),
        token: Token::default(),
        created: Vec::new(),
        note: enginehouse_documents::Note::default(),
        first_poll: Timestamp(0),
    }
}

#[test]
fn polls_are_counted_and_not_listed() {
    let mut live = Live::default();
    live.request(Timestamp(1), Some(1), &asked("/v1/machines", 200));
    for at in 2..30_000 {
        let path = format!("/v1/tasks?ids=t-1,t-{at}");
        live.poll(Timestamp(at), Some(1), &asked(&path, 200));
    }
    live.poll(Timestamp(30_000), Some(1), &asked("/v1/tasks?ids=t-1", 503));
    let polls = |times| Some(times);
    assert_eq!(
        shown(&live),
        [
            ("/v1/machines".to_owned(), None),
            ("/v1/tasks?ids=t-1,t-29999".to_owned(), polls(29_998)),
            ("/v1/tasks?ids=t-1".to_owned(), polls(1)),
        ]
    );
}

#[test]
fn what_is_in_the_journal_is_not_counted_on() {
    let mut live = Live::default();
    live.poll(Timestamp(1), Some(1), &asked("/v1/tasks?ids=t-1", 200));
    let journalled = live.journal(waiting());
    assert_eq!(journalled.requests.len(), 1);
    live.poll(Timestamp(2), Some(1), &asked("/v1/tasks?ids=t-1", 200));
    assert_eq!(shown(&live).len(), 1);
    assert_eq!(live.journal(waiting()).requests.len(), 1);
    assert_eq!(shown(&live), []);
    assert_eq!(live.journalled().requests, 2);
}

#[test]
fn a_poll_of_many_tasks_is_short_and_so_is_the_list_of_different_ones() {
    let mut live = Live::default();
    let ids = "t-123456789,".repeat(200);
    for node in 0..100 {
        let path = format!("/nodes/{node}/tasks?ids={ids}");
        live.poll(Timestamp(node), Some(1), &asked(&path, 200));
    }
    let shown = shown(&live);
    assert_eq!(shown.len(), POLLS_MAX);
    assert!(
        shown
            .iter()
            .all(|(path, _)| path.chars().count() == POLL_PATH_MAX + 1)
    );
    assert!(
        shown
            .last()
            .is_some_and(|(path, _)| path.starts_with("/nodes/99/"))
    );
}
