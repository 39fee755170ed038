//! A trace compiled for replay: each thread's operations as an array that is read as it lies, so
//! that whoever replays it decodes nothing and asks its allocator for nothing else.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `compile` | steps to a script: slots, and what waits for what |
//! | `layout` | the script's bytes |
//! | `replay` | a script done by the calling process |
//! | `threads` | threads that are started without asking the allocator |

mod compile;
mod layout;
mod replay;
mod threads;

use std::str::FromStr;

pub use compile::compile;
pub use layout::Script;
pub use replay::{Stage, Totals};

/// How much of each block a replay writes, and reads before the free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// Nothing.
    None,
    /// The first cache line.
    First,
    /// All of it.
    All,
}

impl Touch {
    /// Its name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::First => "first",
            Self::All => "all",
        }
    }
}

impl FromStr for Touch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::None, Self::First, Self::All]
            .into_iter()
            .find(|touch| touch.name() == text)
            .ok_or_else(|| "how much is touched is none, first or all".to_owned())
    }
}
