//! Does a component fit the contract? If not, what exactly is missing or different?
//!
//! wasmtime checks types too, but says "expected record with 3 fields" and not which function. So each
//! export is written out as a text and compared with the text that the contract has; what wasmtime says
//! afterwards is the last word.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Type};

use crate::error::LoadError;

/// What an engine exports: interface, function, type. Records and variants are written by the names
/// that [`NAMED`] gives them. The tests hold it against a real engine.
const EXPORTS: &[(&str, &[(&str, &str)])] = &[
    (
        "meta",
        &[
            ("describe", "func() -> string"),
            (
                "check",
                "func(call: borrow<call>, hypervisor: borrow<hypervisor>) -> result<string, problem>",
            ),
        ],
    ),
    (
        "machines",
        &[
            (
                "list",
                "func(call: borrow<call>, hypervisor: borrow<hypervisor>, cursor: option<string>) -> result<string, problem>",
            ),
            (
                "read",
                "func(call: borrow<call>, hypervisor: borrow<hypervisor>, ids: list<string>) -> result<list<result<string, problem>>, problem>",
            ),
            (
                "run",
                "func(call: borrow<call>, hypervisor: borrow<hypervisor>, action: string, token: option<list<u8>>) -> result<step, problem>",
            ),
            (
                "settle",
                "func(call: borrow<call>, hypervisor: borrow<hypervisor>, action: string, token: option<list<u8>>) -> result<settled, problem>",
            ),
            (
                "poll",
                "func(call: borrow<call>, hypervisor: borrow<hypervisor>, tasks: list<task-query>) -> result<list<task-state>, problem>",
            ),
        ],
    ),
];

/// The optional interface.
const ASSESS: (&str, &[(&str, &str)]) = (
    "assess",
    &[(
        "assess",
        "func(question: string) -> result<string, problem>",
    )],
);

/// The contract's own types by their shape, innermost first: components carry shapes, not names.
const NAMED: &[(&str, &str)] = &[
    (
        "record { code: string, message: string, detail: string }",
        "problem",
    ),
    ("record { kind: string, id: string }", "object"),
    (
        "record { created: list<object>, detail: string }",
        "finished",
    ),
    (
        "record { token: list<u8>, created: list<object>, detail: string }",
        "moved",
    ),
    (
        "record { task: string, token: list<u8>, created: list<object>, detail: string }",
        "waiting",
    ),
    (
        "variant { done(finished), again(moved), wait(waiting) }",
        "step",
    ),
    (
        "variant { done(moved), pending(waiting), not-started, unknown(string) }",
        "settled",
    ),
    ("record { task: string, cursor: string }", "task-query"),
    (
        "record { state: string, cursor: string, detail: string }",
        "task-state",
    ),
];

const PACKAGE: &str = "enginehouse:engine";
const VERSION: &str = "0.1.0";

/// What a file begins with tells what it is.
pub(crate) fn check_header(wasm: &[u8]) -> Result<(), LoadError> {
    let not = |what: &str| Err(LoadError::NotAComponent(what.to_owned()));
    match wasm {
        [] => not("the file is empty"),
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(LoadError::CoreModule),
        [0, b'a', b's', b'm', _, _, _, _, ..] => {
            not("it is WebAssembly of a version that this host does not know")
        }
        [0, b'a', b's', b'm', ..] => not("it ends inside its header"),
        _ => not("it does not begin with `\\0asm`"),
    }
}

/// Whether wasmparser finds it whole: what the compiler says of a truncated file names no file part.
pub(crate) fn broken(error: &LoadError) -> Option<LoadError> {
    let LoadError::Compile(text) = error else {
        return None;
    };
    let cut = text.contains("unexpected end") || text.contains("unexpected EOF");
    if cut {
        return Some(LoadError::NotAComponent(format!(
            "it ends too early: {text}"
        )));
    }
    let parse = ["failed to parse WebAssembly", "at offset"];
    (parse.iter().any(|sign| text.contains(sign)))
        .then(|| LoadError::NotAComponent(format!("it is corrupt: {text}")))
}

/// Checks the exports; answers whether it has `assess`.
pub(crate) fn check_exports(engine: &Engine, component: &Component) -> Result<bool, LoadError> {
    check_version(engine, component)?;
    for interface in EXPORTS {
        if !check_interface(engine, component, *interface)? {
            return Err(LoadError::Missing(format!(
                "{PACKAGE}/{}@{VERSION}",
                interface.0
            )));
        }
    }
    check_interface(engine, component, ASSESS)
}

