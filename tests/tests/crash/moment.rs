//! When a host is killed.

use std::time::Duration;

use anyhow::Result;
use enginehouse_tests::{HidingProxy, Moment as Reached, Rule, Trouble};

/// A request, by its method and a text that its path holds.
#[derive(Clone, Copy, Debug)]
pub struct Pick {
    pub method: &'static str,
    pub path: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub enum When {
    /// So long after the number of the operation was answered.
    After(Duration),
    /// The request has left the host and gets no further.
    Sent(Pick),
    /// fakepve has done what it was asked, and its answer gets no further.
    Worked(Pick),
    /// The so many-th such request was answered.
    Answered(Pick, usize),
}

/// What becomes of what was on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It arrives before the host is back.
    WhileDown,
    /// It arrives after the new host has looked for the first time.
    AfterLook,
    Never,
}

#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub when: When,
    pub release: Release,
    /// How many such requests come before it and meet no trouble.
    pub before: usize,
}

impl Moment {
    /// The same of the second such request.
    pub const fn of_second(self) -> Self {
        Self { before: 1, ..self }
    }
}

pub const fn pick(method: &'static str, path: &'static str) -> Pick {
    Pick { method, path }
}

pub const fn after_ms(millis: u64) -> Moment {
    Moment {
        when: When::After(Duration::from_millis(millis)),
        release: Release::Never,
        before: 0,
    }
}

pub const fn sent(method: &'static str, path: &'static str, release: Release) -> Moment {
    Moment {
        when: When::Sent(pick(method, path)),
        release,
        before: 0,
    }
}

pub const fn worked(method: &'static str, path: &'static str) -> Moment {
    Moment {
        when: When::Worked(pick(method, path)),
        release: Release::Never,
        before: 0,
    }
}

pub const fn answered(method: &'static str, path: &'static str, times: usize) -> Moment {
    Moment {
        when: When::Answered(pick(method, path), times),
        release: Release::Never,
        before: 0,
    }
}

/// How far requests had got before the order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before {
    reached: usize,
    done: usize,
}

impl Moment {
    /// To be called before the order.
    pub fn arm(&self, proxy: &HidingProxy) -> Before {
        let trouble = match self.when {
            When::Sent(_) => Some(Trouble::HoldRequest),
            When::Worked(_) => Some(Trouble::HoldAnswer),
            When::After(_) | When::Answered(..) => None,
        };
        let Some((Pick { method, path }, reached, _)) = self.reached() else {
            return Before::default();
        };
        if let Some(trouble) = trouble {
            for _ in 0..self.before {
                proxy.on(Rule::once(method, path, Trouble::Delay(Duration::ZERO)));
            }
            proxy.on(Rule::once(method, path, trouble));
        }
        Before {
            reached: proxy.count_at(method, path, reached),
            done: proxy.count_at(method, path, Reached::Done),
        }
    }

    fn reached(&self) -> Option<(Pick, Reached, usize)> {
        match self.when {
            When::After(_) => None,
            When::Sent(pick) => Some((pick, Reached::Arrived, self.before + 1)),
            When::Worked(pick) => Some((pick, Reached::Done, self.before + 1)),
            When::Answered(pick, times) => Some((pick, Reached::Answered, times)),
        }
    }

    /// Returns when the moment has come.
    pub async fn comes(&self, proxy: &HidingProxy, before: Before) -> Result<()> {
        if let When::After(time) = self.when {
            tokio::time::sleep(time).await;
        }
        if let Some((Pick { method, path }, reached, times)) = self.reached() {
            proxy
                .reached(method, path, reached, before.reached + times)
                .await?;
        }
        Ok(())
    }

    /// How often a task is polled depends on how fast everything is.
    pub fn may_not_come(&self) -> bool {
        matches!(self.when, When::After(_) | When::Answered(_, 2..))
    }

    /// Returns when fakepve has done what was held.
    pub async fn is_done(&self, proxy: &HidingProxy, before: Before) -> Result<()> {
        if let When::Sent(Pick { method, path }) = self.when {
            proxy
                .reached(method, path, Reached::Done, before.done + self.before + 1)
                .await?;
        }
        Ok(())
    }
}
