//! `engines.yaml`: `engines: {proxmox: {host, username, password, node, verify_ssl}}`.

use std::collections::BTreeMap;

use enginehouse_documents::Description;
use enginehouse_text::{Place, YamlDocument, read_yaml};
use enginehouse_tree::{Definition, KeyPath, Problem, nearest};
use serde_json::{Map, Value, json};

use super::DefaultsError;
use super::values::Values;

/// Keys of a hypervisor entry; what else may stand there is a setting of the engine.
const ENTRY: [&str; 10] = [
    "host",
    "user",
    "username",
    "password",
    "auth",
    "endpoints",
    "tls",
    "verify_ssl",
    "limits",
    "settings",
];

/// What the file says, by engine.
pub(super) fn read(
    file: &str,
    bytes: &[u8],
    engines: &[&Description],
) -> Result<BTreeMap<String, Values>, DefaultsError> {
    let document = read_yaml(bytes)
        .map_err(|error| DefaultsError::File(vec![at(file, error.place, &error.message)]))?;
    let mut reading = Reading {
        file,
        document: &document,
        problems: Vec::new(),
    };
    let mut found = BTreeMap::new();
    let value = document.to_value();
    for (key, value) in reading.members(&value, &[]) {
        if key != "engines" {
            reading.unknown(&[key], key, ["engines"].into_iter());
            continue;
        }
        for (name, value) in reading.members(value, &[key]) {
            let engine = engines.iter().find(|engine| is_called(engine, name));
            let Some(engine) = engine else {
                let names = engines.iter().map(|engine| engine.name.as_str());
                reading.unknown(&[key, name], name, names);
                continue;
            };
            let values = reading.engine(value, name, engine);
            if found.insert(engine.name.clone(), values).is_some() {
                let text = format!("`{}` is there under another name, too", engine.name);
                reading.problem(&[key, name], true, &text);
            }
        }
    }
    if reading.problems.is_empty() {
        Ok(found)
    } else {
        Err(DefaultsError::File(reading.problems))
    }
}

fn is_called(engine: &Description, name: &str) -> bool {
    engine.name.eq_ignore_ascii_case(name)
        || engine
            .aliases
            .iter()
            .any(|alias| alias.eq_ignore_ascii_case(name))
}

struct Reading<'f> {
    file: &'f str,
    document: &'f YamlDocument,
    problems: Vec<String>,
}

impl Reading<'_> {
    fn engine(&mut self, value: &Value, name: &str, engine: &Description) -> Values {
        let settings = engine.hypervisor_settings_schema.get("properties");
        let settings: Vec<&str> = settings
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        let mut values = Values::default();
        let mut entry = Map::new();
        let mut inside = Map::new();
        for (key, value) in self.members(value, &["engines", name]) {
            if value.is_null() {
                continue;
            }
            if ENTRY.contains(&key) {
                entry.insert(key.to_owned(), value.clone());
            } else if settings.contains(&key) {
                inside.insert(key.to_owned(), value.clone());
            } else {
                let known = ENTRY.into_iter().chain(settings.iter().copied());
                self.unknown(&["engines", name, key], key, known);
            }
        }
        for key in inside.keys() {
            let twice = entry
                .get("settings")
                .is_some_and(|it| it.get(key).is_some());
            if twice {
                let text = format!("says the same as `settings.{key}`; keep one of them");
                self.problem(&["engines", name, key], true, &text);
            }
        }
        let plain: Vec<String> = inside.keys().cloned().collect();
        if !inside.is_empty() {
            let all = entry
                .entry("settings")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(all) = all {
                all.extend(inside);
            }
        }
        // Read as a definition reads it: the same spellings, and the same errors.
        let whole = json!({"hypervisors": {&engine.name: entry}});
        let read = match Definition::from_json(&whole) {
            Ok(definition) => {
                for problem in definition.refused_literals() {
                    self.of_definition(name, &plain, &problem);
                }
                definition.to_json()
            }
            Err(problems) => {
                for problem in &problems {
                    self.of_definition(name, &plain, problem);
                }
                return values;
            }
        };
        let entry = &read["hypervisors"][&engine.name];
        for (key, value) in entry.as_object().into_iter().flatten() {
            match value {
                Value::Object(members) if matches!(key.as_str(), "tls" | "settings" | "limits") => {
                    for (member, value) in members {
                        values.set(&[key, member], value.clone(), super::FILE);
                    }
                }
                value => values.set(&[key], value.clone(), super::FILE),
            }
        }
        values
    }

    /// A problem of the definition, where the file has what it is about.
    fn of_definition(&mut self, name: &str, plain: &[String], problem: &Problem) {
        let mut way: Vec<&str> = vec!["engines", name];
        way.extend(problem.key.keys().iter().skip(2).map(String::as_str));
        if let ["engines", _, "settings", key, ..] = way[..]
            && plain.iter().any(|it| it == key)
        {
            way.remove(2);
        }
        let alone = Problem {
            key: KeyPath::default(),
            kind: problem.kind.clone(),
        };
        let text = alone.to_string();
        self.problem(&way, false, &text);
    }

    fn members<'v>(&mut self, value: &'v Value, way: &[&str]) -> Vec<(&'v str, &'v Value)> {
        match value {
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| (key.as_str(), value))
                .collect(),
            Value::Null => Vec::new(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.problem(way, false, "expected keys with values");
                Vec::new()
            }
        }
    }

    fn unknown<'k>(&mut self, way: &[&str], key: &str, known: impl Iterator<Item = &'k str>) {
        let known: Vec<&str> = known.collect();
        let text = match nearest(key, known.iter().copied()) {
            Some(nearest) => format!("unknown key, did you mean `{nearest}`?"),
            None if known.is_empty() => "no engine is loaded".to_owned(),
            None => format!("unknown key, known here: {}", known.join(", ")),
        };
        self.problem(way, true, &text);
    }

    fn problem(&mut self, way: &[&str], key: bool, text: &str) {
        let path: Vec<String> = way.iter().map(|part| (*part).to_owned()).collect();
        let place = if key {
            self.document.place_of_key(&path)
        } else {
            self.document.place_of_value(&path)
        };
        let text = if path.is_empty() {
            text.to_owned()
        } else {
            format!("{}: {text}", path.join("."))
        };
        self.problems.push(at(self.file, place, &text));
    }
}

