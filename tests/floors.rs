//! The rooms of `src/`: each folder may use the rooms below it, and none above; what a file may
//! touch is seen from its folder alone. `--nocapture` shows who uses whom.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Component, Path};

use walkdir::WalkDir;

/// The rooms, from the lowest up. Each may use those before it, but for those that stand beside.
const ROOMS: [&str; 11] =
    ["base", "os", "map", "policy", "block", "memory", "heaps", "heap", "groups", "observe", "doors"];

/// Rooms beside the tower: what they may use; and nobody uses them who does not say so here.
const BESIDE: [(&str, &[&str]); 2] =
    [("map", &["base", "os"]), ("heaps", &["base", "os", "policy", "block", "memory", "map"])];

/// Whether a file in the room `from` may use the room `to`.
fn may_use(from: &str, to: &str) -> bool {
    let floor = |name: &str| ROOMS.iter().position(|room| *room == name);
    let beside = |name: &str| BESIDE.iter().find(|(room, _)| *room == name);
    match beside(from) {
        _ if from == to => true,
        Some((_, used)) => used.contains(&to),
        None => beside(to).is_none() && floor(to) < floor(from),
    }
}

/// A piece of a Rust file, as far as paths go.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Colons,
    Other(char),
}

/// `text` in pieces, without comments, strings and characters.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| string(rest)).or_else(|| character(rest));
        let length = if let Some(length) = skipped {
            length
        } else if is_word(first) {
            let length = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..length].to_owned()));
            length
        } else if rest.starts_with("::") {
            tokens.push(Token::Colons);
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Other(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Bytes of the comment that `text` begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut depth = 0;
    let mut at = 0;
    while text.starts_with("/*") && at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Bytes of the string that `text` begins with, be it of bytes, for C, or raw.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let body = text.strip_prefix(prefix).unwrap_or_default();
        let body = if prefix.ends_with('r') { body.trim_start_matches('#') } else { body };
        body.starts_with('"')
    })?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let fences = body.find('"')?;
        let end = format!("\"{}", "#".repeat(fences));
        let length = body[fences + 1..].find(&end)?;
        return Some(prefix.len() + fences + 1 + length + end.len());
    }
    let mut is_escaped = false;
    for (at, byte) in body.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !is_escaped => return Some(prefix.len() + at + 1),
            _ => is_escaped = byte == b'\\' && !is_escaped,
        }
    }
    None
}

/// Bytes of the character that `text` begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let body = text.strip_prefix("b'").or_else(|| text.strip_prefix('\''))?;
    let start = text.len() - body.len();
    let mut characters = body.char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        // The escaped one may be a quote itself.
        let end = body[2..].find('\'')?;
        return Some(start + 2 + end + 1);
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(start + at + 1)
}

/// What `tokens`, those of a file so many modules deep, name in the crate's root: by `crate::` and
/// by `super::` often enough, alone and in groups.
fn named(tokens: &[Token], depth: usize) -> Vec<String> {
    let mut named = Vec::new();
    // The modules that are open, by the depth of their braces.
    let (mut braces, mut modules) = (0_usize, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Other('{') => {
                if at >= 2 && tokens[at - 2] == word("mod") {
                    modules.push(braces);
                }
                braces += 1;
            }
            Token::Other('}') => {
                braces = braces.saturating_sub(1);
                if modules.last() == Some(&braces) {
                    modules.pop();
                }
            }
            Token::Word(first) if !is_inside_path(tokens, at) => {
                let steps = path_to_root(&tokens[at..], first, depth + modules.len());
                if let Some(after) = steps {
                    heads(&tokens[at + after..], &mut named);
                }
            }
            _ => {}
        }
    }
    named
}

fn word(text: &str) -> Token {
    Token::Word(text.to_owned())
}

fn is_inside_path(tokens: &[Token], at: usize) -> bool {
    at > 0 && tokens[at - 1] == Token::Colons
}

/// How many tokens lead to the root, if the path that begins here leads there.
fn path_to_root(tokens: &[Token], first: &str, depth: usize) -> Option<usize> {
    let steps = match first {
        "crate" => 1,
        "super" => {
            let pairs = tokens.chunks(2).take_while(|pair| **pair == [word("super"), Token::Colons]).count();
            if pairs < depth {
                return None;
            }
            return Some(2 * depth);
        }
        _ => return None,
    };
    (tokens.get(steps) == Some(&Token::Colons)).then_some(steps + 1)
}

