//! `model.h`.

use crate::names::PackageNames;
use crate::options::{EmitOptions, Reading};
use crate::writer::CWriter;
use bitesize_integer::{IntNetwork, IntTensor, OutputChannel};
use bitesize_ir::memory::{InputRows, MemoryPlan, PlannedSegment};
use bitesize_ir::requantize::Multiplier;
use bitesize_ir::{Shape, Tail};

/// `model.h`: what the firmware needs to know.
pub(crate) fn header(network: &IntNetwork, plan: &MemoryPlan, options: &EmitOptions, names: &PackageNames) -> String {
    let mut c = CWriter::new();
    c.comment(&introduction(network, plan.input, options, names));
    c.header(&names.macro_name("H"), "<stdint.h>", |c| {
        let input = network.tensor(network.input);
        tensor_macros(c, names, "INPUT", input, network.input_scale);
        if plan.input == InputRows::Pushed {
            c.comment("Bytes of a row of the input.");
            c.line(format!("#define {} {}", names.input_row_bytes(), input.shape.w * input.shape.c));
            c.blank();
        }
        match network.output_channels.as_slice() {
            [] => tensor_macros(c, names, "OUTPUT", network.tensor(network.output), network.output_scale),
            channels => output_macros(c, names, network.tensor(network.output), channels),
        }
        threshold_macro(c, network, options.reading, names);
        arena_macros(c, plan, names);
        match plan.input {
            InputRows::Image => entry_points(c, names),
            InputRows::Pushed => pushing_entry_points(c, names),
        }
    });
    c.finish()
}

fn introduction(network: &IntNetwork, rows: InputRows, options: &EmitOptions, names: &PackageNames) -> String {
    let (input, output) = (network.tensor(network.input), network.tensor(network.output));
    let mut text = format!(
        "{}: an integer network in {} layers. Emitted by bitesize {}.\n\n",
        network.name,
        network.nodes.len(),
        env!("CARGO_PKG_VERSION")
    );
    if network.input_is_pixels {
        text += &format!(
            "Input: {} raw pixels of 8 bits (height x width x channels), 0..255, rows from the top, the channels of \
             a pixel together. The preprocessing is part of the first layer: feed the bytes as they are.\n",
            input.shape
        );
    } else {
        text += &format!(
            "Input: {} codes of 8 bits (height x width x channels), the channels of a pixel together. The code of a \
             real value x is round(x / scale) + zero, clamped to 0..255.\n",
            input.shape
        );
    }
    let order = match &options.output_order {
        Some(order) => format!(" ({order})"),
        None if output.shape.pixels() > 1 => " (height x width x channels)".into(),
        None => String::new(),
    };
    let together = if output.shape.pixels() > 1 { ", the channels of a pixel together" } else { "" };
    let real = if network.output_channels.is_empty() {
        "real = scale * (code - zero)"
    } else {
        "each channel with a scale and a zero of its own: in channel c, real = scale[c] * (code - zero[c]), and codes of \
         different channels cannot be compared"
    };
    let reading = how_to_read(network, options.reading, names);
    text += &format!("Output: {} codes of 8 bits{order}{together}, {real}. {reading}\n", output.shape);
    if let Some(tail) = network.tail {
        text += &format!("The network's final {tail} is left out: the output is what goes into it.\n");
    }
    text += &use_of(rows, names);
    if let Some(figures) = &options.figures {
        text += &format!(
            "\nOn {core}: {flash} bytes of FLASH; {ram} bytes of RAM, of which the stack takes at most {stack}. This holds \
             where the package is compiled by {compiler} with {flags}, and may not with others.\n",
            core = figures.core,
            flash = figures.flash_bytes,
            ram = figures.ram_bytes,
            stack = figures.stack_bytes,
            compiler = figures.compiler,
            flags = figures.flags.join(" "),
        );
    }
    text.trim_end().to_owned()
}

