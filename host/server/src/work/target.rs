//! What an operation works on: the machine's definition, its record, and the way to its hypervisor.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use enginehouse_documents::{Code, Config, Health, Problem};
use enginehouse_engines::{Connection, Engine, Observer, Occasion};
use enginehouse_model::{FullName, HypervisorUid, MachineRecord, NodeUid};
use enginehouse_reconcile::Rules;
use enginehouse_store::Table;
use enginehouse_tree::{Computed, HypervisorEntry, ResolvedHypervisor};
use parking_lot::Mutex;

use crate::house::{House, PROVIDER_VERSION, Provider, State};

/// Time for `check`.
const CHECK_DEADLINE: Duration = Duration::from_secs(60);

/// A descriptor with everything that a plan of it needs.
pub(crate) struct Target {
    pub node: NodeUid,
    pub name: FullName,
    pub desired: Config,
    /// What `desired` results from; none of an earlier config.
    pub computed: Option<Arc<Computed>>,
    pub hypervisor_name: String,
    pub engine: Arc<Engine>,
    pub connection: Arc<Connection>,
    pub rules: Rules,
    pub record: Option<MachineRecord>,
    pub shutdown_timeout_ms: u64,
    /// In which each machine of the hypervisor is read in full once.
    pub observed_full_ms: u64,
    /// The node that protects the machine: its own, or a folder above.
    pub protected_by: Option<FullName>,
}

/// What an entry that names no engine is wrong in.
const ENGINE_FIELD: &str = "type";

/// Whether the problem is that there is no engine: what has begun waits until there is one.
pub(crate) fn lacks_engine(problem: &Problem) -> bool {
    problem.detail.field.as_deref() == Some(ENGINE_FIELD)
}

/// A hypervisor of the tree, found by name at a node or by uid.
pub(crate) struct Place {
    pub uid: HypervisorUid,
    pub name: String,
    pub entry: HypervisorEntry,
}

impl Place {
    pub(crate) fn of(hypervisor: &ResolvedHypervisor) -> Self {
        Self {
            uid: hypervisor.uid,
            name: hypervisor.name.clone(),
            entry: (*hypervisor.entry).clone(),
        }
    }

    /// Engine and connection of it.
    pub(crate) fn reach(&self, house: &House) -> Result<(Arc<Engine>, Arc<Connection>), Problem> {
        let engine = self.engine(house)?;
        let connection = self.connection(house, &engine)?;
        Ok((engine, connection))
    }

    /// The engine that its `type` names; see [`lacks_engine`].
    fn engine(&self, house: &House) -> Result<Arc<Engine>, Problem> {
        let Some(kind) = &self.entry.kind else {
            let mut problem = Problem::new(
                Code::Invalid,
                format!("hypervisor `{}` has no `type`", self.name),
            );
            problem.detail.field = Some(ENGINE_FIELD.to_owned());
            problem.detail.hint = Some("write which engine it is of, as in `type: proxmox`".into());
            return Err(problem);
        };
        let Some(engine) = house
            .engines
            .iter()
            .find(|engine| engine.is_called(&kind.0))
        else {
            let known: Vec<&str> = house.engines.iter().map(|engine| engine.name()).collect();
            let mut problem = Problem::new(
                Code::Invalid,
                format!(
                    "hypervisor `{}` is of type `{}`, and no such engine is loaded",
                    self.name, kind.0
                ),
            );
            problem.detail.field = Some(ENGINE_FIELD.to_owned());
            problem.detail.hint = Some(if known.is_empty() {
                "no engine is loaded: put its .wasm into the engines directory and start the host again"
                    .to_owned()
            } else {
                format!("loaded engines: {}", known.join(", "))
            });
            return Err(problem);
        };
        Ok(Arc::clone(engine))
    }

    /// The way to it, for that engine.
    pub(crate) fn connection(
        &self,
        house: &House,
        engine: &Engine,
    ) -> Result<Arc<Connection>, Problem> {
        let password = crate::connections::password(&self.name, &self.entry, |secret| {
            house.state.lock().secrets.open(secret)
        })?;
        house.connections.get(
            self.uid,
            &self.name,
            &self.entry,
            password,
            engine.description(),
        )
    }
}

impl Target {
    /// The descriptor `node` as it is now. The machine on record decides about the hypervisor, where
    /// there is one; otherwise the definition does.
    pub(crate) fn of(house: &House, node: NodeUid) -> Result<Self, Problem> {
        Self::with(house, node, None)
    }

    /// The same for a step that was begun with an engine: see [`House::engine_of_step`].
    pub(crate) fn with(
        house: &House,
        node: NodeUid,
        begun_with: Option<Arc<Engine>>,
    ) -> Result<Self, Problem> {
        let (name, computed, record, place, protected_by) = {
            let state = house.state.lock();
            let name = state
                .tree
                .full_name(node)
                .map_err(|error| Problem::new(Code::NotFound, error.to_string()))?
                .clone();
            let computed = state
                .tree
                .computed(node)
                .map_err(|error| Problem::new(Code::NotFound, error.to_string()))?;
            let record = state.record_of(node).cloned();
            let place = place_of(&state, &name, &computed, record.as_ref())?;
            let protected_by = computed.protected_by().cloned();
            (name, computed, record, place, protected_by)
        };
        let engine = match begun_with {
            Some(engine) => engine,
            None => place.engine(house)?,
        };
        let connection = place.connection(house, &engine)?;
        let rules = Rules::new(engine.description());
        let shutdown_timeout_ms = place.entry.limits.shutdown_timeout_s.map_or_else(
            || u64::try_from(house.config.shutdown_timeout.as_millis()).unwrap_or(u64::MAX),
            |seconds| u64::from(seconds) * 1000,
        );
        Ok(Self {
            node,
            name,
            desired: computed.config(),
            computed: Some(computed),
            hypervisor_name: place.name,
            engine,
            connection,
            rules,
            record,
            shutdown_timeout_ms,
            observed_full_ms: crate::inventory::full_ms(&place.entry),
            protected_by,
        })
    }

