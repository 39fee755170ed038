//! Link options of the shared library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    for option in [
        // Threads end in it, so it is never unloaded.
        "-Wl,-z,nodelete",
        // Its constructor runs before all others, so that no code of the program comes before.
        "-Wl,-z,initfirst",
        // Every symbol is bound at load time: a lazy binding on an early call would allocate.
        "-Wl,-z,now",
        "-Wl,-soname,libfreestone_trace_preload.so",
    ] {
        println!("cargo::rustc-cdylib-link-arg={option}");
    }
}