fn use_of(rows: InputRows, names: &PackageNames) -> String {
    let output = names.output();
    match rows {
        InputRows::Image => format!(
            "\nUse: fill {input}(arena), call {run}(arena), read {output}(arena). Both lie in the arena, and {run} \
             overwrites the input. Calls at the same time need an arena each.\n",
            input = names.input(),
            run = names.run(),
        ),
        InputRows::Pushed => format!(
            "\nUse: call {begin}(arena) before the first row, then {push}(arena, row) with each row of {row_bytes} bytes, from the top. It says how \
             many rows are still wanted, {height} at first, and computes what can be computed by then. Once it says 0, read \
             {output}(arena), until the next {begin}. A row is copied: its memory can be used again at once. Images at the \
             same time need an arena each.\n",
            begin = names.begin(),
            push = names.push_row(),
            row_bytes = names.input_row_bytes(),
            height = names.input_height(),
        ),
    }
}

/// Whether the output says yes or no by a threshold.
fn has_threshold(network: &IntNetwork, reading: Reading) -> bool {
    match reading {
        Reading::Threshold => true,
        Reading::Pixels => network.tensor(network.output).shape.c == 1,
        Reading::Class | Reading::Values => false,
    }
}

fn how_to_read(network: &IntNetwork, reading: Reading, names: &PackageNames) -> String {
    let (threshold, shape) = (names.macro_name("OUTPUT_THRESHOLD"), network.tensor(network.output).shape);
    let probability = if network.tail == Some(Tail::Tanh) { "(1 + tanh(real)) / 2" } else { "1 / (1 + exp(-real))" };
    let yes = |what: &str| format!("{what} where the code is above {threshold}; the probability is {probability}.");
    match reading {
        Reading::Class => "As a classifier: the class is the lowest index of the highest code.".into(),
        Reading::Threshold if shape.elements() == 1 => yes("It says yes"),
        Reading::Threshold => yes("Each says yes"),
        Reading::Pixels if shape.c == 1 => yes("Each pixel says yes"),
        Reading::Pixels => {
            "The class of a pixel is the lowest index of the highest of its codes, rows from the top.".into()
        }
        Reading::Values => match network.tail {
            Some(Tail::Sigmoid) => "The network's value is 1 / (1 + exp(-real)).".into(),
            Some(Tail::Tanh) => "The network's value is tanh(real).".into(),
            Some(Tail::Softmax) => "The network's values are exp(real) over the sum of exp(real).".into(),
            Some(Tail::LogSoftmax) => "The network's values are real less log(sum of exp(real)).".into(),
            Some(Tail::ArgMax) | None => "Real is the network's value.".into(),
        },
    }
}

fn threshold_macro(c: &mut CWriter, network: &IntNetwork, reading: Reading, names: &PackageNames) {
    if !has_threshold(network, reading) {
        return;
    }
    c.comment("Codes above it say yes: a probability above 1/2.");
    c.line(format!("#define {} {}", names.macro_name("OUTPUT_THRESHOLD"), network.tensor(network.output).zero));
    c.blank();
}

fn tensor_macros(c: &mut CWriter, names: &PackageNames, which: &str, tensor: &IntTensor, scale: Multiplier) {
    c.comment(&format!("{}, scale {:.9e} = SCALE_MULTIPLIER / 2^SCALE_SHIFT", tensor.name, scale.to_real()));
    shape_macros(c, names, which, tensor.shape);
    let define = |c: &mut CWriter, name: &str, value: i64| {
        c.line(format!("#define {} {value}", names.macro_name(&format!("{which}_{name}"))));
    };
    define(c, "SCALE_MULTIPLIER", scale.m.into());
    define(c, "SCALE_SHIFT", scale.n.into());
    define(c, "ZERO", tensor.zero.into());
    c.blank();
}

fn shape_macros(c: &mut CWriter, names: &PackageNames, which: &str, shape: Shape) {
    let sizes = [("HEIGHT", shape.h), ("WIDTH", shape.w), ("CHANNELS", shape.c), ("BYTES", shape.elements())];
    for (name, size) in sizes {
        c.line(format!("#define {} {size}", names.macro_name(&format!("{which}_{name}"))));
    }
}

