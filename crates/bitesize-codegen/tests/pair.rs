//! Two packages in one firmware: no name of one is a name of the other, however they are built.

mod common;

use bitesize_codegen::code_of;
use bitesize_ir::memory::ram;
use common::compiler::{Folder, WARNINGS, emit_both, installed, run};
use common::networks::{Drawn, drawn};
use object::{Object, ObjectSymbol};

/// Runs both packages in turn, each in its own arena, then in one that they share; C and C++.
const MAIN: &str = r#"
#include "FIRST_example/known_answers.h"
#include "SECOND_example/known_answers.h"
#include <string.h>

#define LARGER(a, b) ((a) > (b) ? (a) : (b))

static uint32_t shared[LARGER(FIRST_ARENA_BYTES, SECOND_ARENA_BYTES) / 4 + 1];

int main(void)
{
    int i;
    for (i = 0; i < FIRST_KNOWN_ANSWERS && i < SECOND_KNOWN_ANSWERS; i++) {
        memcpy(first_input(first_arena), first_known_inputs[i], FIRST_INPUT_BYTES);
        memcpy(second_input(second_arena), second_known_inputs[i], SECOND_INPUT_BYTES);
        first_run(first_arena);
        second_run(second_arena);
        if (memcmp(first_output(first_arena), first_known_outputs[i], FIRST_OUTPUT_BYTES) != 0) {
            return 1;
        }
        if (memcmp(second_output(second_arena), second_known_outputs[i], SECOND_OUTPUT_BYTES) != 0) {
            return 2;
        }
        memcpy(first_input(shared), first_known_inputs[i], FIRST_INPUT_BYTES);
        first_run(shared);
        if (memcmp(first_output(shared), first_known_outputs[i], FIRST_OUTPUT_BYTES) != 0) {
            return 3;
        }
        memcpy(second_input(shared), second_known_inputs[i], SECOND_INPUT_BYTES);
        second_run(shared);
        if (memcmp(second_output(shared), second_known_outputs[i], SECOND_OUTPUT_BYTES) != 0) {
            return 4;
        }
    }
    return 0;
}
"#;

const CMAKE: &str = "\
cmake_minimum_required(VERSION 3.13)
project(firmware C CXX)
enable_testing()
add_subdirectory(FIRST)
add_subdirectory(SECOND)
add_executable(firmware main.cpp FIRST_example/known_answers.c SECOND_example/known_answers.c)
target_link_libraries(firmware PRIVATE FIRST SECOND)
add_test(NAME both COMMAND firmware)
";

/// Two networks that share some kernels and not others, emitted as `names`: each package in a folder called as it,
/// both again in `flat`, and the program. `test` keeps tests that run at once apart.
fn write(test: &str, names: [&str; 2]) -> Folder {
    let networks = [drawn(21, 6), drawn(22, 6)];
    let [_, core] = common::both_costs();
    let plan = |drawn: &Drawn| ram(&drawn.network, &drawn.widths, &core).plan;
    let keys = networks.each_ref().map(|drawn| code_of(&drawn.integer, &plan(drawn)));
    assert!(!keys[0].is_disjoint(&keys[1]) && keys[0] != keys[1], "{keys:?}");
    let folder = Folder::new(&format!("pair-{test}-{}", names[0]));
    for (drawn, name) in networks.iter().zip(names) {
        let [package, example] = emit_both(&drawn.integer, &plan(drawn), name, 5);
        folder.write(name, &package);
        folder.write("flat", &package);
        folder.write(&format!("{name}_example"), &example);
    }
    let named = |text: &str| {
        let upper = names.map(str::to_ascii_uppercase);
        let text = text.replace("FIRST_example", &format!("{}_example", names[0]));
        let text = text.replace("SECOND_example", &format!("{}_example", names[1]));
        let text = text.replace("first_", &format!("{}_", names[0])).replace("second_", &format!("{}_", names[1]));
        text.replace("FIRST_", &format!("{}_", upper[0])).replace("SECOND_", &format!("{}_", upper[1]))
    };
    let cmake = named(CMAKE).replace("FIRST", names[0]).replace("SECOND", names[1]);
    for (path, text) in [("main.c", named(MAIN)), ("main.cpp", named(MAIN)), ("CMakeLists.txt", cmake)] {
        std::fs::write(folder.0.join(path), text).expect("the temporary folder can be written");
    }
    folder
}

