//! A caller, and the questions whether it may.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use enginehouse_api::{ErrorCode, Problem, TokenState};
use enginehouse_model::{FullName, NodeUid, Timestamp};
use enginehouse_tree::{LookupError, Permission, Permissions, Subject};

use crate::access::TokenId;
use crate::house::{House, State};

/// So many of those who could grant a permission are named.
const NAMED: usize = 3;

/// Where a request comes from.
#[derive(Clone)]
pub(crate) struct Caller {
    house: Arc<House>,
    subject: Subject,
    token: Option<TokenId>,
    /// Permissions that were asked for while the request was worked on, one bit each.
    asked: Arc<AtomicU8>,
}

impl Caller {
    /// `token`: none for the installation's own.
    pub(crate) fn new(house: Arc<House>, subject: Subject, token: Option<TokenId>) -> Self {
        Self {
            house,
            subject,
            token,
            asked: Arc::default(),
        }
    }

    pub(crate) fn house(&self) -> &Arc<House> {
        &self.house
    }

    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// As operations name it.
    pub(crate) fn who(&self) -> &str {
        self.subject.as_str()
    }

    pub(crate) fn token(&self) -> Option<&TokenId> {
        self.token.as_ref()
    }

    /// For a request that takes a while: whether its token is good yet. The installation's own is, for
    /// as long as the request is allowed to take.
    ///
    /// # Errors
    /// `unauthorized`.
    pub(crate) fn must_still_be_good(&self, state: &State, now: Timestamp) -> Result<(), Problem> {
        let Some(id) = &self.token else {
            return Ok(());
        };
        match state.tokens.get(id).map(|token| token.state(now)) {
            Some(TokenState::Valid) => Ok(()),
            Some(TokenState::Expired | TokenState::Revoked) | None => Err(Problem::new(
                ErrorCode::Unauthorized,
                "the bearer token was revoked, or has expired, since the request was sent",
            )
            .with_hint("ask for a new one: `enginehouse token create SUBJECT`")),
        }
    }

