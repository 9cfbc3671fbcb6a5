//! The method's crate reads no files, knows no clock, draws no hidden random numbers and prints nothing. Its
//! dependencies can't show that, since the standard library offers all of it; so its text is searched.
//!
//! The search blanks comments and strings, and then compares whole words and paths. It doesn't follow a module that
//! is imported under another name (`use std as s`), nor macros.

use crate::lengths::{read, rust_files};
use anyhow::Result;
use std::path::Path;

/// Modules of the standard library that reach the world outside.
const MODULES: [&str; 5] = ["fs", "net", "time", "env", "process"];

/// Names that give away a clock or a hidden random generator.
const WORDS: [&str; 6] = ["SystemTime", "Instant", "thread_rng", "ThreadRng", "OsRng", "SysRng"];

/// Macros that print.
const MACROS: [&str; 5] = ["println", "eprintln", "print", "eprint", "dbg"];

/// What the search found.
pub struct Scan {
    /// One line per offence.
    pub errors: Vec<String>,
    /// How many files were searched.
    pub files: usize,
}

/// Searches every Rust file below `source`.
pub fn check(source: &Path) -> Result<Scan> {
    let files = rust_files(source)?;
    let mut errors = Vec::new();
    for file in &files {
        let shown = file.strip_prefix(source).unwrap_or(file).display();
        errors.extend(offences(&read(file)?).into_iter().map(|(line, found)| {
            format!(
                "shapeguard-core/src/{shown}:{line}: `{found}`; the method reads no files or clock, draws no hidden random \
                 numbers and prints nothing: let the caller pass in what is needed"
            )
        }));
    }
    Ok(Scan { errors, files: files.len() })
}

/// Line numbers from 1 and what stands there, in the order of the text.
fn offences(text: &str) -> Vec<(usize, String)> {
    let tokens = tokens(&blank_comments_and_strings(text));
    let mut found = Vec::new();
    for (at, (line, token)) in tokens.iter().enumerate() {
        let after = |offset: usize| tokens.get(at + offset).map_or("", |(_, token)| token.as_str());
        if token == "std" && after(1) == "::" {
            found.extend(
                std_modules(&tokens[at + 2..]).into_iter().map(|(line, module)| (line, format!("std::{module}"))),
            );
        } else if token == "rand" && after(1) == "::" && after(2) == "rng" {
            found.push((*line, "rand::rng".to_owned()));
        } else if WORDS.contains(&token.as_str()) {
            found.push((*line, token.clone()));
        } else if MACROS.contains(&token.as_str()) && after(1) == "!" {
            found.push((*line, format!("{token}!")));
        }
    }
    found
}

/// The forbidden modules among what follows `std::`: one path, or the first segments of a group in braces.
fn std_modules(tokens: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut depth, mut first) = (0_usize, true);
    for (line, token) in tokens {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            "," => first = depth == 1,
            name => {
                if first && MODULES.contains(&name) {
                    found.push((*line, name.to_owned()));
                }
                first = false;
            }
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// Words, `::` and single punctuation marks with the line that each stands on.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let mut tokens: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            let length = if word > 0 {
                word
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push((index + 1, rest[..length].to_owned()));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// The text with every comment, string and character literal replaced by blanks; line ends stay where they were.
fn blank_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let follows_a_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            quoted(rest, 1, '"')
        } else if first == 'r' && !follows_a_word && raw_string(rest).is_some() {
            raw_string(rest).unwrap_or(1)
        } else if first == '\'' && is_char_literal(rest) {
            quoted(rest, 1, '\'')
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    out
}

/// The length of the (nested) block comment that `text` begins with.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the literal that ends with an unescaped `end`, counted from the beginning of `text`.
fn quoted(text: &str, start: usize, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in text[start..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return start + at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of the raw string that `text` begins with, if it does.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    let body = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len()))
}

/// Tells `'x'` and `'\n'` from a lifetime.
fn is_char_literal(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    let first = characters.next();
    first == Some('\\') || characters.next() == Some('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        offences(text).into_iter().map(|(line, what)| format!("{line} {what}")).collect()
    }

    #[test]
    fn forbidden_modules_names_and_macros_are_found_with_their_line() {
        assert_eq!(found("use std::fs;\nlet x = std::net::TcpStream::connect;"), ["1 std::fs", "2 std::net"]);
        assert_eq!(found("use std::{\n    fmt,\n    time::Duration,\n    fs as f,\n};"), ["3 std::time", "4 std::fs"]);
        assert_eq!(found("let t = Instant::now();\nSystemTime::now()"), ["1 Instant", "2 SystemTime"]);
        assert_eq!(found("println!(\"a\");\neprintln ! (\"b\"); dbg!(1)"), ["1 println!", "2 eprintln!", "2 dbg!"]);
        assert_eq!(found("rand::thread_rng();\nrand::rng()"), ["1 thread_rng", "2 rand::rng"]);
        assert_eq!(found("f(std :: fs :: read)"), ["1 std::fs"]);
    }

    #[test]
    fn words_that_merely_contain_them_and_other_modules_pass() {
        let innocent = "use std::collections::HashMap;\nuse std::{cmp::Ordering, fmt::{self, time}};\n\
                        let instantiate = fingerprint; struct Instantiation; crate::time::f(); my::fs::g(); print(x);\n\
                        (std::f32::consts::PI, fs, net); rand::rngs::StdRng::from(seed)";
        assert_eq!(found(innocent), Vec::<String>::new());
    }

    #[test]
    fn comments_and_strings_are_not_searched() {
        let text = "// std::fs\n/* std::net /* nested */ Instant\n*/ //! println!\nlet s = \"std::time // \\\" Instant\";\n\
                    let r = r#\"Instant \" \"#; let c = ('\"', '\\'', 'x'); fn f<'a>(x: &'a str) {}\nstd::fs::read(p)";
        assert_eq!(found(text), ["6 std::fs"]);
    }

    #[test]
    fn unfinished_text_ends_the_search_without_a_panic() {
        for text in ["/* std::fs", "\"std::fs", "r##\"std::fs", "'\\", "std::", "std::{", "é\"ü"] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn files_below_the_folder_are_searched_and_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("memory")).unwrap();
        std::fs::write(folder.path().join("lib.rs"), "//! Clean.\n").unwrap();
        std::fs::write(folder.path().join("memory/bank.rs"), "\nuse std::fs;\n").unwrap();
        let scan = check(folder.path()).unwrap();
        assert_eq!((scan.files, scan.errors.len()), (2, 1));
        assert!(scan.errors[0].contains("memory/bank.rs:2: `std::fs`"), "{}", scan.errors[0]);
    }
}