/// The C files of both packages, which lie in one folder.
fn sources(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.0.join("flat")).expect("it was written");
    let names = entries.map(|entry| entry.expect("it can be read").file_name().into_string().expect("it is ASCII"));
    let sources: Vec<String> = names.filter(|name| name.ends_with(".c")).map(|name| format!("flat/{name}")).collect();
    assert_eq!(sources.len(), 6, "{sources:?}");
    sources
}

/// Builds the program from `files` with `flags` and runs it.
fn check(folder: &Folder, names: [&str; 2], flags: &[&str], files: &[String]) {
    let answers = names.map(|name| format!("{name}_example/known_answers.c"));
    let mut arguments = [&WARNINGS[1..], &["-Iflat", "-o", "both", "main.c"], flags].concat();
    arguments.extend(answers.iter().chain(files).map(String::as_str));
    run(&folder.0, "cc", &arguments);
    run(&folder.0, "./both", &[]);
}

const NAMES: [[&str; 2]; 2] = [["door", "door_bell"], ["model", "kws"]];

#[test]
fn two_packages_link_and_give_their_bytes_under_every_optimization() {
    let [both, with_the_default] = NAMES.map(|names| write("run", names));
    #[rustfmt::skip]
    let optimizations: [&[&str]; 6] = [
        &["-std=c99", "-O0"], &["-std=c11", "-Os"], &["-std=c17", "-O3"], &["-std=gnu99", "-Og", "-fno-common"],
        &["-std=c99", "-O2", "-flto"],
        &["-std=c99", "-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"],
    ];
    for flags in optimizations {
        check(&both, NAMES[0], flags, &sources(&both));
    }
    check(&with_the_default, NAMES[1], &["-std=c99", "-O1"], &sources(&with_the_default));
}

#[test]
fn two_packages_can_be_one_translation_unit() {
    let folder = write("unit", NAMES[0]);
    let includes: String = sources(&folder).iter().map(|path| format!("#include \"{path}\"\n")).collect();
    std::fs::write(folder.0.join("all.c"), includes).expect("the temporary folder can be written");
    check(&folder, NAMES[0], &["-std=c99", "-O1", "-I."], &["all.c".into()]);
}

#[test]
fn every_global_symbol_carries_the_name() {
    for (names, folder) in NAMES.map(|names| (names, write("symbols", names))) {
        for source in sources(&folder) {
            run(&folder.0, "cc", &["-std=c99", "-O1", "-c", &source, "-o", "one.o"]);
            let data = std::fs::read(folder.0.join("one.o")).expect("the compiler wrote it");
            let file = object::File::parse(&*data).expect("it is an object file");
            let own = names.iter().any(|name| source == format!("flat/{name}.c"));
            let mut globals = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition()).peekable();
            assert!(!own || globals.peek().is_some());
            for symbol in globals {
                let symbol = symbol.name().expect("it has a name");
                assert!(names.iter().any(|name| symbol.starts_with(&format!("{name}_"))), "{source}: {symbol}");
            }
        }
    }
}

#[test]
fn cmake_builds_both_as_subdirectories_of_a_firmware_in_cpp() {
    if !installed("cmake") || !installed("c++") {
        return;
    }
    for (names, folder) in NAMES.map(|names| (names, write("cmake", names))) {
        let unity = if names[0] == "model" { "-DCMAKE_UNITY_BUILD=ON" } else { "-DCMAKE_UNITY_BUILD=OFF" };
        run(&folder.0, "cmake", &["-S", ".", "-B", "build", unity, "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON"]);
        run(&folder.0, "cmake", &["--build", "build"]);
        run(&folder.0.join("build"), "ctest", &["--output-on-failure"]);
    }
}
