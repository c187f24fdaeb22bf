//! The settings that the loaded engines take, by their schemas.

use std::fmt;
use std::sync::Arc;

use enginehouse_engines::{Engine, LoadError, Loaded};
use enginehouse_settings::{SchemaError, SettingsSchema};
use enginehouse_tree::{EngineSettings, SettingFault};
use serde_json::{Map, Value};

/// The schemas of all engines, compiled.
pub(crate) struct Schemas(Vec<OfEngine>);

struct OfEngine {
    engine: Arc<Engine>,
    machine: SettingsSchema,
    hypervisor: SettingsSchema,
}

impl Schemas {
    /// Those of the engines that were loaded; an engine whose schema cannot be used is refused.
    pub(crate) fn of(loaded: &mut Loaded) -> Self {
        let mut compiled = Vec::new();
        let engines = std::mem::take(&mut loaded.engines);
        for engine in engines {
            match OfEngine::compile(&engine) {
                Ok(schemas) => {
                    compiled.push(schemas);
                    loaded.engines.push(engine);
                }
                Err((member, error)) => {
                    let reason = LoadError::Description(format!("`{member}` is {error}"));
                    loaded.refused.push((engine.path().to_owned(), reason));
                }
            }
        }
        Self(compiled)
    }

    fn engine(&self, kind: &str) -> Option<&OfEngine> {
        self.0.iter().find(|of| of.engine.is_called(kind))
    }
}

impl OfEngine {
    fn compile(engine: &Arc<Engine>) -> Result<Self, (&'static str, SchemaError)> {
        let description = engine.description();
        let compile = |member, schema| {
            SettingsSchema::compile(schema).map_err(|error: SchemaError| (member, error))
        };
        Ok(Self {
            engine: Arc::clone(engine),
            machine: compile(
                "machine_settings_schema",
                &description.machine_settings_schema,
            )?,
            hypervisor: compile(
                "hypervisor_settings_schema",
                &description.hypervisor_settings_schema,
            )?,
        })
    }
}

impl EngineSettings for Schemas {
    fn of_machine(&self, kind: &str, settings: &Map<String, Value>) -> Vec<SettingFault> {
        self.engine(kind)
            .map(|of| of.machine.faults(settings))
            .unwrap_or_default()
    }

    fn of_hypervisor(&self, kind: &str, settings: &Map<String, Value>) -> Vec<SettingFault> {
        self.engine(kind)
            .map(|of| of.hypervisor.faults(settings))
            .unwrap_or_default()
    }
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|of| of.engine.name());
        f.debug_list().entries(names).finish()
    }
}
