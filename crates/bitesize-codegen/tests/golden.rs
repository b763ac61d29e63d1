//! One tiny package, every file of it, as it is emitted today. `BITESIZE_REFRESH_GOLDEN=1` rewrites the copies.

mod common;

use bitesize_codegen::{EmitOptions, Figures, PackageFiles, emit, emit_example};
use bitesize_integer::Interpreter;
use bitesize_ir::memory::ram;
use bitesize_ir::op::{Clamp, Op};
use bitesize_ir::shape::{Pads, Window};
use bitesize_ir::{Shape, TensorId};
use common::compiler::{Folder, SOURCES, WARNINGS, check_on_host, installed, run};
use common::networks::{Draw, Drawn, images};
use std::path::Path;

/// Pixels through a padded convolution, a depthwise one, an addition, a concatenation, an average and a fully
/// connected layer; the node's names would break a careless comment.
fn tiny() -> Drawn {
    let mut draw = Draw::new(7, Shape::new(4, 4, 2), true);
    let padded = Window { pads: Pads::all(1), ..Window::of([3, 3]) };
    let conv = draw.conv(TensorId(0), 3, 1, Window { stride: [2, 2], ..padded });
    let depthwise = draw.depthwise(conv, padded);
    let sum = draw.push(Op::Add(Clamp::RELU), &[conv, depthwise]);
    let both = draw.push(Op::Concat, &[sum, depthwise]);
    let mean = draw.average(both, Window::of([2, 2]), false);
    draw.fully_connected(mean, 3);
    draw.network.name = "tiny/*1*/".into();
    draw.finish()
}

fn check(folder: &str, package: &PackageFiles) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let refresh = std::env::var_os("BITESIZE_REFRESH_GOLDEN").is_some();
    for (name, text) in &package.files {
        // The licences are the repository's own files.
        if name.starts_with("LICENSE-") {
            continue;
        }
        let path = folder.join(name);
        if refresh {
            std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text)).expect("it can be written");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let different = golden.lines().zip(text.lines()).position(|(golden, text)| golden != text);
        assert!(
            golden == *text,
            "{} differs from its golden copy{}; BITESIZE_REFRESH_GOLDEN=1 rewrites it, then read the difference",
            path.display(),
            different.map_or(" in length".into(), |line| format!(" in line {}", line + 1)),
        );
    }
}

/// A program that brings its own arena.
const OWN_ARENA: &str = r#"
#include "model.h"
static union {
    uint32_t words[(MODEL_ARENA_BYTES + 3) / 4];
    uint8_t bytes[MODEL_ARENA_BYTES];
} arena;
int main(void)
{
    int i;
    for (i = 0; i < MODEL_INPUT_BYTES; i++) {
        model_input(&arena)[i] = 255;
    }
    model_run(&arena);
    return model_output(&arena)[0] == EXPECTED ? 0 : 1;
}
"#;

/// The other ways of building: an arena of the caller's, attributes, the headers in C++, CMake.
fn check_builds(folder: &Folder, expected: u8) {
    let expected = format!("-DEXPECTED={expected}");
    std::fs::write(folder.0.join("own.c"), OWN_ARENA).expect("the temporary folder can be written");
    let mut own = WARNINGS.to_vec();
    own.extend(["-DMODEL_CALLER_ARENA", "-DMODEL_WEIGHTS_ATTRIBUTE=__attribute__((section(\".psram\")))"]);
    own.extend([&expected, "-Ipackage", "-o", "own", "own.c"]);
    own.extend(&SOURCES[..3]);
    run(&folder.0, "cc", &own);
    run(&folder.0, "./own", &[]);
    if installed("c++") {
        let headers = "#include \"model.h\"\n#include \"bitesize_kernels.h\"\n#include \"weights.h\"\n";
        std::fs::write(folder.0.join("headers.cpp"), headers).expect("the temporary folder can be written");
        let flags = ["-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Wshadow", "-Wundef", "-Wold-style-cast"];
        for standard in ["-std=c++98", "-std=c++20"] {
            let rest = ["-Wno-long-long", "-Werror", "-Ipackage", "-fsyntax-only", "headers.cpp"];
            run(&folder.0, "c++", &[&[standard][..], &flags, &rest].concat());
        }
    }
    if installed("cmake") {
        run(&folder.0, "cmake", &["-S", "example", "-B", "build"]);
        let built = run(&folder.0, "cmake", &["--build", "build", "--verbose"]);
        assert!(built.contains("-O2"), "optimized without a word: {built}");
        run(&folder.0.join("build"), "ctest", &["--output-on-failure"]);
        run(&folder.0, "cmake", &["-S", "package", "-B", "debug", "-DCMAKE_BUILD_TYPE=Debug"]);
        let built = run(&folder.0, "cmake", &["--build", "debug", "--verbose"]);
        assert!(!built.contains("-O2"), "as asked for: {built}");
    }
}

#[test]
fn a_tiny_package_is_as_it_was_and_runs() {
    let drawn = tiny();
    let plan = ram(&drawn.network, &drawn.widths, &common::costs()).plan;
    let (core, compiler) = ("cortex-m4".into(), "gcc 12.2".into());
    let flags = ["-mcpu=cortex-m4", "-O2", "-ffunction-sections"].map(String::from).into();
    let figures = Figures { core, compiler, flags, flash_bytes: 12345, ram_bytes: 678, stack_bytes: 90 };
    let options = EmitOptions { figures: Some(figures), ..EmitOptions::default() };
    let interpreter = Interpreter::new(&drawn.integer);
    let images = images(&drawn.integer, 3, 1);
    let samples: Vec<_> = images.into_iter().map(|image| (image.clone(), interpreter.run(&image))).collect();
    let package = emit(&drawn.integer, &plan, &options).expect("it can be emitted");
    let example = emit_example(&drawn.integer, &plan, &samples, &options).expect("the samples are the network's");
    check("package", &package);
    check("example", &example);
    let folder = Folder::new("golden");
    folder.write("package", &package);
    folder.write("example", &example);
    check_on_host(&folder, &["-O2"]);
    let last = samples.last().expect("images end with one of 255s");
    check_builds(&folder, last.1[0]);
}
