//! Which kernels a run has: asked for, settled by the budget, kept when it is gone on with.

use super::{Example, fit_args, report, run, scratch, unproven};
use std::path::Path;

/// What a run of `args` in `out` says of its kernels, and its bytes of FLASH and RAM.
fn kernels_of(out: &str) -> (String, u64, u64) {
    let report = report(out);
    let bytes = |what: &str| report[what]["total"].as_u64().expect("bytes");
    (report["target"]["kernels"].as_str().expect("a name").into(), bytes("flash"), bytes("ram"))
}

#[test]
fn fast_where_they_cost_nothing_small_where_memory_is_short() {
    let example = Example::new();
    let of = |more: &[&str]| {
        let (_folder, out) = scratch();
        unproven(&fit_args(&out, &example, more)).expect(0, &[]);
        // The settings keep what is not the default.
        let config = std::fs::read_to_string(Path::new(&out).join("config.toml")).unwrap();
        let (name, ..) = kernels_of(&out);
        assert_eq!(config.contains("kernels = \"small\""), name == "small", "{config}");
        name
    };
    // Uniform 8 bits fits with the fast ones; with the small ones only; with neither, where the fast ones take too much.
    assert_eq!(of(&["--flash", "200KiB", "--ram", "64KiB"]), "fast");
    assert_eq!(of(&["--flash", "69KiB", "--ram", "64KiB"]), "small");
    let tight = ["--flash", "48KiB", "--ram", "12KiB", "--episodes", "2"];
    assert_eq!(of(&tight), "small");
    assert_eq!(of(&[&tight[..], &["--kernels", "fast"]].concat()), "fast");
    assert_eq!(of(&["--flash", "200KiB", "--ram", "64KiB", "--kernels", "small"]), "small");
}

#[test]
fn small_kernels_take_less_and_a_search_goes_on_with_its_own() {
    let example = Example::new();
    let (_fast_folder, fast) = scratch();
    let (_small_folder, small) = scratch();
    let limits = ["--flash", "200KiB", "--ram", "64KiB", "--policy", "4/8"];
    unproven(&fit_args(&fast, &example, &limits)).expect(0, &[]);
    unproven(&fit_args(&small, &example, &[&limits[..], &["--kernels", "small"]].concat())).expect(0, &[]);
    let [(fast_name, fast_flash, fast_ram), (small_name, small_flash, small_ram)] =
        [&fast, &small].map(|out| kernels_of(out));
    assert_eq!((fast_name.as_str(), small_name.as_str()), ("fast", "small"));
    assert!(small_flash < fast_flash && small_ram < fast_ram, "{small_flash} {fast_flash} {small_ram} {fast_ram}");
    run(&["search", &small, "--resume", "--kernels", "fast"]).expect(2, &["begun with the small kernels"]);
    run(&["search", &small, "--resume", "--flash", "200KiB", "--ram", "64KiB"]).expect(0, &["nothing to do"]);
}

#[test]
fn a_core_without_fast_kernels_says_so() {
    let example = Example::new();
    let (_folder, out) = scratch();
    let limits = ["--flash", "200KiB", "--ram", "64KiB", "--core", "cortex-m0plus", "--kernels", "fast"];
    run(&fit_args(&out, &example, &limits)).expect(2, &["cortex-m0plus", "no fast kernels"]);
}
