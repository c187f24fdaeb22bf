//! Writing YAML: block style, two spaces, keys in their order, quotes where they are needed.

use serde_json::{Map, Value};

use super::scalar::{is_block, push_quoted, push_text};

/// Keys up to this length stand before their colon; YAML wants longer ones marked.
const KEY_MAX: usize = 500;

/// The document. An empty mapping has no text at all: that reads as nothing written.
#[must_use]
pub fn write_yaml(members: &Map<String, Value>) -> String {
    let mut text = String::new();
    push_mapping(&mut text, members, 0);
    text
}

fn push_mapping(to: &mut String, members: &Map<String, Value>, depth: usize) {
    for (key, value) in members {
        indent(to, depth);
        push_entry(to, key, value, depth);
    }
}

fn push_entry(to: &mut String, key: &str, value: &Value, depth: usize) {
    if key.len() > KEY_MAX {
        to.push_str("? ");
        push_quoted(to, key);
        to.push('\n');
        indent(to, depth);
    } else {
        push_text(to, key);
    }
    to.push(':');
    push_value(to, value, depth);
}

/// What follows a colon, with the line's end.
fn push_value(to: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            to.push('\n');
            push_mapping(to, members, depth + 1);
        }
        Value::Array(items) if !items.is_empty() => {
            to.push('\n');
            push_list(to, items, depth + 1);
        }
        Value::String(text) if is_block(text) => {
            to.push(' ');
            push_block(to, text, depth + 1);
        }
        _ => {
            to.push(' ');
            push_flat(to, value);
            to.push('\n');
        }
    }
}

fn push_list(to: &mut String, items: &[Value], depth: usize) {
    for item in items {
        indent(to, depth);
        to.push('-');
        match item {
            // The first key stands behind the dash.
            Value::Object(members) if !members.is_empty() => {
                to.push(' ');
                for (at, (key, value)) in members.iter().enumerate() {
                    if at > 0 {
                        indent(to, depth + 1);
                    }
                    push_entry(to, key, value, depth + 1);
                }
            }
            Value::Array(below) if !below.is_empty() => {
                to.push('\n');
                push_list(to, below, depth + 1);
            }
            Value::String(text) if is_block(text) => {
                to.push(' ');
                push_block(to, text, depth + 1);
            }
            item => {
                to.push(' ');
                push_flat(to, item);
                to.push('\n');
            }
        }
    }
}

/// What fits behind a colon or dash.
fn push_flat(to: &mut String, value: &Value) {
    match value {
        Value::Null => to.push_str("null"),
        Value::Bool(value) => to.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => to.push_str(&number.to_string()),
        Value::String(text) => push_text(to, text),
        Value::Array(_) => to.push_str("[]"),
        Value::Object(_) => to.push_str("{}"),
    }
}

fn push_block(to: &mut String, text: &str, depth: usize) {
    let body = match text.strip_suffix('\n') {
        Some(body) => {
            to.push_str("|\n");
            body
        }
        None => {
            to.push_str("|-\n");
            text
        }
    };
    for line in body.split('\n') {
        // An empty line has no spaces that an editor would take away.
        if !line.is_empty() {
            indent(to, depth);
            to.push_str(line);
        }
        to.push('\n');
    }
}

fn indent(to: &mut String, depth: usize) {
    for _ in 0..depth {
        to.push_str("  ");
    }
}