/// Finds a component that was built for another version, before everything seems to be missing.
fn check_version(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    let ty = component.component_type();
    let names =
        (ty.exports(engine).map(|(name, _)| name)).chain(ty.imports(engine).map(|(name, _)| name));
    for name in names {
        let Some((package, version)) = name.rsplit_once('@') else {
            continue;
        };
        if package.starts_with("enginehouse:engine/") && !version.starts_with("0.1.") {
            return Err(LoadError::Version {
                expected: VERSION.to_owned(),
                found: version.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether the interface is there. An error when it is, but wrong.
fn check_interface(
    engine: &Engine,
    component: &Component,
    (interface, functions): (&str, &[(&str, &str)]),
) -> Result<bool, LoadError> {
    let ty = component.component_type();
    let path = format!("{PACKAGE}/{interface}");
    let found = (ty.exports(engine)).find(|(name, _)| {
        name.rsplit_once('@')
            .is_some_and(|(package, _)| package == path)
    });
    let Some((_, found)) = found else {
        return Ok(false);
    };
    let ComponentItem::ComponentInstance(instance) = found.ty else {
        return Err(LoadError::Different {
            name: path,
            expected: "interface".to_owned(),
            found: "something else".to_owned(),
        });
    };
    for (function, expected) in functions {
        let name = format!("{interface}.{function}");
        let Some(found) = instance.get_export(engine, function) else {
            return Err(LoadError::Missing(name));
        };
        let ComponentItem::ComponentFunc(func) = found.ty else {
            return Err(LoadError::Different {
                name,
                expected: (*expected).to_owned(),
                found: "no function".to_owned(),
            });
        };
        let found = signature(&func);
        if found != *expected {
            return Err(LoadError::Different {
                name,
                expected: (*expected).to_owned(),
                found,
            });
        }
    }
    Ok(true)
}

/// Names the import that this host does not offer.
pub(crate) fn import_error(
    engine: &Engine,
    component: &Component,
    error: &wasmtime::Error,
) -> LoadError {
    let text = crate::host::one_line(&format!("{error:#}"), 1000);
    let ty = component.component_type();
    let name = (ty.imports(engine))
        .map(|(name, _)| name.to_owned())
        .find(|name| text.contains(&format!("`{name}`")));
    match name {
        Some(name) if name.starts_with("wasi:http/") => LoadError::Import {
            name,
            reason: "engines have no network of their own; use `send` of enginehouse:engine/host"
                .to_owned(),
        },
        Some(name) => LoadError::Import { name, reason: text },
        None => LoadError::Contract(text),
    }
}

fn signature(func: &ComponentFunc) -> String {
    let params: Vec<String> = (func.params())
        .map(|(name, ty)| match ty {
            // Resources have no names here; those of the contract are told by their parameter's.
            Type::Borrow(_) => format!("{name}: borrow<{name}>"),
            Type::Own(_) => format!("{name}: own<{name}>"),
            other => format!("{name}: {}", text(&other)),
        })
        .collect();
    let results: Vec<String> = func.results().map(|ty| text(&ty)).collect();
    let kind = if func.async_() { "async func" } else { "func" };
    match results.as_slice() {
        [] => format!("{kind}({})", params.join(", ")),
        [one] => format!("{kind}({}) -> {one}", params.join(", ")),
        many => format!("{kind}({}) -> ({})", params.join(", "), many.join(", ")),
    }
}

fn text(ty: &Type) -> String {
    let shape = match ty {
        Type::Bool => "bool".to_owned(),
        Type::S8 => "s8".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::S16 => "s16".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::S32 => "s32".to_owned(),
        Type::U32 => "u32".to_owned(),
        Type::S64 => "s64".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::Float32 => "f32".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        Type::List(list) => format!("list<{}>", text(&list.ty())),
        Type::Option(option) => format!("option<{}>", text(&option.ty())),
        Type::Result(result) => {
            let part = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| text(&ty));
            format!("result<{}, {}>", part(result.ok()), part(result.err()))
        }
        Type::Tuple(tuple) => {
            let parts: Vec<String> = tuple.types().map(|ty| text(&ty)).collect();
            format!("tuple<{}>", parts.join(", "))
        }
        Type::Record(record) => {
            let fields: Vec<String> = (record.fields())
                .map(|field| format!("{}: {}", field.name, text(&field.ty)))
                .collect();
            format!("record {{ {} }}", fields.join(", "))
        }
        Type::Variant(variant) => {
            let cases: Vec<String> = (variant.cases())
                .map(|case| match case.ty {
                    Some(ty) => format!("{}({})", case.name, text(&ty)),
                    None => case.name.to_owned(),
                })
                .collect();
            format!("variant {{ {} }}", cases.join(", "))
        }
        Type::Enum(names) => format!(
            "enum {{ {} }}",
            names.names().collect::<Vec<_>>().join(", ")
        ),
        Type::Flags(flags) => format!(
            "flags {{ {} }}",
            flags.names().collect::<Vec<_>>().join(", ")
        ),
        Type::Own(_) => "own".to_owned(),
        Type::Borrow(_) => "borrow".to_owned(),
        other => format!("{other:?}").chars().take(40).collect(),
    };
    let named = NAMED.iter().find(|(known, _)| *known == shape);
    named.map_or(shape, |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_file_is() {
        let said = |bytes: &[u8]| check_header(bytes).unwrap_err().to_string();
        assert!(said(b"").contains("empty"));
        assert!(said(b"#!/bin/sh").contains("does not begin"));
        assert!(said(b"\0asm").contains("ends inside its header"));
        assert!(said(b"\0asm\x01\0\0\0").contains("wasm32-wasip2"));
        assert!(said(b"\0asm\x0e\0\x01\0").contains("version"));
        assert!(check_header(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
