//! How the binary is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |key: &str, wanted: &str| std::env::var(key).is_ok_and(|value| value == wanted);
    // Two processes of ours stand beside every pane and one runs for every hook. A program that can be loaded anywhere
    // writes 400 KB of addresses at each start and shares none of it: at a fixed place, ten sessions take 8 MB less and
    // a hook is a fifth quicker (`cargo xtask bench idle hook`). Stack, heap and libraries stay at random places.
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
