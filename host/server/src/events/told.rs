//! What a commit has to tell.

use enginehouse_api::Operation as View;
use enginehouse_model::OperationId;
use enginehouse_tree::{Change, Tree};

use crate::events::Draft;
use crate::house::State;

/// What is told to listeners once the commit stands.
#[derive(Default)]
pub(crate) struct Told {
    /// Whether anybody listens to all.
    pub wanted: bool,
    pub drafts: Vec<Draft>,
    /// More nodes changed than are told one by one.
    pub too_many: bool,
    /// Operations of which something is new.
    pub operations: Vec<OperationId>,
}

impl Told {
    pub(crate) fn nodes(&mut self, tree: &Tree, change: &Change) {
        if self.wanted {
            match Draft::nodes(tree, change) {
                Some(drafts) => self.drafts.extend(drafts),
                None => self.too_many = true,
            }
        }
    }

    /// An operation that has ended.
    pub(crate) fn ended(&mut self, view: &View) {
        self.operations.push(view.number);
        self.operations.extend(view.parent);
        if self.wanted {
            self.drafts.push(Draft::operation(view));
        }
    }

    /// An operation that goes on.
    pub(crate) fn goes_on(&mut self, state: &State, number: OperationId) {
        let Some(operation) = state.queue.get(number) else {
            return;
        };
        self.operations.push(number);
        self.operations.extend(operation.spec.parent);
        if self.wanted {
            self.drafts.push(Draft::queued(state, operation));
        }
    }
}