    pub(crate) fn hypervisor(&self) -> HypervisorUid {
        self.connection.hypervisor()
    }
}

fn place_of(
    state: &State,
    name: &FullName,
    computed: &Computed,
    record: Option<&MachineRecord>,
) -> Result<Place, Problem> {
    if let Some(record) = record {
        return match state.tree.hypervisor(record.hypervisor) {
            Some(hypervisor) => Ok(Place::of(hypervisor)),
            None => Err(Problem::new(
                Code::Conflict,
                format!("the hypervisor entry that the machine of {name} was made on is gone"),
            )),
        };
    }
    let Some(defined) = computed.hypervisor() else {
        let mut problem = Problem::new(
            Code::Invalid,
            format!("{name} has no hypervisor to be deployed on"),
        );
        problem.detail.field = Some("use_hypervisor".to_owned());
        problem.detail.hint = Some(
            "name one with `use_hypervisor`, here or on a folder above, and define it under `hypervisors`"
                .to_owned(),
        );
        return Err(problem);
    };
    Ok(Place::of(defined))
}

/// Which connections have been checked since they were made.
#[derive(Default)]
pub(crate) struct Checks {
    slots: Mutex<BTreeMap<HypervisorUid, Arc<tokio::sync::Mutex<Weak<Connection>>>>>,
}

/// Asks the provider who it is, once for each connection.
pub(crate) async fn provider_identity(
    house: &Arc<House>,
    engine: &Engine,
    connection: &Arc<Connection>,
    observer: &Arc<dyn Observer>,
) -> Result<String, Problem> {
    let hypervisor = connection.hypervisor();
    let slot = Arc::clone(house.checks.slots.lock().entry(hypervisor).or_default());
    let mut checked = slot.lock().await;
    let is_checked = checked
        .upgrade()
        .is_some_and(|of| Arc::ptr_eq(&of, connection));
    let known = {
        let state = house.state.lock();
        state
            .providers
            .get(&hypervisor)
            .and_then(|provider| provider.health.as_ref())
            .map(|health| health.identity.clone())
    };
    match known {
        Some(identity) if is_checked => Ok(identity),
        _ => {
            let health = check(house, engine, connection, observer).await?;
            *checked = Arc::downgrade(connection);
            Ok(health.identity)
        }
    }
}

/// The same, of the provider of a machine: one that is another than the machine on record was made on
/// is refused.
pub(crate) async fn check_provider(
    house: &Arc<House>,
    target: &Target,
    observer: &Arc<dyn Observer>,
) -> Result<String, Problem> {
    let identity = provider_identity(house, &target.engine, &target.connection, observer).await?;
    if let Some(record) = &target.record
        && record.provider_identity != identity
    {
        let mut problem = Problem::new(
            Code::Conflict,
            format!(
                "hypervisor `{}` is another one than the machine was made on: it says it is {identity}, on record is {}",
                target.hypervisor_name, record.provider_identity
            ),
        );
        problem.detail.hint = Some(
            "nothing is done to machines behind a provider that changed; let its `host` lead to the former one"
                .to_owned(),
        );
        return Err(problem);
    }
    Ok(identity)
}

/// Calls the engine's `check` and keeps what it found.
pub(crate) async fn check(
    house: &Arc<House>,
    engine: &Engine,
    connection: &Arc<Connection>,
    observer: &Arc<dyn Observer>,
) -> Result<Health, Problem> {
    let began = Instant::now();
    let occasion = Occasion::reading(CHECK_DEADLINE, Arc::clone(observer));
    let result = engine
        .check(occasion, connection)
        .await
        .map_err(|error| error.problem());
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let hypervisor = connection.hypervisor();
    // Evidence only: that it could not be stored does not make the answer wrong.
    let _ = house
        .transact(|state, staged, now| {
            let before = state
                .providers
                .get(&hypervisor)
                .cloned()
                .unwrap_or_default();
            let provider = Provider {
                identity: match &result {
                    Ok(health) => before.identity.or_else(|| Some(health.identity.clone())),
                    Err(_) => before.identity,
                },
                checked_at: now,
                took_ms,
                health: result.as_ref().ok().cloned(),
                problem: result.as_ref().err().cloned(),
            };
            staged.put(
                Table::Provider,
                hypervisor.to_string(),
                PROVIDER_VERSION,
                &provider,
            );
            state.providers.insert(hypervisor, provider);
            let answered = match &result {
                Ok(_) => true,
                Err(problem) => problem.code != Code::Unreachable,
            };
            if answered && state.queue.lost(hypervisor).is_some() {
                staged.output = state.queue.probed(hypervisor, Ok(()), now);
            }
            Ok(())
        })
        .await;
    result
}