/// The first names of the paths that begin here: one, or those of a group.
fn heads(tokens: &[Token], named: &mut Vec<String>) {
    match tokens.first() {
        Some(Token::Word(name)) => named.push(name.clone()),
        Some(Token::Other('{')) => {
            let mut depth = 0_usize;
            let mut begins = false;
            for token in tokens {
                match token {
                    Token::Other('{') => {
                        depth += 1;
                        begins = depth == 1;
                    }
                    Token::Other('}') if depth == 1 => return,
                    Token::Other('}') => depth -= 1,
                    Token::Other(',') => begins = depth == 1,
                    Token::Word(name) if begins => {
                        named.push(name.clone());
                        begins = false;
                    }
                    _ => begins = false,
                }
            }
        }
        _ => {}
    }
}

/// What a file uses: its path below `src/`, and what it contains.
type Source = (String, String);

/// Who uses whom, how often.
type Table = BTreeMap<(String, String), usize>;

/// Looks through a tree of sources. Every fault, and the table.
fn look(tree: &[Source]) -> (Vec<String>, Table) {
    let (mut faults, mut table) = (Vec::new(), Table::new());
    for (path, text) in tree.iter().filter(|(path, _)| path != "lib.rs") {
        let Some((room, below)) = path.split_once('/') else {
            faults.push(format!("src/{path} is in no room"));
            continue;
        };
        if !ROOMS.contains(&room) {
            faults.push(format!("src/{path} is in a room that is not listed"));
            continue;
        }
        // `mod.rs` is the folder's own module, and another file one in it.
        let depth = 1 + below.split('/').count() - usize::from(below.ends_with("mod.rs"));
        for used in named(&tokens(text), depth) {
            if !ROOMS.contains(&used.as_str()) {
                faults.push(format!("src/{path} uses crate::{used}, which is no room"));
            } else if !may_use(room, &used) {
                faults.push(format!("src/{path} uses crate::{used}, which is not below {room}"));
            }
            *table.entry((room.to_owned(), used)).or_default() += 1;
        }
    }
    (faults, table)
}

/// Who uses whom: a row a room, from the top down, a column for each room it may use.
fn show(table: &Table) -> String {
    let mut text = format!("{:>9}", "uses");
    ROOMS.iter().for_each(|room| _ = write!(text, " {room:>8}"));
    for from in ROOMS.iter().rev() {
        _ = write!(text, "\n{from:>9}");
        for to in ROOMS {
            match table.get(&((*from).to_owned(), to.to_owned())) {
                Some(times) => _ = write!(text, " {times:>8}"),
                None => _ = write!(text, " {:>8}", if may_use(from, to) { "." } else { "" }),
            }
        }
    }
    text
}

/// The rooms in the first column of the table of rooms in `text`: the one below a head that begins
/// with `floor` or `room`.
fn rooms_in(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    let rows = lines.skip_while(|line| !["| floor |", "| room |"].iter().any(|head| line.starts_with(head)));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|')).filter(|line| !line.starts_with("| -"));
    rows.filter_map(|row| {
        let cell = row.split('|').nth(1)?;
        let name = cell.split('`').nth(1).unwrap_or(cell.trim());
        Some(name.trim_start_matches("src/").trim_end_matches('/'))
    })
    .collect()
}

/// Whether that is [`ROOMS`], from below or from above.
fn are_the_rooms(listed: &[&str]) -> bool {
    listed.iter().eq(&ROOMS) || listed.iter().eq(ROOMS.iter().rev())
}

/// The sources as they are.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = WalkDir::new(&root).sort_by_file_name().into_iter();
    let files = entries.map(|entry| entry.expect("src/ can be read").into_path());
    files
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| {
            let below = path.strip_prefix(&root).expect("it is below");
            let names = below.components().map(|component| match component {
                Component::Normal(name) => name.to_str().expect("a plain name"),
                other => panic!("{other:?} in a path"),
            });
            (names.collect::<Vec<_>>().join("/"), fs::read_to_string(&path).expect("a source can be read"))
        })
        .collect()
}

#[test]
fn no_room_uses_one_above_it() {
    let (faults, table) = look(&sources());
    println!("{}", show(&table));
    assert!(faults.is_empty(), "{faults:#?}");
    // Or else the sources are not read right.
    assert!(table.values().sum::<usize>() > 300 && table.contains_key(&("doors".into(), "heap".into())));
}

#[test]
fn every_room_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for room in ROOMS {
        assert!(root.join(room).join("mod.rs").exists(), "src/{room}/ is missing");
    }
}

#[test]
fn the_maps_list_the_rooms_in_their_order() {
    for file in ["src/lib.rs", "ALLOCATOR.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("it is there");
        let listed = rooms_in(&text);
        assert!(are_the_rooms(&listed), "{file} lists {listed:?}");
    }
}

// ---- that it would be seen ----

fn tree(files: &[(&str, &str)]) -> Vec<Source> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn faults(files: &[(&str, &str)]) -> Vec<String> {
    look(&tree(files)).0
}

