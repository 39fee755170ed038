//! Blocks that are freed, and memory that is asked for, while a thread is being torn down:
//! in the destructors of thread-locals, and in each round of those of pthread keys, the last
//! of which runs when the allocator has ended its own part of the thread.

use std::alloc::Layout;
use std::cell::RefCell;
use std::ffi::c_void;
use std::sync::OnceLock;

use crate::block::{Block, Fresh};
use crate::failure::{self, Damage, Witness};
use crate::limits;
use crate::run;
use crate::timing::Untimed;

/// What a thread leaves to its own end.
struct Will {
    witness: Witness,
    blocks: Vec<Block>,
    /// Rounds of key destructors that have run.
    rounds: usize,
}

thread_local! {
    static LOCAL: RefCell<Option<Will>> = const { RefCell::new(None) };
}

static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();

/// Rounds that glibc and musl run, at most (PTHREAD_DESTRUCTOR_ITERATIONS).
const ROUNDS: usize = 4;

/// Makes the key. Once, before any thread.
pub(crate) fn prepare() {
    KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: `key` is writable for the call; the destructor takes what is set below.
        unsafe { libc::pthread_key_create(&raw mut key, Some(key_round)) };
        key
    });
}

/// Leaves a block to the destructor of a thread-local.
pub(crate) fn leave_to_local(witness: Witness, block: Block) {
    // glibc notes the destructor at the first use, and aborts where its own allocator refuses.
    limits::exempt(|| LOCAL.with_borrow_mut(|_| ()));
    LOCAL.with_borrow_mut(|will| {
        will.get_or_insert_with(|| Will { witness, blocks: Vec::new(), rounds: 0 }).blocks.push(block);
    });
}

/// Leaves a block to the rounds of a key's destructor.
pub(crate) fn leave_to_key(witness: Witness, block: Block) {
    let Some(&key) = KEY.get() else { return leave_to_local(witness, block) };
    // SAFETY: the key was made by `prepare`; its value is null or a will of this thread.
    let mut will = unsafe { libc::pthread_getspecific(key) }.cast::<Will>();
    if will.is_null() {
        will = Box::into_raw(Box::new(Will { witness, blocks: Vec::new(), rounds: 0 }));
        // SAFETY: as above.
        unsafe { libc::pthread_setspecific(key, will.cast()) };
    }
    // SAFETY: the will is this thread's, and nobody else's reference to it is alive.
    unsafe { &mut *will }.blocks.push(block);
}

impl Will {
    /// Frees one block, and asks for one and frees it.
    fn carry_out(&mut self) {
        let done = self.blocks.pop().map_or(Ok(()), free).and_then(|()| {
            let layout = Layout::new::<[u64; 5]>();
            Block::allocate(layout, self.rounds as u64, Fresh::Any, &mut Untimed)?
                .map_or(Ok(0), |block| block.free(&mut Untimed))
                .map(drop)
        });
        if let Err(damage) = done {
            failure::report(&damage, Witness { doing: "the end of a thread", ..self.witness });
        }
    }
}

impl Drop for Will {
    fn drop(&mut self) {
        while !self.blocks.is_empty() {
            self.carry_out();
        }
    }
}

fn free(block: Block) -> Result<(), Damage> {
    let bytes = block.free(&mut Untimed)?;
    if let Some(run) = run::current() {
        run.release(bytes);
    }
    Ok(())
}

/// One round: frees a block, and comes back in the next as long as there is one.
unsafe extern "C" fn key_round(will: *mut c_void) {
    // SAFETY: the key's value is a will that `leave_to_key` made for this thread.
    let mut will = unsafe { Box::from_raw(will.cast::<Will>()) };
    will.carry_out();
    will.rounds += 1;
    if will.rounds < ROUNDS
        && let Some(&key) = KEY.get()
    {
        // SAFETY: the key exists; the next round takes the box again.
        unsafe { libc::pthread_setspecific(key, Box::into_raw(will).cast_const().cast()) };
    } else {
        drop(will);
    }
}
