//! Packages whose layers take turns, and whose input is pushed row by row, against the golden interpreter, byte for byte.

mod common;

use bitesize_codegen::{EmitOptions, emit};
use bitesize_ir::BitWidth;
use bitesize_ir::memory::{ChainStep, InputRows, MemoryPlan, PlannedSegment, ram};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{Shape, TensorId};
use common::compiler::{SOURCES, WARNINGS, check_on_host, installed, run, write_package};
use common::networks::{Draw, Drawn, drawn, every_kernel, harden, mobile};
use common::plans::{rolling, runs};

const SANITIZED: [&str; 3] = ["-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"];

/// Checks the network with chains over its runs of layers, each cut at `cut`: by kernels of its widths and by rows, its input an
/// image and pushed.
fn check(name: &str, mut drawn: Drawn, seed: u64, cut: f64) {
    harden(&mut drawn.integer, seed);
    let chains = runs(&drawn, cut);
    for (core, how) in common::both_costs().iter().zip(["whole", "rows"]) {
        for input in InputRows::ALL {
            let plan = rolling(&drawn, core, &chains, input);
            let folder = write_package(&format!("rolling-{name}-{how}-{input:?}"), &drawn.integer, &plan, seed);
            check_on_host(&folder, &SANITIZED);
        }
    }
}

#[test]
fn networks_drawn_at_random_roll() {
    for seed in 0..8 {
        check(&format!("drawn-{seed}"), drawn(seed + 40, 9), seed, [0.0, 0.5, 0.7][seed as usize % 3]);
    }
}

#[test]
fn every_kernel_rolls() {
    let [narrow, middle, wide] = BitWidth::ALL;
    for (input, second) in [(narrow, wide), (middle, narrow), (wide, middle), (wide, wide)] {
        check(&format!("every-{input}-{second}"), every_kernel(input, second), 1, 0.4);
    }
}

#[test]
fn a_mobile_network_rolls_as_one_chain() {
    check("mobile", mobile(true), 5, 0.0);
}

#[test]
fn rows_are_taken_where_nothing_rolls() {
    let drawn = mobile(false);
    for core in &common::both_costs() {
        let plan = rolling(&drawn, core, &[], InputRows::Pushed);
        let folder = write_package("rolling-no-members", &drawn.integer, &plan, 1);
        check_on_host(&folder, &SANITIZED);
    }
}

/// A depthwise convolution by rows over its own input: some rows of all channels, then the next.
#[test]
fn a_depthwise_convolution_writes_over_its_input() {
    for (stride, behind) in [(1, 3), (2, 1)] {
        let mut draw = Draw::new(3, Shape::new(9, 7, 13), false);
        let window = Window { pads: Pads::all(1), stride: [stride; 2], ..Window::of([3, 3]) };
        draw.depthwise(TensorId(0), window);
        let mut drawn = draw.finish();
        harden(&mut drawn.integer, 9);
        let [_, core] = common::both_costs();
        let mut plan = rolling(&drawn, &core, &[], InputRows::Image);
        // In bytes of 8 bits: so many rows may be written before the first of the input is dead.
        let row = |tensor: usize| drawn.integer.tensors[tensor].shape.w * 13;
        let gap = (behind * row(1)).next_multiple_of(4);
        plan.tensors = vec![gap, 0];
        let scratch = plan.arena_bytes;
        plan.scratch = vec![Some(scratch)];
        plan.arena_bytes += 4096;
        let folder = write_package(&format!("rolling-in-place-{stride}"), &drawn.integer, &plan, 1);
        check_on_host(&folder, &SANITIZED);
    }
}

/// Two images at the same time, rows in turns, in arenas full of what was before; then more rows than there are.
const TWO_ARENAS: &str = r#"
#include "known_answers.h"
#include <string.h>

static union {
    uint32_t words[(MODEL_ARENA_BYTES + 3) / 4];
    uint8_t bytes[MODEL_ARENA_BYTES];
} arenas[2];

int main(void)
{
    uint32_t y;
    int i;
    memset(arenas, 0xA5, sizeof arenas);
    for (i = 0; i < 2; i++) {
        model_begin(&arenas[i]);
    }
    for (y = 0; y < 2; y++) {
        if (model_push_row(&arenas[1], model_known_inputs[0]) != MODEL_INPUT_HEIGHT - 1 - y) {
            return 1;
        }
    }
    model_begin(&arenas[1]);
    for (y = 0; y < MODEL_INPUT_HEIGHT; y++) {
        for (i = 0; i < 2; i++) {
            if (model_push_row(&arenas[i], model_known_inputs[i] + y * MODEL_INPUT_ROW_BYTES)
                != MODEL_INPUT_HEIGHT - 1 - y) {
                return 2;
            }
        }
    }
    for (i = 0; i < 2; i++) {
        if (model_push_row(&arenas[i], model_known_inputs[2]) != 0) {
            return 3;
        }
        if (memcmp(model_output(&arenas[i]), model_known_outputs[i], MODEL_OUTPUT_BYTES) != 0) {
            return 4;
        }
    }
    return 0;
}
"#;

#[test]
fn two_images_are_pushed_at_the_same_time() {
    let drawn = mobile(true);
    for core in &common::both_costs() {
        for chains in [runs(&drawn, 0.6), Vec::new()] {
            let plan = rolling(&drawn, core, &chains, InputRows::Pushed);
            let folder = write_package("rolling-two-arenas", &drawn.integer, &plan, 1);
            std::fs::write(folder.0.join("example/main.c"), TWO_ARENAS).expect("the folder can be written to");
            check_on_host(&folder, &[&SANITIZED[..], &["-DMODEL_CALLER_ARENA"]].concat());
        }
    }
}

