//! The hypervisor of a test: what it is, what it saw.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::script::{Expectation, Expected, Script};
use super::{Answer, RecordedRequest, fail};
use crate::{Level, Location};

/// A hypervisor that a test made up, and the host in front of it.
pub struct Hypervisor {
    pub(super) name: String,
    pub(super) settings: Value,
    pub(super) mark: String,
    pub(super) attempts: u32,
    pub(super) cancelling: Cell<bool>,
    pub(super) locations: Vec<(String, String)>,
    /// Numbers that `reserve` does not give, by space.
    pub(super) taken: BTreeMap<String, BTreeSet<u64>>,
    pub(super) reserved: RefCell<BTreeMap<String, u64>>,
    /// Milliseconds since 1970.
    pub(super) clock: Cell<u64>,
    behind: RefCell<Behind>,
    requests: RefCell<Vec<RecordedRequest>>,
    pub(super) log: RefCell<Vec<(Level, String)>>,
    pub(super) progress: RefCell<Vec<(Option<u8>, String)>>,
}

type World = Box<dyn FnMut(&RecordedRequest) -> Answer>;

/// Where answers come from.
enum Behind {
    Script(Script),
    World(World),
}

impl Hypervisor {
    fn new(behind: Behind) -> Self {
        Self {
            name: "test".to_owned(),
            settings: Value::Object(serde_json::Map::new()),
            mark: "eh:0123abcd:4567ef:7".to_owned(),
            attempts: 1,
            cancelling: Cell::new(false),
            locations: Vec::new(),
            taken: BTreeMap::new(),
            reserved: RefCell::default(),
            clock: Cell::new(1_767_225_600_000),
            behind: RefCell::new(behind),
            requests: RefCell::default(),
            log: RefCell::default(),
            progress: RefCell::default(),
        }
    }

    /// A hypervisor that expects certain requests in a certain order: see [`Hypervisor::expect`].
    /// When it is dropped and expected requests have not come, the test fails.
    #[must_use]
    pub fn scripted() -> Self {
        Self::new(Behind::Script(Script::default()))
    }

    /// A hypervisor that answers by a function.
    #[must_use]
    pub fn world(answer: impl FnMut(&RecordedRequest) -> Answer + 'static) -> Self {
        Self::new(Behind::World(Box::new(answer)))
    }

    /// Its name in the tree. Without this: `test`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Its settings. Without this: `{}`.
    ///
    /// # Panics
    /// If the value has no JSON.
    #[must_use]
    pub fn settings<T: Serialize>(mut self, settings: T) -> Self {
        self.settings = serde_json::to_value(settings)
            .unwrap_or_else(|error| fail(format_args!("settings without JSON: {error}")));
        self
    }

    /// The mark that `run` gives to what it creates. Without this: `eh:0123abcd:4567ef:7`.
    #[must_use]
    pub fn mark(mut self, mark: &str) -> Self {
        mark.clone_into(&mut self.mark);
        self
    }

    /// Numbers that [`crate::Cx::reserve`] does not give: as if another operation had them.
    #[must_use]
    pub fn taken(mut self, space: &str, numbers: impl IntoIterator<Item = u64>) -> Self {
        let taken = self.taken.entry(space.to_owned()).or_default();
        taken.extend(numbers);
        self
    }

    /// URLs that begin so belong to this endpoint, for [`crate::Cx::locate`].
    #[must_use]
    pub fn located(mut self, origin: &str, endpoint: &str) -> Self {
        self.locations
            .push((origin.to_owned(), endpoint.to_owned()));
        self
    }

    /// How often [`Hypervisor::run`] tries one step that ends with `busy` or `session-expired`.
    /// Without this: once.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// From now on somebody wants to cancel.
    pub fn cancel(&self) {
        self.cancelling.set(true);
    }

    /// The next request to come, by method, path and perhaps query: `expect("GET", "/vms?full=1")`.
    ///
    /// # Panics
    /// If this hypervisor has a world.
    pub fn expect(&self, method: &str, target: &str) -> Expected<'_> {
        Expected::new(self, method, target)
    }

    pub(super) fn push(&self, expectation: Expectation) {
        match &mut *self.behind.borrow_mut() {
            Behind::Script(script) => script.push(expectation),
            Behind::World(_) => fail("a hypervisor with a world expects nothing"),
        }
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.borrow().clone()
    }

    /// All requests so far, one line each: `POST /vms (once) name=web`. For golden texts.
    #[must_use]
    pub fn transcript(&self) -> Vec<String> {
        self.requests
            .borrow()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// The operation's log.
    #[must_use]
    pub fn log(&self) -> Vec<(Level, String)> {
        self.log.borrow().clone()
    }

    /// Progress that was reported: per cent and message.
    #[must_use]
    pub fn progress(&self) -> Vec<(Option<u8>, String)> {
        self.progress.borrow().clone()
    }

    /// Milliseconds since 1970 on the test's clock. It moves by 10 with each request, and by as much as
    /// the host would wait between polls.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.get()
    }

    /// Lets time pass.
    pub fn advance(&self, milliseconds: u64) {
        self.clock
            .set(self.clock.get().saturating_add(milliseconds));
    }

    pub(super) fn receive(&self, request: RecordedRequest) -> Answer {
        let answer = match &mut *self.behind.borrow_mut() {
            Behind::Script(script) => script.answer(&request),
            Behind::World(world) => world(&request),
        };
        self.requests.borrow_mut().push(request);
        self.advance(10);
        answer
    }

    pub(super) fn find(&self, url: &str) -> Option<Location> {
        self.locations.iter().find_map(|(origin, endpoint)| {
            let path = url.strip_prefix(origin.trim_end_matches('/'))?;
            let path = if path.is_empty() { "/" } else { path };
            path.starts_with('/').then(|| Location {
                endpoint: endpoint.clone(),
                path: path.to_owned(),
            })
        })
    }
}

impl Drop for Hypervisor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Behind::Script(script) = &*self.behind.borrow() {
            let rest = script.rest();
            if !rest.is_empty() {
                fail(format_args!(
                    "expected requests did not come: {}",
                    rest.join(", ")
                ));
            }
        }
    }
}