/// Values in a line of a macro that lists one for each channel.
const LISTED: usize = 8;

/// The macros of an output whose channels have encodings of their own. They are lists, not arrays: who does not read them pays
/// nothing for them.
fn output_macros(c: &mut CWriter, names: &PackageNames, tensor: &IntTensor, channels: &[OutputChannel]) {
    c.comment(&format!(
        "{}: the scale of channel c is SCALE_MULTIPLIERS[c] / 2^SCALE_SHIFTS[c], its zero ZEROS[c], where arrays are \
         initialised with these lists, as in\nstatic const int32_t multipliers[] = {};",
        tensor.name,
        names.macro_name("OUTPUT_SCALE_MULTIPLIERS")
    ));
    shape_macros(c, names, "OUTPUT", tensor.shape);
    let mut list = |name: &str, values: Vec<i64>| {
        c.line(format!("#define {} {{ \\", names.macro_name(&format!("OUTPUT_{name}"))));
        for values in values.chunks(LISTED) {
            let values: Vec<String> = values.iter().map(i64::to_string).collect();
            c.line(format!("    {}, \\", values.join(", ")));
        }
        c.line("}");
    };
    list("SCALE_MULTIPLIERS", channels.iter().map(|channel| channel.scale.m.into()).collect());
    list("SCALE_SHIFTS", channels.iter().map(|channel| channel.scale.n.into()).collect());
    list("ZEROS", channels.iter().map(|channel| channel.zero.into()).collect());
    c.blank();
}

fn arena_macros(c: &mut CWriter, plan: &MemoryPlan, names: &PackageNames) {
    let (bytes, caller) = (names.arena_bytes(), names.caller_arena());
    let alignment = names.macro_name("ARENA_ALIGNMENT");
    let rolls = plan.segments.iter().any(|segment| matches!(segment, PlannedSegment::Chain { .. }));
    c.comment(if rolls {
        "All RAM but the stack: every tensor or the rows kept of it, the kernels' scratch, and which rows are there."
    } else {
        "All RAM but the stack: every tensor and the kernels' scratch."
    });
    c.line(format!("#define {bytes} {}", plan.arena_bytes));
    c.line(format!("#define {alignment} 4"));
    c.blank();
    c.comment(&format!(
        "The package's own arena. Define {caller} for the whole package to bring one of your own instead: {bytes} \
         bytes, aligned to {alignment}. Define {attribute} to place the package's:\n\
         -D'{attribute}=__attribute__((section(\".dtcm\")))'",
        attribute = names.arena_attribute()
    ));
    c.line(format!("#ifndef {caller}"));
    c.line(format!("extern uint8_t {}[{bytes}];", names.arena()));
    c.line("#endif");
    c.blank();
}

fn entry_points(c: &mut CWriter, names: &PackageNames) {
    c.comment("Where the input goes.");
    c.line(format!("uint8_t *{}(void *arena);", names.input()));
    c.blank();
    c.comment("Where the output is after a run, until the next.");
    c.line(format!("const uint8_t *{}(const void *arena);", names.output()));
    c.blank();
    c.comment("Runs the network.");
    c.line(format!("void {}(void *arena);", names.run()));
}

fn pushing_entry_points(c: &mut CWriter, names: &PackageNames) {
    c.comment("Begins an image, whatever was before: to be called before the first row of each.");
    c.line(format!("void {}(void *arena);", names.begin()));
    c.blank();
    c.comment(&format!(
        "Takes the next row of the image, {} bytes. Returns how many rows are still wanted: with 0 the output is there, and \
         further rows change nothing.",
        names.input_row_bytes()
    ));
    c.line(format!("uint32_t {}(void *arena, const uint8_t *row);", names.push_row()));
    c.blank();
    c.comment("Where the output is after the last row, until the next image begins.");
    c.line(format!("const uint8_t *{}(const void *arena);", names.output()));
}