/// Every compiler and optimization takes the driver without a word.
#[test]
fn compilers_have_nothing_to_say() {
    let drawn = mobile(true);
    let plan = rolling(&drawn, &common::both_costs()[1], &runs(&drawn, 0.6), InputRows::Pushed);
    let folder = write_package("rolling-compilers", &drawn.integer, &plan, 1);
    for compiler in ["gcc", "clang"].into_iter().filter(|compiler| installed(compiler)) {
        for optimization in ["-O0", "-Os", "-O2", "-O3", "-flto"] {
            let arguments = [&WARNINGS[..], &[optimization, "-Ipackage", "-o", "test"], &SOURCES].concat();
            run(&folder.0, compiler, &arguments);
            run(&folder.0, "./test", &[]);
        }
    }
}

/// Who profiles is told of each step, in the order in which the memory model takes them, and once of each layer when it is done.
const PROFILED: &str = r#"
#include "known_answers.h"
#include "hooks.h"
#include <string.h>

static const unsigned order[] = { ORDER };
static unsigned steps;
static unsigned wrong;
static unsigned started[LAYERS];
static unsigned done[LAYERS];

void step_done(uint32_t layer)
{
    wrong += steps >= sizeof order / sizeof *order || order[steps] != layer;
    steps++;
    started[layer] = 1;
}

void layer_done(uint32_t layer)
{
    done[layer] += 1u + (started[layer] == 0);
}

int main(void)
{
    unsigned i;
    memcpy(model_input(model_arena), model_known_inputs[0], MODEL_INPUT_BYTES);
    model_run(model_arena);
    for (i = 0; i < LAYERS; i++) {
        if (done[i] != 1u) {
            return 1;
        }
    }
    return wrong == 0 && steps == sizeof order / sizeof *order ? 0 : 2;
}
"#;

#[test]
fn who_profiles_is_told_of_steps_and_layers() {
    let drawn = mobile(true);
    let plan = rolling(&drawn, &common::both_costs()[1], &runs(&drawn, 0.6), InputRows::Image);
    let folder = write_package("rolling-profiled", &drawn.integer, &plan, 1);
    let hooks = "#include <stdint.h>\nvoid step_done(uint32_t layer);\nvoid layer_done(uint32_t layer);\n";
    std::fs::write(folder.0.join("package/hooks.h"), hooks).expect("the folder can be written to");
    std::fs::write(folder.0.join("example/main.c"), PROFILED).expect("the folder can be written to");
    let layers = drawn.network.nodes.len();
    let mut order: Vec<usize> = Vec::new();
    for segment in &plan.segments {
        match segment {
            PlannedSegment::Layer(node) => order.push(node.0),
            PlannedSegment::Chain { chain, .. } => {
                let mut run = chain.run();
                while let Some(step) = run.next_step() {
                    run.take(&step);
                    let ChainStep::Compute { member, .. } = step else { panic!("no rows are pushed into an image") };
                    order.push(chain.members[member].node);
                }
            }
        }
    }
    assert!(order.len() > 5 * layers, "{order:?}");
    let order: Vec<String> = order.iter().map(|node| format!("{node}u")).collect();
    let (order, layers) = (format!("-DORDER={}", order.join(",")), format!("-DLAYERS={layers}u"));
    let hooked = ["-include", "package/hooks.h", "-DMODEL_STEP_DONE=step_done", "-DMODEL_LAYER_DONE=layer_done"];
    check_on_host(&folder, &[&hooked[..], &[&order, &layers]].concat());
}

/// `damage` is refused with a message that holds `words`.
fn refuse(words: &str, damage: impl Fn(&mut MemoryPlan)) {
    let drawn = mobile(true);
    let mut plan = rolling(&drawn, &common::costs(), &runs(&drawn, 0.6), InputRows::Pushed);
    emit(&drawn.integer, &plan, &EmitOptions::default()).expect("it is whole before the damage");
    damage(&mut plan);
    let error = emit(&drawn.integer, &plan, &EmitOptions::default()).expect_err(words).to_string();
    assert!(error.contains(words), "`{error}` does not say `{words}`");
}

#[test]
fn a_plan_with_chains_has_to_be_whole() {
    refuse("is an image", |plan| plan.input = InputRows::Image);
    refuse("no chain into which they are pushed", |plan| {
        let PlannedSegment::Chain { chain, .. } = &mut plan.segments[0] else { unreachable!("it rolls") };
        chain.bands[0].is_pushed = false;
    });
    refuse("instead of", |plan| plan.segments.truncate(1));
    refuse("is due", |plan| plan.segments.swap(0, 1));
    refuse("rows of", |plan| plan.at_once[3] = 0);
    refuse("lies over the state", |plan| {
        let last = plan.tensors.len() - 1;
        plan.tensors[last] = 0;
    });
    refuse("which is no word", |plan| plan.tensors[2] += 2);
    refuse("other tensors", |plan| {
        let PlannedSegment::Chain { chain, .. } = &mut plan.segments[0] else { unreachable!("it rolls") };
        chain.members[1].inputs[0] = 0;
    });
}

/// Layer by layer, nothing of chains is in the package.
#[test]
fn only_what_rolls_pays_for_it() {
    let drawn = mobile(true);
    let plan = ram(&drawn.network, &drawn.widths, &common::costs()).plan;
    let package = emit(&drawn.integer, &plan, &EmitOptions::default()).expect("it can be emitted");
    let [source, header] = ["model.c", "model.h"].map(|path| package.file(path).expect("it is there"));
    assert!(!source.contains("chain") && !header.contains("ROW_BYTES"));
}
