//! Requests that a test expects, in order.

use std::collections::VecDeque;

use serde_json::Value;

use super::recorded::split;
use super::{Answer, Hypervisor, RecordedRequest, fail};

/// A request to come; [`Expected::answer`] adds it to the script.
#[must_use = "an expectation counts from `answer` on"]
pub struct Expected<'a> {
    hypervisor: &'a Hypervisor,
    expectation: Expectation,
}

impl<'a> Expected<'a> {
    pub(super) fn new(hypervisor: &'a Hypervisor, method: &str, target: &str) -> Self {
        let (path, query) = split(target);
        Self {
            hypervisor,
            expectation: Expectation {
                method: method.to_owned(),
                path,
                query,
                endpoint: "host".to_owned(),
                body: None,
                headers: Vec::new(),
                answer: Answer::empty(),
            },
        }
    }

    /// It has these in its query too, in any order.
    pub fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.expectation.query.extend(owned(pairs));
        self
    }

    /// It has exactly this form, in any order.
    pub fn form(mut self, pairs: &[(&str, &str)]) -> Self {
        self.expectation.body = Some(Body::Form(sorted(owned(pairs))));
        self
    }

    /// It has this JSON document as its body.
    pub fn json(mut self, document: Value) -> Self {
        self.expectation.body = Some(Body::Json(document));
        self
    }

    /// It has this body.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.expectation.body = Some(Body::Text(text.into()));
        self
    }

    /// It has this header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.expectation
            .headers
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// It goes to this endpoint, and not to `host`.
    pub fn endpoint(mut self, name: &str) -> Self {
        self.expectation.endpoint = name.to_owned();
        self
    }

    /// What it is answered. A body that nothing was said about is not looked at.
    pub fn answer(mut self, answer: Answer) {
        self.expectation.answer = answer;
        self.hypervisor.push(self.expectation);
    }
}

pub(super) struct Expectation {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    endpoint: String,
    body: Option<Body>,
    headers: Vec<(String, String)>,
    answer: Answer,
}

enum Body {
    /// Sorted.
    Form(Vec<(String, String)>),
    Json(Value),
    Text(String),
}

/// The rest of a script.
#[derive(Default)]
pub(super) struct Script {
    expected: VecDeque<Expectation>,
}

impl Script {
    pub(super) fn push(&mut self, expectation: Expectation) {
        self.expected.push_back(expectation);
    }

    /// What was expected and did not come.
    pub(super) fn rest(&self) -> Vec<String> {
        self.expected
            .iter()
            .map(|expected| format!("{} {}", expected.method, expected.path))
            .collect()
    }

    pub(super) fn answer(&mut self, request: &RecordedRequest) -> Answer {
        let Some(expected) = self.expected.pop_front() else {
            fail(format_args!(
                "unexpected request, the script is at its end: {request}"
            ));
        };
        let differs = expected.differs(request);
        if !differs.is_empty() {
            fail(format_args!(
                "expected {} {}, but {}\n  the request: {request}",
                expected.method,
                expected.path,
                differs.join("; ")
            ));
        }
        expected.answer
    }
}

impl Expectation {
    fn differs(&self, request: &RecordedRequest) -> Vec<String> {
        let mut differs = Vec::new();
        if (&self.method, &self.path) != (&request.method, &request.path) {
            differs.push(format!("it is {} {}", request.method, request.path));
        }
        if self.endpoint != request.endpoint {
            differs.push(format!(
                "it went to endpoint {:?}, not {:?}",
                request.endpoint, self.endpoint
            ));
        }
        let (wanted, seen) = (sorted(self.query.clone()), sorted(request.query.clone()));
        if wanted != seen {
            differs.push(format!("its query is {seen:?}, not {wanted:?}"));
        }
        for (name, value) in &self.headers {
            let seen = request.header(name);
            if seen != Some(value) {
                differs.push(format!("its header {name} is {seen:?}, not {value:?}"));
            }
        }
        differs.extend(self.body.as_ref().and_then(|body| body.differs(request)));
        differs
    }
}

impl Body {
    fn differs(&self, request: &RecordedRequest) -> Option<String> {
        match self {
            Self::Form(wanted) => {
                let seen = sorted(request.form());
                (&seen != wanted).then(|| format!("its form is {seen:?}, not {wanted:?}"))
            }
            Self::Json(wanted) => {
                let seen = serde_json::from_slice::<Value>(&request.body).ok();
                (seen.as_ref() != Some(wanted))
                    .then(|| format!("its body is {}, not {wanted}", request.text()))
            }
            Self::Text(wanted) => {
                let seen = request.text();
                (&seen != wanted).then(|| format!("its body is {seen:?}, not {wanted:?}"))
            }
        }
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn sorted(mut pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs.sort();
    pairs
}
