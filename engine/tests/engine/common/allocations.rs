//! How much a piece of code allocates. A test takes this file in by its path, and has its allocator with it.

// The one thing that cannot be measured without it.
#![allow(unsafe_code, unreachable_pub, dead_code, reason = "a test is no library and takes what it needs")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what the current thread allocates.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: the system allocator does the work; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|bytes| bytes.set(bytes.get() + layout.size()));
        let held = HELD.try_with(|held| {
            held.set(held.get() + layout.size() as isize);
            held.get()
        });
        let _ = MOST.try_with(|most| most.set(most.get().max(held.unwrap_or(0))));
        // SAFETY: the system allocator's contract is the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get() - layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that something took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// All of them, also those that were given back meanwhile.
    pub allocated: usize,
    /// The most that were held at one time.
    pub peak: usize,
}

/// Does something and tells what it took.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (allocated, held) = (ALLOCATED.get(), HELD.get());
    MOST.set(held);
    let result = work();
    let peak = usize::try_from(MOST.get() - held).unwrap_or(0);
    (result, Cost { allocated: ALLOCATED.get() - allocated, peak })
}
