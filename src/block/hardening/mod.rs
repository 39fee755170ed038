//! What the `secure` feature adds to the life of a block. Without it everything here is nothing.
//!
//! | step | [`on`](self) | off |
//! | --- | --- | --- |
//! | [`route`], [`inline_class`] | eight bytes more, for the block's *seal* | as `size_class` says |
//! | [`issue`], [`dress`] | what was freed is still zero; the seal says how many bytes were asked for | the block as it is |
//! | [`Key`] | a secret of the block's address that is written nowhere; seal and link are made with two hashes of it | nothing |
//! | [`diagnose`] | the seals of the block and of the one before it | nothing to see |
//! | [`accepts`] | the same, and in one step the seal says *free* | nothing to see |
//! | [`retire`] | zeroes | nothing |
//! | [`is_marked`], [`is_listed`] | nothing: the seal tells | the second word looks like a free block's; the block is on its list |
//! | [`renew`] | a mapping that is used again begins with zeroes | nothing |
//! | [`Link`] | encoded with the key of the block where it lies | a pointer |
//! | [`Freed`] | blocks wait until the slab has no others | blocks are handed out again at once |

#[cfg(feature = "secure")]
mod nothing;
#[cfg(feature = "secure")]
mod on;
#[cfg(feature = "secure")]
mod seal;
#[cfg(feature = "secure")]
mod secret;
#[cfg(feature = "secure")]
pub(crate) use on::*;

#[cfg(not(feature = "secure"))]
mod off;
#[cfg(not(feature = "secure"))]
pub(crate) use off::*;
