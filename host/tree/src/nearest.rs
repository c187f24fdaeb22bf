//! "Did you mean": the nearest of the names there are.

/// The name that is most alike, if one is alike enough to be a slip of the pen.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody means a name by a text much longer than any; comparing it would cost its length.
    if wrong.len() > 200 {
        return None;
    }
    let lower = wrong.to_lowercase();
    let allowed = 1 + lower.chars().count() / 4;
    names
        .into_iter()
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&lower, &name.to_lowercase());
            (distance, name)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let names = ["memory", "vcpu", "nics", "disks"];
        assert_eq!(nearest("memroy", names), Some("memory"));
        assert_eq!(nearest("Memory", names), Some("memory"));
        assert_eq!(nearest("cpu", names), Some("vcpu"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest(&"m".repeat(100_000), names), None);
    }
}
