//! Generated from `wit/engine.wit`: one module for each world.

/// What every engine has.
pub(crate) mod engine {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "engine",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "enginehouse:engine/host.call": crate::host::Call,
            "enginehouse:engine/host.hypervisor": crate::host::Hypervisor,
            "enginehouse:engine/host.request": crate::host::Request,
            "enginehouse:engine/host.response": crate::host::Response,
        },
    });
}

/// Added by those that assess changes.
pub(crate) mod assessor {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "assessor",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}
