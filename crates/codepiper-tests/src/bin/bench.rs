//! The bench as a program; `cargo xtask bench` builds what it needs and starts it.

use codepiper_tests::bench;

fn main() -> anyhow::Result<()> {
    bench::run(std::env::args().skip(1))
}
