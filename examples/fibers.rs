//! Fibers that sleep on one thread and wake on another, in a shared library with an allocator of
//! its own: see `tests/fibers.rs`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::collections::VecDeque;
use std::ffi::{c_int, c_uint, c_void};
use std::hint::black_box;
use std::sync::Mutex;
use std::thread;

#[global_allocator]
static ALLOC: freestone::Freestone = freestone::Freestone::new();

const FIBERS: usize = 32;
const THREADS: usize = 4;
const STACK_BYTES: usize = 64 << 10;

/// Longer than `ucontext_t` of any C library (glibc's on x86-64 has 968 bytes, on aarch64 4,560).
#[repr(C, align(16))]
struct Context([u8; 8 << 10]);

unsafe extern "C" {
    fn getcontext(context: *mut Context) -> c_int;
    fn makecontext(context: *mut Context, start: extern "C" fn(), arguments: c_int, ...);
    fn swapcontext(from: *mut Context, to: *const Context) -> c_int;
}

struct Fiber {
    context: Context,
    /// Context of the thread that runs the fiber, while one does.
    thread: *mut Context,
    rounds: c_uint,
    sum: u64,
    stack: Vec<u8>,
}

// SAFETY: a fiber is with one thread at a time, which takes it out of the queue.
unsafe impl Send for Fiber {}

/// Where `uc_stack` lies in glibc's `ucontext_t`, on 64-bit machines: behind the flags and
/// `uc_link`.
const STACK_OFFSET: usize = 16;

/// What a context says of its stack: `stack_t` of sigaltstack(2).
#[repr(C)]
struct Stack {
    start: *mut c_void,
    flags: c_int,
    bytes: usize,
}

impl Fiber {
    fn new(rounds: c_uint) -> Box<Self> {
        let mut fiber = Box::new(Self {
            context: Context([0; 8 << 10]),
            thread: std::ptr::null_mut(),
            rounds,
            sum: 0,
            stack: vec![0; STACK_BYTES],
        });
        let stack = Stack { start: fiber.stack.as_mut_ptr().cast(), flags: 0, bytes: STACK_BYTES };
        let address = (&raw mut *fiber).expose_provenance();
        // SAFETY: the context is long enough and stays where it is, in a box, as does the stack.
        // Its start takes the fiber's address as two halves, since makecontext(3) passes numbers of
        // `int`.
        unsafe {
            assert_eq!(getcontext(&raw mut fiber.context), 0);
            (&raw mut fiber.context).byte_add(STACK_OFFSET).cast::<Stack>().write(stack);
            let start = std::mem::transmute::<extern "C" fn(c_uint, c_uint), extern "C" fn()>(start);
            makecontext(&raw mut fiber.context, start, 2, address as c_uint, (address >> 32) as c_uint);
        }
        fiber
    }

    /// Lets the calling thread run the fiber until it sleeps.
    fn run(&mut self) {
        let mut thread = Box::new(Context([0; 8 << 10]));
        self.thread = &raw mut *thread;
        // SAFETY: the fiber sleeps in its context or begins there, and wakes this one.
        assert_eq!(unsafe { swapcontext(self.thread, &raw const self.context) }, 0);
    }
}

extern "C" fn start(low: c_uint, high: c_uint) {
    let address = low as usize | (high as usize) << 32;
    let fiber = std::ptr::with_exposed_provenance_mut::<Fiber>(address);
    // SAFETY: the fiber is boxed and outlives its run; the thread that runs it waits meanwhile.
    unsafe { work(fiber) };
}

/// Allocates and frees on both sides of each switch, in one function: what the compiler keeps over
/// the switch is the other thread's.
///
/// # Safety
/// Called on the fiber's stack.
#[inline(never)]
unsafe fn work(fiber: *mut Fiber) {
    // SAFETY: the caller runs on this fiber's stack, so it lives; `thread` is the context of
    // whoever runs it.
    unsafe {
        for round in 0..(*fiber).rounds {
            let before = black_box(Box::new(u64::from(round)));
            let pair = black_box(Box::new([u64::from(round); 3]));
            swapcontext(&raw mut (*fiber).context, (*fiber).thread);
            (*fiber).sum += *before + pair[1];
            drop(before);
            let after = black_box(Box::new([1_u64; 3]));
            (*fiber).sum += after[2];
            drop(pair);
            drop(after);
        }
        (*fiber).rounds = 0;
        loop {
            swapcontext(&raw mut (*fiber).context, (*fiber).thread);
        }
    }
}

/// Lets fibers of so many rounds wander over some threads, and says what they have summed up.
#[unsafe(no_mangle)]
pub extern "C" fn fibers_work(rounds: c_uint) -> u64 {
    let waiting: Mutex<VecDeque<Box<Fiber>>> = Mutex::new((0..FIBERS).map(|_| Fiber::new(rounds)).collect());
    let next = || waiting.lock().expect("nobody panics").pop_front();
    let run = || {
        let mut sum = 0;
        while let Some(mut fiber) = next() {
            fiber.run();
            if fiber.rounds == 0 {
                sum += fiber.sum;
            } else {
                waiting.lock().expect("nobody panics").push_back(fiber);
            }
        }
        sum
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread ends")).sum()
    })
}
