//! Percent-encoding (RFC 3986) and `application/x-www-form-urlencoded`.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `text` with everything encoded that is not unreserved. That suits a path segment, a query
/// and a form alike: a space is `%20`, which every reader of forms takes as well as `+`, and `+` is
/// `%2B`, which no one can mistake for a space.
pub(crate) fn push(out: &mut String, text: &str) {
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(HEX.get(usize::from(digit)).map(|&digit| char::from(digit)));
            }
        }
    }
}

/// Appends `key=value`, after a `&` unless it is the first.
pub(crate) fn push_pair(out: &mut String, key: &str, value: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    push(out, key);
    out.push('=');
    push(out, value);
}

/// Pairs of a query or a form, as a server reads them. Broken escapes stand for themselves.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

#[cfg(not(target_arch = "wasm32"))]
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(first),
            },
            _ => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(not(target_arch = "wasm32"))]
fn digit(byte: u8) -> Option<u8> {
    u8::try_from(char::from(byte).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut form = String::new();
        let pairs_in = [
            ("description", "line 1\nä+b & c=d %41"),
            ("tags", ""),
            ("ssh keys", "ssh-ed25519 AAAA+/="),
        ];
        for (key, value) in pairs_in {
            push_pair(&mut form, key, value);
        }
        assert_eq!(
            form,
            "description=line%201%0A%C3%A4%2Bb%20%26%20c%3Dd%20%2541&tags=&ssh%20keys=ssh-ed25519%20AAAA%2B%2F%3D"
        );
        let pairs_out = pairs(&form);
        let pairs_out: Vec<_> = pairs_out.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(pairs_out, pairs_in);
    }

    #[test]
    fn broken_escapes_stand_for_themselves() {
        assert_eq!(
            pairs("a=%zz%4&b=%"),
            [
                ("a".to_owned(), "%zz%4".to_owned()),
                ("b".to_owned(), "%".to_owned())
            ]
        );
    }
}