const GOOD: [(&str, &str); 6] = [
    ("lib.rs", "mod base; mod os; pub use crate::observe::stats;"),
    ("base/mod.rs", "pub(crate) mod address;"),
    ("os/mod.rs", "use crate::base::address;\nmod memory;"),
    ("os/memory.rs", "use super::lock; use crate::{base::{address, text}, os::errno};"),
    ("map/file.rs", "fn map() { crate::os::memory::map(crate::base::PAGE) }"),
    (
        "heaps/mod.rs",
        "use crate::{map, memory::chunk};\nmod tests { use super::super::block; use super::x; }",
    ),
];

#[test]
fn a_good_tree_has_no_fault_and_a_table() {
    let (faults, table) = look(&tree(&GOOD));
    assert!(faults.is_empty(), "{faults:#?}");
    let row = |from: &str, to: &str| table.get(&(from.to_owned(), to.to_owned())).copied();
    assert_eq!((row("os", "base"), row("os", "os"), row("map", "os")), (Some(2), Some(1), Some(1)));
    assert_eq!(
        (row("heaps", "map"), row("heaps", "memory"), row("heaps", "block")),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!(table.len(), 7, "{table:?}");
    assert_eq!(show(&table).lines().count(), 1 + ROOMS.len());
}

#[test]
fn an_arrow_upwards_would_be_seen() {
    for (path, text) in [
        ("base/mod.rs", "use crate::os::memory;"),
        ("base/mod.rs", "use super::os;"),
        ("base/mod.rs", "mod tests { use super::super::os; }"),
        ("base/a.rs", "use super::super::{base::x, os};"),
        ("policy/limit.rs", "fn f() { crate::observe::count() }"),
        ("block/link.rs", "use crate::{base, heap::{self, bins}};"),
        ("memory/depot/purge.rs", "pub(in crate::heap) fn f() {}"),
        ("memory/depot/purge.rs", "use super::super::super::doors::free;"),
        ("heap/lists.rs", "#[cfg(test)] mod tests { use crate::doors::purge; }"),
        ("heap/lists.rs", "let c = '\"'; crate::doors::purge(); let d = '\"';"),
        ("map/mod.rs", "use crate::policy::huge;"),
        ("memory/mod.rs", "use crate::map::Mapping;"),
        ("heaps/mod.rs", "use crate::heap;"),
        ("observe/mod.rs", "use crate::heaps::Heap;"),
    ] {
        let faults = faults(&[(path, text)]);
        assert_eq!(faults.len(), 1, "{path}: {text}: {faults:?}");
        assert!(faults[0].contains("which is not below"), "{faults:?}");
    }
}

#[test]
fn a_room_that_is_not_listed_would_be_seen() {
    assert_eq!(faults(&[("cellar/mod.rs", "")]), ["src/cellar/mod.rs is in a room that is not listed"]);
    assert_eq!(faults(&[("slab.rs", "")]), ["src/slab.rs is in no room"]);
    let exported = faults(&[("doors/free.rs", "use crate::{Freestone, heap};")]);
    assert_eq!(exported, ["src/doors/free.rs uses crate::Freestone, which is no room"]);
}

#[test]
fn comments_strings_and_characters_are_not_read() {
    let text = r##"
        // use crate::doors;
        /// [`crate::doors::free`]
        /* crate::doors /* crate::doors */ crate::doors */
        const TEXT: &str = "crate::doors \" crate::doors";
        const RAW: &[u8] = br#"crate::doors " crate::doors"#;
        fn f<'a>(x: &'a str) -> char { if x == "'" { '\'' } else { '\u{41}' } }
        use crate::base::address;
    "##;
    let (faults, table) = look(&tree(&[("os/mod.rs", text)]));
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(table.into_iter().collect::<Vec<_>>(), [(("os".to_owned(), "base".to_owned()), 1)]);
}

#[test]
fn a_map_in_another_order_would_be_seen() {
    let map = |rooms: &[&str]| {
        let rows: Vec<String> =
            rooms.iter().map(|room| format!("//! | [`{room}`](mod@{room}) | it |")).collect();
        format!(
            "//! A word.\n//!\n//! | room | what it is |\n//! | --- | --- |\n{}\n//!\n//! | `x` | y |",
            rows.join("\n")
        )
    };
    assert!(are_the_rooms(&rooms_in(&map(&ROOMS))));
    let mut rooms = ROOMS;
    rooms.reverse();
    assert!(are_the_rooms(&rooms_in(&map(&rooms))));
    rooms.swap(3, 4);
    assert!(!are_the_rooms(&rooms_in(&map(&rooms))));
    assert!(!are_the_rooms(&rooms_in(&map(&ROOMS[1..]))) && !are_the_rooms(&rooms_in("no map")));
    assert_eq!(rooms_in("| floor | x |\n| --- | --- |\n| `src/base/` | y |\n| os | z |\n"), ["base", "os"]);
}
