//! Trouble on the way.

use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It waits before it is sent on.
    Delay(Duration),
    /// It is sent on only after the next [`release`](super::HidingProxy::release), even if whoever
    /// sent it is gone by then.
    HoldRequest,
    /// It is sent on, and its answer is held until the next `release`.
    HoldAnswer,
    /// It never arrives; the connection is closed.
    LoseRequest,
    /// It is sent on; its answer is dropped and the connection closed.
    LoseAnswer,
}

/// Which requests meet which trouble.
#[derive(Clone, Debug)]
pub struct Rule {
    pub method: String,
    /// Text that the path holds.
    pub path: String,
    pub trouble: Trouble,
    /// For how many requests; then it is used up.
    pub times: u32,
}

impl Rule {
    /// Once.
    #[must_use]
    pub fn once(method: &str, path: &str, trouble: Trouble) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            trouble,
            times: 1,
        }
    }
}

/// How far a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At the proxy.
    Arrived,
    /// On the way to fakepve.
    Forwarded,
    /// fakepve has answered.
    Done,
    /// The answer is on the way to who asked.
    Answered,
}

/// The trouble for a request, if any; uses up its rule.
pub(super) fn judge(rules: &mut Vec<Rule>, method: &str, path: &str) -> Option<Trouble> {
    let at = rules
        .iter()
        .position(|rule| rule.method == method && path.contains(&rule.path) && rule.times > 0)?;
    let rule = rules.get_mut(at)?;
    let trouble = rule.trouble;
    rule.times -= 1;
    if rule.times == 0 {
        rules.remove(at);
    }
    Some(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_used_up_and_the_next_one_holds() {
        let mut rules = vec![
            Rule::once("POST", "/clone", Trouble::LoseAnswer),
            Rule::once("POST", "/clone", Trouble::HoldAnswer),
        ];
        assert_eq!(judge(&mut rules, "GET", "/a/clone"), None);
        assert_eq!(judge(&mut rules, "POST", "/a/start"), None);
        let clone = |rules: &mut Vec<Rule>| judge(rules, "POST", "/a/clone");
        assert_eq!(clone(&mut rules), Some(Trouble::LoseAnswer));
        assert_eq!(clone(&mut rules), Some(Trouble::HoldAnswer));
        assert_eq!(clone(&mut rules), None);
    }
}
