//! What a part of a schema expects, for people: `a whole number, 1 to 1000`.

use serde_json::Value;

use crate::part::Part;

/// More choices than this are not all named.
const CHOICES_SHOWN: usize = 12;
/// Forms of one value that are named.
const FORMS_SHOWN: usize = 4;
/// Longest text out of a schema, in characters.
const TEXT_MAX: usize = 600;
/// How deep lists of lists are described.
const DEPTH_MAX: usize = 3;

/// What has to stand there.
pub(crate) fn expected(part: &Part<'_>) -> String {
    expected_in(part, DEPTH_MAX)
}

fn expected_in(part: &Part<'_>, depth: usize) -> String {
    if let Some(choices) = part.choices() {
        return one_of(&choices);
    }
    let types: Vec<&str> = match part.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let words: Vec<String> = types
        .into_iter()
        .filter(|name| *name != "null")
        .map(|name| of_type(name, part, depth))
        .collect();
    if !words.is_empty() {
        return words.join(" or ");
    }
    if let Some(depth) = depth.checked_sub(1) {
        let forms: Vec<String> = part
            .forms()
            .take(FORMS_SHOWN)
            .map(|form| expected_in(&form, depth))
            .collect();
        if !forms.is_empty() {
            return forms.join(", or ");
        }
    }
    // A schema without a type that bounds texts or numbers means these.
    for (name, keywords) in [
        ("string", ["pattern", "minLength", "maxLength", "format"]),
        (
            "number",
            ["minimum", "maximum", "multipleOf", "exclusiveMinimum"],
        ),
    ] {
        if keywords.iter().any(|keyword| part.get(keyword).is_some()) {
            return of_type(name, part, depth);
        }
    }
    "what the engine's schema allows".to_owned()
}

fn of_type(name: &str, part: &Part<'_>, depth: usize) -> String {
    match name {
        "boolean" => "true or false".to_owned(),
        "integer" => format!("a whole number{}", bounds(part)),
        "number" => format!("a number{}", bounds(part)),
        "string" => text(part),
        "array" => list(part, depth),
        "object" => {
            let members = part.members();
            match members.len() {
                0 => "an object".to_owned(),
                1..=CHOICES_SHOWN => format!("an object with {}", members.join(", ")),
                _ => "an object of named values".to_owned(),
            }
        }
        other => format!("a value of type {}", cut(other, 40)),
    }
}

/// `, 1 to 1000`, `, 1 or more`
fn bounds(part: &Part<'_>) -> String {
    let bound = |keyword| part.get(keyword).filter(|bound| bound.is_number());
    // The ends of a type's range say nothing to a person.
    let least = bound("minimum").filter(|least| least.as_i64() != Some(i64::MIN));
    let most = bound("maximum").filter(|most| most.as_u64().is_none_or(|most| most < 1 << 62));
    let mut text = match (least, most) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", {least} or more"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    };
    if let Some(above) = bound("exclusiveMinimum") {
        text.push_str(&format!(", more than {above}"));
    }
    if let Some(under) = bound("exclusiveMaximum") {
        text.push_str(&format!(", less than {under}"));
    }
    if let Some(step) = bound("multipleOf") {
        text.push_str(&format!(", a multiple of {step}"));
    }
    text
}

fn text(part: &Part<'_>) -> String {
    let mut text = match part.text("format") {
        Some("ipv4") => "an IPv4 address".to_owned(),
        Some("ipv6") => "an IPv6 address".to_owned(),
        Some("uri") => "a URL".to_owned(),
        Some("hostname") => "a host name".to_owned(),
        Some("email") => "an e-mail address".to_owned(),
        Some("date-time") => "a time such as 2026-01-31T12:00:00Z".to_owned(),
        Some("date") => "a date such as 2026-01-31".to_owned(),
        Some("uuid") => "a UUID".to_owned(),
        Some("password") | None => "a text".to_owned(),
        Some(other) => format!("a text of the format {}", cut(other, 40)),
    };
    let length = |keyword| part.get(keyword).and_then(Value::as_u64);
    match (length("minLength"), length("maxLength")) {
        (None | Some(0), Some(most)) => text.push_str(&format!(" of at most {most} characters")),
        (Some(1), None) => text.push_str(" that is not empty"),
        (Some(least), None) if least > 1 => {
            text.push_str(&format!(" of at least {least} characters"));
        }
        (Some(least), Some(most)) => text.push_str(&format!(" of {least} to {most} characters")),
        (None | Some(_), None) => {}
    }
    if let Some(pattern) = part.text("pattern") {
        text.push_str(&format!(" that matches `{}`", cut(pattern, 120)));
    }
    text
}

fn list(part: &Part<'_>, depth: usize) -> String {
    let mut text = "a list".to_owned();
    let count = |keyword| part.get(keyword).and_then(Value::as_u64);
    match (count("minItems"), count("maxItems")) {
        (None | Some(0), Some(most)) => text.push_str(&format!(" of at most {most}")),
        (Some(least), None) if least > 0 => text.push_str(&format!(" of at least {least}")),
        (Some(least), Some(most)) => text.push_str(&format!(" of {least} to {most}")),
        (None | Some(_), None) => {}
    }
    if let (Some(items), Some(depth)) = (
        part.get("items").and_then(|_| part.below("0")),
        depth.checked_sub(1),
    ) {
        text.push_str(&format!(", each item {}", expected_in(&items, depth)));
    }
    if part.get("uniqueItems") == Some(&Value::Bool(true)) {
        text.push_str(", none of them twice");
    }
    text
}

/// `` `bios`, `uefi` or `uefi-secure` ``
pub(crate) fn one_of(choices: &[&Value]) -> String {
    let mut names: Vec<String> = choices
        .iter()
        .take(CHOICES_SHOWN)
        .map(|choice| match choice {
            Value::String(text) => format!("`{}`", cut(text, 80)),
            other => cut(&other.to_string(), 80),
        })
        .collect();
    if choices.len() > CHOICES_SHOWN {
        names.push("…".to_owned());
        return names.join(", ");
    }
    match (names.pop(), names.is_empty()) {
        (Some(last), false) => format!("{} or {last}", names.join(", ")),
        (Some(only), true) => only,
        (None, _) => "nothing".to_owned(),
    }
}

/// A description as one line.
pub(crate) fn description(part: &Part<'_>) -> Option<String> {
    let text = part.description().filter(|text| !text.is_empty())?;
    let words: Vec<&str> = text.split_whitespace().collect();
    Some(cut(&words.join(" "), TEXT_MAX))
}

/// The first characters of a text out of a schema, nothing in it that would confuse a terminal.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    let mut cut: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(longest)
        .collect();
    if text.chars().nth(longest).is_some() {
        cut.push('…');
    }
    cut
}
