//! The known-answer test beside a package.

use crate::build::OPTIMIZED;
use crate::error::EmitError;
use crate::names::{KNOWN_ANSWERS, PackageNames};
use crate::writer::CWriter;
use bitesize_integer::IntNetwork;
use bitesize_ir::memory::InputRows;

type Sample = (Vec<u8>, Vec<u8>);

/// Every sample has the network's lengths, and there is one.
pub(crate) fn check(network: &IntNetwork, samples: &[Sample]) -> Result<(), EmitError> {
    if samples.is_empty() {
        return Err(EmitError::NoSamples);
    }
    let length = |index: usize, what: &'static str, found: usize, expected: usize| {
        if found == expected { Ok(()) } else { Err(EmitError::Sample { index, what, found, expected }) }
    };
    let (input, output) = lengths(network);
    for (index, sample) in samples.iter().enumerate() {
        length(index, "input", sample.0.len(), input)?;
        length(index, "output", sample.1.len(), output)?;
    }
    Ok(())
}

fn lengths(network: &IntNetwork) -> (usize, usize) {
    (network.tensor(network.input).shape.elements(), network.tensor(network.output).shape.elements())
}

pub(crate) fn files(rows: InputRows, samples: &[Sample], names: &PackageNames) -> Vec<(String, String)> {
    vec![
        ("main.c".into(), main_c(rows, names)),
        (format!("{KNOWN_ANSWERS}.h"), header(samples.len(), names)),
        (format!("{KNOWN_ANSWERS}.c"), source(samples, names)),
        ("CMakeLists.txt".into(), cmake(names)),
    ]
}

fn dimensions(names: &PackageNames) -> (String, String, String) {
    (names.macro_name("KNOWN_ANSWERS"), names.input_bytes(), names.output_bytes())
}

fn header(samples: usize, names: &PackageNames) -> String {
    let mut c = CWriter::new();
    let (count, input, output) = dimensions(names);
    c.comment("Inputs, and the outputs that the package must give for them.");
    c.header(&names.macro_name("KNOWN_ANSWERS_H"), &format!("\"{}\"", names.header()), |c| {
        c.line(format!("#define {count} {samples}"));
        c.blank();
        c.line(format!("extern const uint8_t {}[{count}][{input}];", names.known_inputs()));
        c.line(format!("extern const uint8_t {}[{count}][{output}];", names.known_outputs()));
    });
    c.finish()
}

fn source(samples: &[Sample], names: &PackageNames) -> String {
    let mut c = CWriter::new();
    let (count, input, output) = dimensions(names);
    c.line(format!("#include \"{KNOWN_ANSWERS}.h\""));
    c.blank();
    let inputs = format!("const uint8_t {}[{count}][{input}]", names.known_inputs());
    c.array_of_rows(&inputs, samples.iter().map(|sample| sample.0.as_slice()));
    c.blank();
    let outputs = format!("const uint8_t {}[{count}][{output}]", names.known_outputs());
    c.array_of_rows(&outputs, samples.iter().map(|sample| sample.1.as_slice()));
    c.finish()
}

fn main_c(rows: InputRows, names: &PackageNames) -> String {
    let mut c = CWriter::new();
    let (count, input, output) = dimensions(names);
    c.comment(
        "The known-answer test: exits with 0 where the package gives every expected byte, else with 1. It prints \
         nothing, so that it runs wherever `main` does.",
    );
    c.line(format!("#include \"{KNOWN_ANSWERS}.h\""));
    c.blank();
    c.line("#include <string.h>");
    c.blank();
    c.line(format!("#ifdef {}", names.caller_arena()));
    c.line(format!("#error \"this test uses the package's own arena: leave {} undefined\"", names.caller_arena()));
    c.line("#endif");
    c.blank();
    c.block("int main(void)", |c| {
        let (arena, inputs) = (names.arena(), names.known_inputs());
        c.line("int i;");
        if rows == InputRows::Pushed {
            c.line("uint32_t y;");
        }
        c.line(format!("for (i = 0; i < {count}; i++) {{"));
        let run = match rows {
            InputRows::Image => vec![
                format!("memcpy({}({arena}), {inputs}[i], {input});", names.input()),
                format!("{}({arena});", names.run()),
            ],
            InputRows::Pushed => {
                let (height, row_bytes) = (names.input_height(), names.input_row_bytes());
                vec![
                    format!("{}({arena});", names.begin()),
                    format!("for (y = 0; y < {height}; y++) {{"),
                    format!("    const uint8_t *const row = {inputs}[i] + y * {row_bytes};"),
                    format!("    if ({}({arena}, row) != {height} - 1 - y) {{", names.push_row()),
                    "        return 1;".into(),
                    "    }".into(),
                    "}".into(),
                ]
            }
        };
        let compare = [
            format!("if (memcmp({}({arena}), {}[i], {output}) != 0) {{", names.output(), names.known_outputs()),
            "    return 1;".into(),
            "}".into(),
        ];
        for line in run.into_iter().chain(compare) {
            c.line(format!("    {line}"));
        }
        c.line("}");
        c.line("return 0;");
    });
    c.finish()
}

fn cmake(names: &PackageNames) -> String {
    format!(
        "cmake_minimum_required(VERSION 3.13)\n\
         project({example} C)\n\
         {OPTIMIZED}\
         \n\
         enable_testing()\n\
         add_subdirectory(../package package)\n\
         add_executable({example} main.c {KNOWN_ANSWERS}.c)\n\
         target_link_libraries({example} PRIVATE {prefix})\n\
         set_target_properties({example} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON)\n\
         add_test(NAME {KNOWN_ANSWERS} COMMAND {example})\n",
        prefix = names.prefix(),
        example = names.example(),
    )
}