fn at(file: &str, place: Option<Place>, text: &str) -> String {
    match place {
        Some(Place { line, column }) => format!("{file}:{line}:{column}: {text}"),
        None => format!("{file}: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxmox() -> Description {
        Description {
            name: "proxmox".to_owned(),
            aliases: vec!["pve".to_owned()],
            hypervisor_settings_schema: json!({"properties": {
                "node": {"type": "string"}, "storage": {"type": "string"},
            }}),
            ..Description::default()
        }
    }

    fn of(text: &str) -> Result<Value, Vec<String>> {
        match read("engines.yaml", text.as_bytes(), &[&proxmox()]) {
            Ok(mut found) => Ok(found.remove("proxmox").unwrap_or_default().entry("proxmox")),
            Err(DefaultsError::File(problems)) => Err(problems),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_form_that_scripts_use_becomes_an_entry() {
        let text = "engines:\n  pve:\n    host: https://pve1.example:8006\n    username: root@pam\n    password: p\n    node: pve1\n    verify_ssl: false\n";
        assert_eq!(
            of(text).unwrap(),
            json!({
                "type": "proxmox",
                "host": "https://pve1.example:8006",
                "user": "root@pam",
                "password": "p",
                "tls": {"verify": false},
                "settings": {"node": "pve1"},
            })
        );
        assert_eq!(of("").unwrap(), json!({"type": "proxmox"}));
        assert_eq!(of("engines:\n").unwrap(), json!({"type": "proxmox"}));
        let reference = "engines: {proxmox: {host: a, password: {file: /p}, settings: {node: n}}}";
        assert_eq!(
            of(reference).unwrap(),
            json!({"type": "proxmox", "host": "a", "password": {"file": "/p"}, "settings": {"node": "n"}})
        );
    }

    #[test]
    fn errors_name_file_line_and_column() {
        for (text, expected) in [
            (
                "engines:\n  proxmox:\n    hsot: a\n",
                "engines.yaml:3:5: engines.proxmox.hsot: unknown key, did you mean `host`?",
            ),
            (
                "engines:\n  proxmox:\n    nod: a\n",
                "engines.yaml:3:5: engines.proxmox.nod: unknown key, did you mean `node`?",
            ),
            (
                "engines:\n  promox: {}\n",
                "engines.yaml:2:3: engines.promox: unknown key, did you mean `proxmox`?",
            ),
            (
                "engine:\n  proxmox: {}\n",
                "engines.yaml:1:1: engine: unknown key, did you mean `engines`?",
            ),
            (
                "engines: [a]\n",
                "engines.yaml:1:10: engines: expected keys with values",
            ),
            (
                "engines:\n  proxmox:\n    verify_ssl: maybe\n",
                "engines.yaml:3:17: engines.proxmox.verify_ssl: expected true or false",
            ),
            (
                "engines:\n  proxmox: {host: a, node: x, settings: {node: y}}\n",
                "says the same as `settings.node`",
            ),
            (
                "engines:\n  proxmox: {}\n  pve: {}\n",
                "engines.yaml:3:3: engines.pve: `proxmox`",
            ),
            ("engines: {a: 1, a: 2}\n", "engines.yaml:1:"),
            ("engines: [\n", "engines.yaml:"),
        ] {
            let problems = of(text).unwrap_err();
            assert!(
                problems[0].starts_with(expected) || problems[0].contains(expected),
                "{text}: {problems:?}"
            );
        }
    }

    #[test]
    fn a_password_is_in_no_error() {
        let text =
            "engines:\n  proxmox:\n    host: https://root:hunter2@pve\n    password: [hunter2]\n";
        let problems = of(text).unwrap_err().concat();
        assert!(
            problems.contains(":4:") && !problems.contains("hunter2"),
            "{problems}"
        );
    }
}
