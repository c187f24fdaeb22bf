//! `PROXMOX_HOST` and its like.

use std::collections::BTreeMap;

use enginehouse_documents::Description;
use serde_json::{Value, json};

use super::DefaultsError;
use super::values::Values;

/// What the environment says of an engine. A variable that is empty says nothing.
pub(super) fn read(
    environment: &BTreeMap<String, String>,
    engine: &Description,
) -> Result<Values, DefaultsError> {
    let prefix = upper(&engine.name);
    let variable = |key: &str| {
        let name = format!("{prefix}_{key}");
        let value = environment.get(&name).filter(|value| !value.is_empty());
        value.map(|value| (name, value.as_str()))
    };
    let mut values = Values::default();
    if let Some((name, host)) = variable("HOST") {
        values.set(&["host"], json!(host), &name);
    }
    if let Some((name, user)) = variable("USERNAME").or_else(|| variable("USER")) {
        values.set(&["user"], json!(user), &name);
    }
    if let Some((name, _)) = variable("PASSWORD") {
        // It stays where it is.
        values.set(&["password"], json!({ "env": name }), &name);
    }
    if let Some((name, text)) = variable("VERIFY_SSL") {
        let verify = truth(&name, text)?;
        values.set(&["tls", "verify"], json!(verify), &name);
    }
    let settings = engine.hypervisor_settings_schema.get("properties");
    for (setting, schema) in settings.and_then(Value::as_object).into_iter().flatten() {
        let key = upper(setting);
        if matches!(
            key.as_str(),
            "HOST" | "USERNAME" | "USER" | "PASSWORD" | "VERIFY_SSL"
        ) {
            continue;
        }
        if let Some((name, text)) = variable(&key) {
            let value = typed(&name, text, schema)?;
            values.set(&["settings", setting], value, &name);
        }
    }
    Ok(values)
}

fn upper(name: &str) -> String {
    name.replace(['-', '.'], "_").to_ascii_uppercase()
}

fn truth(variable: &str, text: &str) -> Result<bool, DefaultsError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(DefaultsError::Variable {
            variable: variable.to_owned(),
            expected: "truth value: write true or false",
        }),
    }
}

/// The text as the schema wants it.
fn typed(variable: &str, text: &str, schema: &Value) -> Result<Value, DefaultsError> {
    let is = |wanted: &str| match schema.get("type") {
        Some(Value::String(kind)) => kind == wanted,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == wanted),
        _ => false,
    };
    let wrong = |expected| DefaultsError::Variable {
        variable: variable.to_owned(),
        expected,
    };
    if is("string") {
        return Ok(json!(text));
    }
    if is("boolean") {
        return truth(variable, text).map(Value::Bool);
    }
    if is("integer") {
        let number: Result<i64, _> = text.trim().parse();
        return number.map(Value::from).map_err(|_| wrong("whole number"));
    }
    if is("number") {
        let number: Result<f64, _> = text.trim().parse();
        return number.map(Value::from).map_err(|_| wrong("number"));
    }
    if is("array") || is("object") {
        return serde_json::from_str(text).map_err(|_| wrong("JSON"));
    }
    Ok(json!(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> Description {
        Description {
            name: "my-engine".to_owned(),
            hypervisor_settings_schema: json!({"properties": {
                "node": {"type": ["string", "null"]},
                "lowest-id": {"type": ["integer", "null"]},
                "fast": {"type": "boolean"},
                "user": {"type": "string"},
            }}),
            ..Description::default()
        }
    }

    fn of(pairs: &[(&str, &str)]) -> Result<Value, String> {
        let environment = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        read(&environment, &engine())
            .map(|values| values.entry("my-engine"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn variables_become_an_entry_and_the_password_stays_where_it_is() {
        assert_eq!(
            of(&[
                ("MY_ENGINE_HOST", "https://pve:8006"),
                ("MY_ENGINE_USERNAME", "root@pam"),
                ("MY_ENGINE_USER", "other"),
                ("MY_ENGINE_PASSWORD", "hunter2"),
                ("MY_ENGINE_VERIFY_SSL", "No"),
                ("MY_ENGINE_NODE", "17"),
                ("MY_ENGINE_LOWEST_ID", "100"),
                ("MY_ENGINE_FAST", "on"),
                ("MY_ENGINE_NOTHING", "x"),
                ("OTHER_HOST", "x"),
            ])
            .unwrap(),
            json!({
                "type": "my-engine",
                "host": "https://pve:8006",
                "user": "root@pam",
                "password": {"env": "MY_ENGINE_PASSWORD"},
                "tls": {"verify": false},
                "settings": {"node": "17", "lowest-id": 100, "fast": true},
            })
        );
        let empty = of(&[("MY_ENGINE_HOST", ""), ("MY_ENGINE_PASSWORD", "")]);
        assert_eq!(empty.unwrap(), json!({"type": "my-engine"}));
    }

    #[test]
    fn a_value_that_does_not_fit_is_named() {
        for (name, value) in [
            ("MY_ENGINE_VERIFY_SSL", "flase"),
            ("MY_ENGINE_LOWEST_ID", "many"),
            ("MY_ENGINE_FAST", "2"),
        ] {
            let error = of(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && !error.contains(value), "{error}");
        }
    }
}
