//! Emitted packages on the host against the golden interpreter, byte for byte.

mod common;

use bitesize_ir::memory::ram;
use common::compiler::{check_on_host, write_package};
use common::networks::{Drawn, drawn, harden};

fn check(name: &str, drawn: &mut Drawn, seed: u64, flags: &[&str]) {
    harden(&mut drawn.integer, seed);
    drawn.integer.verify().unwrap_or_else(|problem| panic!("{name}: {problem}"));
    let plan = ram(&drawn.network, &drawn.widths, &common::costs()).plan;
    let folder = write_package(name, &drawn.integer, &plan, seed);
    check_on_host(&folder, flags);
}

#[test]
fn networks_drawn_at_random_give_the_interpreters_bytes() {
    for seed in 0..24 {
        let flags = ["-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"];
        check(&format!("drawn-{seed}"), &mut drawn(seed, 8), seed, &flags);
    }
}