    /// Whether this permission, or one that comes with it, was asked for.
    pub(crate) fn was_asked(&self, permission: Permission) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        Permission::ALL.into_iter().any(|other| {
            let comes_with = other.role().permissions().allow(permission);
            comes_with && asked & bit(other) != 0
        })
    }

    /// What it may do with a node that is in the tree; nothing with one that is not.
    pub(crate) fn permissions(&self, state: &State, node: NodeUid) -> Permissions {
        state
            .tree
            .permissions(&self.subject, node)
            .unwrap_or_default()
    }

    #[must_use]
    pub(crate) fn may(&self, state: &State, node: NodeUid, permission: Permission) -> bool {
        self.asked.fetch_or(bit(permission), Ordering::Relaxed);
        self.permissions(state, node).allow(permission)
    }

    /// For a list whose rows are asked about one by one: that it is empty is for everybody to know.
    pub(crate) fn asks_of_each(&self, permission: Permission) {
        self.asked.fetch_or(bit(permission), Ordering::Relaxed);
    }

    /// The node of that name.
    ///
    /// # Errors
    /// `not-found`, in the same words for a node that is not there and for one that the caller may
    /// not read.
    pub(crate) fn find(&self, state: &State, path: &FullName) -> Result<NodeUid, Problem> {
        match state.tree.find(path) {
            Ok(node) if self.may(state, node, Permission::Read) => Ok(node),
            // What is near is told to who may read the folder that was looked through.
            Err(error @ LookupError::NotFound { .. }) if self.may_read_within(state, &error) => {
                Err(crate::problem::of_lookup(&error))
            }
            Ok(_) | Err(_) => Err(self.hidden(path)),
        }
    }

    fn may_read_within(&self, state: &State, error: &LookupError) -> bool {
        let LookupError::NotFound { within, .. } = error else {
            return false;
        };
        let within = state.tree.find(within);
        within.is_ok_and(|within| self.may(state, within, Permission::Read))
    }

    fn hidden(&self, path: &FullName) -> Problem {
        Problem::new(
            ErrorCode::NotFound,
            format!("there is no {path} that {} may read", self.subject),
        )
        .with_hint(
            "`enginehouse tree` shows what there is for you; `enginehouse whoami` your roles",
        )
    }

    /// # Errors
    /// `not-found` when the caller may not even read the node, and else `forbidden`, with the role
    /// that is missing and whom to ask for it.
    pub(crate) fn must(
        &self,
        state: &State,
        node: NodeUid,
        permission: Permission,
    ) -> Result<(), Problem> {
        if self.may(state, node, permission) {
            return Ok(());
        }
        let path = name_of(state, node)?;
        if !self.permissions(state, node).allow(Permission::Read) {
            return Err(self.hidden(&path));
        }
        Err(self.forbidden(state, node, permission, &path, ""))
    }

    /// As [`Caller::must`] for `govern`, because of these keys; nothing to ask where there are none.
    ///
    /// # Errors
    /// `forbidden`, naming the keys.
    pub(crate) fn must_govern_keys(
        &self,
        state: &State,
        node: NodeUid,
        keys: &[String],
    ) -> Result<(), Problem> {
        if keys.is_empty() || self.may(state, node, Permission::Govern) {
            return Ok(());
        }
        let path = name_of(state, node)?;
        let shown: Vec<String> = keys.iter().take(8).map(|key| format!("`{key}`")).collect();
        let more = match keys.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let because = format!(" to change {}{more}", shown.join(", "));
        Err(self.forbidden(state, node, Permission::Govern, &path, &because))
    }

    /// As [`Caller::must`] for `govern` on the root: what is about the whole installation. That there
    /// is a root is no secret.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn must_govern_all(&self, state: &State) -> Result<(), Problem> {
        let root = state.tree.root();
        if self.may(state, root, Permission::Govern) {
            return Ok(());
        }
        let path = FullName::root();
        Err(self.forbidden(state, root, Permission::Govern, &path, ""))
    }

    fn forbidden(
        &self,
        state: &State,
        node: NodeUid,
        permission: Permission,
        path: &FullName,
        because: &str,
    ) -> Problem {
        let role = permission.role();
        let ask = state.tree.may_grant(node, NAMED);
        let ask = match ask.as_slice() {
            [] => "who holds the installation's token".to_owned(),
            names => names
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" or "),
        };
        Problem::new(
            ErrorCode::Forbidden,
            format!(
                "{} may not {permission} on {path}: it needs the role {role} there or above{because}",
                self.subject
            ),
        )
        .with_hint(format!(
            "ask {ask}: `enginehouse grant {path} {} {role}`",
            self.subject
        ))
    }

    /// Whether the caller may see what is about a node: one that is gone is seen by who may read what
    /// is left of its name, the folder that it was in.
    #[must_use]
    pub(crate) fn sees(&self, state: &State, node: Option<NodeUid>, path: &FullName) -> bool {
        if let Some(node) = node.filter(|node| state.tree.node(*node).is_ok()) {
            return self.may(state, node, Permission::Read);
        }
        let mut name = path.clone();
        loop {
            if let Ok(node) = state.tree.find(&name) {
                return self.may(state, node, Permission::Read);
            }
            match name.parent() {
                Some(parent) => name = parent,
                None => return false,
            }
        }
    }

    /// The folders that lead to what the caller may read.
    pub(crate) fn ways(&self, state: &State) -> HashSet<NodeUid> {
        self.asked
            .fetch_or(bit(Permission::Read), Ordering::Relaxed);
        state.tree.ways(&self.subject)
    }
}

fn name_of(state: &State, node: NodeUid) -> Result<FullName, Problem> {
    match state.tree.full_name(node) {
        Ok(path) => Ok(path.clone()),
        Err(error) => Err(crate::problem::of_lookup(&error)),
    }
}

fn bit(permission: Permission) -> u8 {
    match permission {
        Permission::Read => 1,
        Permission::Operate => 2,
        Permission::Approve => 4,
        Permission::Govern => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{NewToken, Revoked};
    use crate::{ServeConfig, Server};

    #[tokio::test]
    async fn a_request_that_waits_ends_with_its_token() {
        let data = tempfile::tempdir().unwrap();
        let mut config = ServeConfig::new(data.path().to_owned());
        config.listen.set_port(0);
        let running = Server::start(config).await.unwrap();
        let house = running.house();
        let ann: Subject = "ann".parse().unwrap();
        let end = Some(Timestamp(5_000));
        let new = NewToken::make(ann.clone(), "admin", Timestamp(0), end, None).unwrap();
        let caller = Caller::new(Arc::clone(house), ann, Some(new.id.clone()));
        {
            let mut state = house.state.lock();
            state.tokens.insert(new.id.clone(), new.token);
            assert_eq!(caller.must_still_be_good(&state, Timestamp(4_999)), Ok(()));
            let expired = caller.must_still_be_good(&state, Timestamp(5_000));
            assert_eq!(expired.unwrap_err().code, ErrorCode::Unauthorized);
            let revoked = Some(Revoked {
                at: Timestamp(1),
                by: "admin".to_owned(),
            });
            state.tokens.get_mut(&new.id).unwrap().revoked = revoked;
            assert!(caller.must_still_be_good(&state, Timestamp(2)).is_err());
            state.tokens.clear();
            assert!(caller.must_still_be_good(&state, Timestamp(2)).is_err());
        }
        running.stop().await;
    }
}
