//! One level of the cascade: `computed(parent) <- prototype named here <- local values`.
//!
//! Names are resolved at the level that names them, with what is defined there or above. What a
//! name gave is inherited as it was resolved: a child that defines the name anew must also use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::computed::{Computed, DefinedPrototype, Filter, ResolvedHypervisor};
use crate::leaf::{Filled, Texts};
use crate::nearest::nearest;
use crate::node::Node;
use crate::origin::{Origin, Traced};
use crate::resolve::ResolveError;
use crate::rules::RuleComputed;
use crate::values::MachineComputed;
use crate::written::Written;

/// Computes a node, which is `here`, from its parent's computed definition.
///
/// # Errors
/// For every name on the node that does not resolve or is not allowed.
pub(crate) fn compute(
    node: &Node,
    here: Origin,
    parent: Option<&Computed>,
) -> Result<Computed, Vec<ResolveError>> {
    let mut level = match parent {
        Some(parent) => Computed {
            here: here.clone(),
            ..parent.clone()
        },
        None => Computed {
            here: here.clone(),
            machine: Arc::new(MachineComputed::new(here.clone())),
            rules: Arc::new(RuleComputed::new(here.clone())),
            hypervisors: Arc::default(),
            prototypes: Arc::default(),
            hypervisor: None,
            prototype: None,
            filter: None,
            destruction: None,
        },
    };
    let mut problems = Vec::new();
    level.define_hypervisors(node, &here, &mut problems);
    level.define_prototypes(node, &here);
    level.narrow(node, &here);
    level.limit_destruction(node, &here);
    level.use_hypervisor(node, &here, &mut problems);
    level.use_prototype(node, &here, &mut problems);
    if !node.local.machine.is_silent() {
        Arc::make_mut(&mut level.machine).take(&node.local.machine, &here);
    }
    if !node.local.rules.is_silent() {
        Arc::make_mut(&mut level.rules).take(&node.local.rules, &here);
    }
    if problems.is_empty() {
        Ok(level)
    } else {
        Err(problems)
    }
}

impl Computed {
    fn define_hypervisors(&mut self, node: &Node, here: &Origin, problems: &mut Vec<ResolveError>) {
        define(
            &node.local.hypervisors,
            &mut self.hypervisors,
            |name, entry| {
                let Some(uid) = node.hypervisor_uids.get(name) else {
                    problems.push(ResolveError::NoUid {
                        uid: node.uid,
                        name: name.to_owned(),
                    });
                    return None;
                };
                Some(ResolvedHypervisor {
                    uid: *uid,
                    name: name.to_owned(),
                    entry: Arc::new(entry.clone()),
                    origin: here.clone(),
                })
            },
        );
    }

    fn define_prototypes(&mut self, node: &Node, here: &Origin) {
        define(
            &node.local.prototypes,
            &mut self.prototypes,
            |name, values| {
                Some(DefinedPrototype {
                    name: name.to_owned(),
                    values: values.clone(),
                    origin: here.clone(),
                })
            },
        );
    }

    /// A child can only narrow: `null` changes nothing.
    fn narrow(&mut self, node: &Node, here: &Origin) {
        let Written::Set(Texts(names)) = &node.local.filter_hypervisors_allow else {
            return;
        };
        let inherited = self.filter.as_deref();
        let allowed = names
            .iter()
            .filter(|name| inherited.is_none_or(|filter| filter.allowed.contains(name)))
            .cloned()
            .collect();
        let mut levels = inherited
            .map(|filter| filter.levels.clone())
            .unwrap_or_default();
        levels.push(Traced {
            value: Texts(Arc::clone(names)),
            origin: here.clone(),
        });
        self.filter = Some(Arc::new(Filter { allowed, levels }));
    }

    /// What is said above holds as well: `null` changes nothing.
    fn limit_destruction(&mut self, node: &Node, here: &Origin) {
        if let Written::Set(limit) = &node.local.destruction_limit {
            Arc::make_mut(self.destruction.get_or_insert_default()).push(Traced {
                value: *limit,
                origin: here.clone(),
            });
        }
    }

    fn use_hypervisor(&mut self, node: &Node, here: &Origin, problems: &mut Vec<ResolveError>) {
        match &node.local.use_hypervisor {
            Written::Absent => {}
            Written::Unset => self.hypervisor = None,
            Written::Set(Filled(name)) => match self.hypervisors.get(&**name) {
                Some(defined) => {
                    self.hypervisor = Some(Arc::new(ResolvedHypervisor {
                        origin: here.through(name, &defined.origin),
                        ..defined.as_ref().clone()
                    }));
                }
                None => {
                    problems.push(self.unknown("use_hypervisor", name, self.hypervisors.keys()));
                }
            },
        }
        // A folder may inherit what it does not allow below: its descriptors name another one.
        if node.local.use_hypervisor.is_absent() && node.is_folder() {
            return;
        }
        let named = node.local.use_hypervisor.set().map(|Filled(name)| &**name);
        let used = named.or_else(|| self.hypervisor().map(|used| used.name.as_str()));
        if let Some(used) = used {
            problems.extend(self.not_allowed(used));
        }
    }

    fn use_prototype(&mut self, node: &Node, here: &Origin, problems: &mut Vec<ResolveError>) {
        match &node.local.use_prototype {
            Written::Absent => {}
            Written::Unset => {
                self.prototype = None;
                Arc::make_mut(&mut self.machine).forget();
            }
            Written::Set(name) => match self.prototypes.get(&*name.0) {
                Some(defined) => {
                    let through = here.through(&name.0, &defined.origin);
                    Arc::make_mut(&mut self.machine).take(&defined.values, &through);
                    self.prototype = Some(Traced {
                        value: name.clone(),
                        origin: through,
                    });
                }
                None => {
                    problems.push(self.unknown("use_prototype", &name.0, self.prototypes.keys()));
                }
            },
        }
    }

    fn unknown<'a>(
        &self,
        key: &'static str,
        name: &str,
        known: impl Iterator<Item = &'a String> + Clone,
    ) -> ResolveError {
        ResolveError::Unknown {
            node: self.full_name().clone(),
            key,
            name: name.to_owned(),
            nearest: nearest(name, known.clone().map(String::as_str)).map(str::to_owned),
            known: known.cloned().collect(),
        }
    }

    fn not_allowed(&self, name: &str) -> Option<ResolveError> {
        let filter = self.filter.as_deref()?;
        let excluding = filter
            .levels
            .iter()
            .find(|level| !level.value.0.iter().any(|allowed| allowed == name))?;
        Some(ResolveError::Filtered {
            node: self.full_name().clone(),
            name: name.to_owned(),
            filter_at: excluding.origin.full_name().clone(),
            allowed: filter.allowed.clone(),
        })
    }
}

/// Entries by name and whole.
fn define<T, D: Clone>(
    written: &Written<crate::Entries<T>>,
    defined: &mut Arc<BTreeMap<String, Arc<D>>>,
    mut make: impl FnMut(&str, &T) -> Option<D>,
) {
    match written {
        Written::Absent => {}
        Written::Unset => *defined = Arc::default(),
        Written::Set(entries) => {
            let defined = Arc::make_mut(defined);
            for (name, entry) in &entries.0 {
                match entry {
                    None => {
                        defined.remove(&**name);
                    }
                    Some(entry) => {
                        if let Some(made) = make(name, entry) {
                            defined.insert(name.to_string(), Arc::new(made));
                        }
                    }
                }
            }
        }
    }
}
