//! Rust source, as far as the rules need it: without comments and literals, without tests, and with the paths it names.
//!
//! Not a parser. It knows where comments, strings and `#[cfg(test)]` items begin and end, and how a `use` tree unfolds; that
//! is enough to tell a path in code from a path in prose.

/// One Rust file.
pub(crate) struct Source {
    /// The code: comments and the insides of literals are blanks, line breaks are kept.
    pub(crate) code: String,
    /// The code that ships: comments, the insides of literals and `#[cfg(test)]` items are blanks; line breaks are kept.
    pub(crate) shipped: String,
}

/// A path that the code names, such as `std::fs::read`, and its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The path, joined with `::`.
    pub(crate) path: String,
    /// Line, counted from 1.
    pub(crate) line: usize,
}

impl Source {
    /// Prepares one file.
    pub(crate) fn parse(text: &str) -> Self {
        let code = blank_prose(text);
        Self { shipped: blank_tests(&code), code }
    }

    /// Every path with at least one `::` in the shipped code, `use` trees unfolded.
    pub(crate) fn paths(&self) -> Vec<Named> {
        let mut found = Vec::new();
        let mut rest = self.shipped.as_str();
        let mut line = 1;
        while let Some(start) = rest.find(|c: char| c.is_alphabetic() || c == '_') {
            line += newlines(&rest[..start]);
            rest = &rest[start..];
            let word = &rest[..rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())];
            let after = &rest[word.len()..];
            if word == "use" {
                let end = after.find(';').unwrap_or(after.len());
                unfold(&after[..end], "", line, &mut found);
                line += newlines(&after[..end]);
                rest = &after[end..];
                continue;
            }
            let len = path_len(rest);
            if len > word.len() {
                found.push(Named { path: strip_space(&rest[..len]), line });
            }
            line += newlines(&rest[..len]);
            rest = &rest[len..];
        }
        found
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

fn strip_space(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Length of `word(::word)*` at the start of `text`.
fn path_len(text: &str) -> usize {
    let word = |from: usize| text[from..].find(|c: char| !is_word(c)).map_or(text.len(), |n| from + n);
    let mut end = word(0);
    while text[end..].starts_with("::") {
        let next = word(end + 2);
        if next == end + 2 {
            break;
        }
        end = next;
    }
    end
}

/// Adds the leaves of a `use` tree such as `std::{fs, io::{self, Read as R}}`.
fn unfold(tree: &str, prefix: &str, line: usize, found: &mut Vec<Named>) {
    let mut at = line + newlines(&tree[..tree.len() - tree.trim_start().len()]);
    let tree = tree.trim();
    let Some((head, inner)) = tree.split_once('{') else {
        let name = tree.split_whitespace().next().unwrap_or_default();
        let path = match name {
            "self" | "" => prefix.trim_end_matches("::").to_owned(),
            _ => format!("{prefix}{name}"),
        };
        if path.contains("::") {
            found.push(Named { path, line: at });
        }
        return;
    };
    let prefix = format!("{prefix}{}", strip_space(head));
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut start) = (0usize, 0);
    for (i, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let branch = &inner[start..i];
                if !branch.trim().is_empty() {
                    unfold(branch, &prefix, at, found);
                }
                at += newlines(branch);
                start = i + 1;
            }
            _ => {}
        }
    }
}

/// Replaces comments and the insides of string and character literals by blanks.
fn blank_prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let prose = prose_len(rest, out.chars().next_back());
        let (take, blank) = match prose {
            Some(len) => (len, true),
            None => (first.len_utf8(), false),
        };
        for c in rest[..take].chars() {
            out.push(if blank && c != '\n' { ' ' } else { c });
        }
        rest = &rest[take..];
    }
    out
}

/// Length of the comment or literal at the start of `text`, if one is there.
fn prose_len(text: &str, before: Option<char>) -> Option<usize> {
    let upto = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |n| from + n + end.len());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment_len(text));
    }
    if text.starts_with('"') {
        return Some(string_len(text));
    }
    if text.starts_with('r') && !before.is_some_and(|c| is_word(c) && c != 'b') {
        let hashes = text[1..].chars().take_while(|&c| c == '#').count();
        if text[1 + hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            return Some(upto(&close, 2 + hashes));
        }
    }
    if text.starts_with('\'') {
        return char_len(text);
    }
    None
}

fn block_comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return i + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal; a lifetime or a label is none.
fn char_len(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, c) = chars.next()?;
    if c == '\\' {
        let from = chars.next().map(|(i, c)| i + c.len_utf8())?;
        return text[from..].find('\'').map(|n| from + n + 1);
    }
    match chars.next() {
        Some((i, '\'')) => Some(i + 1),
        _ => None,
    }
}

/// Blanks every item under `#[cfg(test)]` (also `#[cfg(all(test, ...))]`), to its closing brace or semicolon.
fn blank_tests(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(found) = out[from..].find("#[cfg(") {
        let start = from + found;
        let attribute = bracket_len(&out[start + 1..], '[', ']') + 1;
        let inside = &out[start..start + attribute];
        from = start + attribute;
        let names_test = inside.split(|c: char| !is_word(c)).any(|w| w == "test") && !inside.contains("not(test");
        if !names_test {
            continue;
        }
        let item = &out[from..];
        let body = item.find(['{', ';']).unwrap_or(item.len());
        let len = match item[body..].starts_with('{') {
            true => body + bracket_len(&item[body..], '{', '}'),
            false => (body + 1).min(item.len()),
        };
        let blank: String = item[..len].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        let tail = item[len..].to_owned();
        out.truncate(from);
        out.push_str(&blank);
        from = out.len();
        out.push_str(&tail);
    }
    out
}

/// Length of the balanced group that `text` begins with.
fn bracket_len(text: &str, open: char, close: char) -> usize {
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return i + c.len_utf8();
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<(String, usize)> {
        Source::parse(text).paths().into_iter().map(|n| (n.path, n.line)).collect()
    }

    #[test]
    fn use_trees_unfold() {
        let found = paths("use std::{\n    fs,\n    io::{self, Read as R},\n};\nfn f() { std::thread::spawn(g); }");
        let want = [("std::fs", 2), ("std::io", 3), ("std::io::Read", 3), ("std::thread::spawn", 5)];
        assert_eq!(found, want.map(|(p, l)| (p.to_owned(), l)));
    }

    #[test]
    fn prose_is_not_code() {
        for text in [
            "// std::fs::read",
            "//! std::fs::read",
            "/* std::fs /* std::net */ std::io */",
            "const A: &str = \"std::fs \\\" std::net\";",
            "const A: &str = r#\"std::fs \" std::net\"#;",
            "const A: char = '\"'; // std::fs",
        ] {
            assert_eq!(paths(text), [], "{text}");
        }
        assert_eq!(paths("fn f<'a>(x: &'a str) { std::fs::read(x) }"), [("std::fs::read".to_owned(), 1)]);
        assert_eq!(paths("let q = '\\''; std::fs::read(q)"), [("std::fs::read".to_owned(), 1)]);
    }

    #[test]
    fn tests_are_not_shipped() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn b() { if true {} }\n}\nfn c() { std::net::x() }\n";
        assert_eq!(paths(text), [("std::net::x".to_owned(), 7)]);
        assert_eq!(paths("#[cfg(test)]\nmod tests;\nuse std::fs;"), [("std::fs".to_owned(), 3)]);
        assert_eq!(paths("#[cfg(not(test))]\nuse std::fs;"), [("std::fs".to_owned(), 2)]);
        assert_eq!(paths("#[cfg(all(test, feature = \"wgpu\"))]\nuse std::fs;"), []);
    }
}
