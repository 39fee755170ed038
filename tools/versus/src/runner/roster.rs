//! Who is measured.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cli::Mode;

/// Name of the allocator that everything is about.
pub(crate) const SUBJECT: &str = "freestone";

/// Name of its byte-identical copy.
pub(crate) const COPY: &str = "self";

/// What an allocator is in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    /// The allocator that everything is about.
    Subject,
    /// One that it is measured against.
    Peer,
    /// What next to no allocator costs. Shown, not ranked.
    Floor,
    /// The subject under another name or at another time. Shown, not ranked.
    Copy,
}

/// Where a binary comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Built here; with this feature of the tool where the peer needs one.
    Build {
        feature: Option<&'static str>,
        /// The packages whose versions say which allocator it is.
        packages: &'static [&'static str],
    },
    /// A copy of the subject's binary, byte for byte.
    Copy,
    /// Built earlier.
    Path(PathBuf),
}

/// An allocator that can be measured.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) source: Source,
}

/// Every allocator the tool can build: name, role, feature, packages.
type Known = (&'static str, Role, Option<&'static str>, &'static [&'static str]);

const KNOWN: [Known; 9] = [
    (SUBJECT, Role::Subject, None, &["freestone"]),
    ("system", Role::Peer, None, &[]),
    ("mimalloc", Role::Peer, Some("mimalloc"), &["mimalloc", "libmimalloc-sys"]),
    ("jemalloc", Role::Peer, Some("jemalloc"), &["tikv-jemallocator", "tikv-jemalloc-sys"]),
    ("snmalloc", Role::Peer, Some("snmalloc"), &["snmalloc-rs"]),
    ("rpmalloc", Role::Peer, Some("rpmalloc"), &["rpmalloc-sys"]),
    ("rusty_alloc", Role::Peer, Some("rusty_alloc"), &["rusty_alloc-api"]),
    ("sefer_alloc", Role::Peer, Some("sefer_alloc"), &["sefer-alloc"]),
    ("bump", Role::Floor, None, &[]),
];

fn known() -> impl Iterator<Item = Candidate> {
    KNOWN.into_iter().map(|(name, role, feature, packages)| Candidate {
        name: name.to_owned(),
        role,
        source: Source::Build { feature, packages },
    })
}

fn copy() -> Candidate {
    Candidate { name: COPY.to_owned(), role: Role::Copy, source: Source::Copy }
}

/// The allocators to measure, the subject first: those asked for, or all. A full
/// run has the copy too, for the noise floor.
pub(crate) fn choose(asked: &[String], mode: Mode) -> Result<Vec<Candidate>, String> {
    let mut chosen: Vec<Candidate> = known().take(1).collect();
    if asked.is_empty() {
        chosen.extend(known().skip(1));
        if mode == Mode::Full {
            chosen.push(copy());
        }
        return Ok(chosen);
    }
    for name in asked {
        let candidate = candidate(name)?;
        if chosen.iter().all(|other| other.name != candidate.name) {
            chosen.push(candidate);
        }
    }
    Ok(chosen)
}

fn candidate(name: &str) -> Result<Candidate, String> {
    if name == COPY {
        return Ok(copy());
    }
    if let Some((name, path)) = name.split_once('=') {
        let path = PathBuf::from(path);
        if !path.is_file() {
            return Err(format!("no binary for {name} at {}", path.display()));
        }
        return Ok(Candidate { name: name.to_owned(), role: Role::Copy, source: Source::Path(path) });
    }
    known().find(|candidate| candidate.name == name).ok_or_else(|| {
        let names: Vec<&str> = KNOWN.iter().map(|known| known.0).collect();
        format!("no peer is called '{name}'; there are {}, {COPY}", names.join(", "))
    })
}
