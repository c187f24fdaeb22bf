//! An engine's description, read and checked.

use enginehouse_documents::Description;
use serde_json::Value;

use crate::error::LoadError;

/// Reads the answer of `describe`.
pub(crate) fn read(json: &str) -> Result<Description, LoadError> {
    let description: Description =
        serde_json::from_str(json).map_err(|error| LoadError::Description(error.to_string()))?;
    check(&description).map_err(LoadError::Description)?;
    Ok(description)
}

fn check(description: &Description) -> Result<(), String> {
    check_name("name", &description.name)?;
    for alias in &description.aliases {
        check_name("aliases", &alias.to_ascii_lowercase())?;
    }
    if description.version.is_empty() {
        return Err("`version` is empty: write the engine's version, as in 0.1.0".to_owned());
    }
    if description.auth.is_empty() {
        return Err("`auth` is empty: name the schemes it can be used with, or `none`".to_owned());
    }
    for endpoint in &description.endpoints {
        if endpoint.name == "host" {
            return Err("`endpoints` names `host`, which is always there".to_owned());
        }
        check_name("endpoints", &endpoint.name)?;
    }
    if let Some(scheme) = &description.default_scheme
        && !matches!(scheme.as_str(), "http" | "https")
    {
        return Err(format!(
            "`default_scheme` is `{scheme}`: write http or https"
        ));
    }
    let schemas = [
        (
            "hypervisor_settings_schema",
            &description.hypervisor_settings_schema,
        ),
        (
            "machine_settings_schema",
            &description.machine_settings_schema,
        ),
    ];
    for (member, schema) in schemas {
        if !matches!(schema, Value::Object(_) | Value::Bool(_) | Value::Null) {
            return Err(format!(
                "`{member}` is no JSON Schema: it must be an object"
            ));
        }
    }
    if let Some((field, _)) =
        (description.fields.iter()).find(|(_, rule)| rule.granularity == Some(0))
    {
        return Err(format!("`fields.{field}.granularity` is 0: leave it out"));
    }
    Ok(())
}

fn check_name(member: &str, name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && name.len() <= 63 && name.chars().all(good) {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(format!(
        "`{member}` has `{shown}`: use lower-case letters, digits, `-` and `_`, beginning with a letter"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described(change: Value) -> Result<Description, LoadError> {
        let mut document = json!({"name": "proxmox", "version": "0.1.0", "auth": ["none"]});
        document
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        read(&document.to_string())
    }

    #[test]
    fn a_description_may_have_members_that_nobody_knows_yet() {
        assert_eq!(described(json!({"new": 1})).unwrap().name, "proxmox");
    }

    #[test]
    fn what_is_no_description_is_refused_by_member() {
        for (change, member) in [
            (json!({"name": ""}), "`name`"),
            (json!({"name": "Proxmox VE"}), "`name`"),
            (json!({"version": ""}), "`version`"),
            (json!({"auth": []}), "`auth`"),
            (json!({"auth": ["magic"]}), "magic"),
            (json!({"endpoints": [{"name": "host"}]}), "`host`"),
            (json!({"endpoints": [{"name": "a b"}]}), "`endpoints`"),
            (json!({"default_scheme": "ftp"}), "`default_scheme`"),
            (
                json!({"machine_settings_schema": 1}),
                "`machine_settings_schema`",
            ),
            (
                json!({"fields": {"memory": {"granularity": 0}}}),
                "fields.memory",
            ),
        ] {
            let error = described(change).unwrap_err().to_string();
            assert!(error.contains(member), "{member}: {error}");
        }
        assert!(matches!(read("{"), Err(LoadError::Description(_))));
    }
}
