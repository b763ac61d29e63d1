//! All cases as one C package, so that a compiler is started once and not once a case.
//!
//! Each case is emitted with names of its own (`c0_run`, `c1_run`, ...); all of them share one set of kernels and one
//! translation unit. The batch looks like a package itself: its input names the case and holds that case's input.

use crate::Case;
use crate::plan::plan_of;
use bitesize_codegen::{EmitOptions, PackageFiles, PackageNames, code_of, emit, instances};
use bitesize_integer::arena::Placed;
use bitesize_integer::{IntNetwork, Interpreter};
use bitesize_ir::PolicySpace;
use bitesize_ir::memory::{InputRows, MemoryPlan, Scheduling, Widths, ram};
use bitesize_ir::target::CoreCosts;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Bytes before a case's input: its number, low byte first, and what its arena is filled with before.
const HEAD: usize = 3;

/// Prefix of the batch and of the kernels that its cases share.
const PREFIX: &str = "batch";

/// A network of a batch, where everything lies, and what it is run on.
#[derive(Clone, Debug)]
pub struct Member {
    /// For people.
    pub name: String,
    /// The network.
    pub int: IntNetwork,
    plan: MemoryPlan,
    inputs: Vec<Vec<u8>>,
}

impl Member {
    /// `case`, planned as the memory model does; what the plan takes of the core is whether it computes row by row.
    fn of_case(case: &Case, core: &CoreCosts) -> Self {
        let network = &case.model.network;
        let widths = Widths::of(network, &PolicySpace::of(network), &case.model.policy);
        let plan = ram(network, &widths, core).plan;
        Self { name: case.name.clone(), int: case.int.clone(), plan, inputs: case.inputs.clone() }
    }

    /// `network` on `inputs`, its layers by rows where they can be, or none of them, in the smallest plan found among those that
    /// `scheduling` leaves, its input coming as `rows` says.
    pub fn new(
        network: IntNetwork,
        inputs: Vec<Vec<u8>>,
        by_rows: bool,
        (scheduling, rows): (Scheduling, InputRows),
    ) -> Self {
        let plan = plan_of(&network, by_rows, scheduling, rows);
        Self { name: network.name.clone(), int: network, plan, inputs }
    }
}

impl Member {
    /// Runs the case on its first inputs, two at most, in its arena as its plan says ([`Placed`]).
    ///
    /// # Errors
    /// What the plan does wrong, or that its bytes are not the interpreter's.
    pub fn check_plan(&self) -> Result<(), String> {
        let Self { name, int, plan, inputs } = self;
        let at = |problem: String| format!("{name}: {problem}\n{int}");
        let placed = Placed::new(int, plan).map_err(|violation| at(violation.to_string()))?;
        let interpreter = Interpreter::new(int);
        for input in inputs.iter().take(2) {
            let output = placed.run(input).map_err(|violation| at(violation.to_string()))?;
            if output != interpreter.run(input) {
                return Err(at("the arena gives other bytes than the interpreter".into()));
            }
        }
        Ok(())
    }
}

/// Networks as one package, with the prefix `batch`.
pub struct Batch {
    members: Vec<Member>,
    /// The package's files, by path.
    pub files: Vec<(String, String)>,
    /// Bytes of an input.
    pub input_bytes: usize,
    output_bytes: usize,
}

impl Batch {
    /// The package of `cases`, with the layers' implementations of `core`.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn of(cases: &[Case], core: &CoreCosts) -> Self {
        Self::new(cases.iter().map(|case| Member::of_case(case, core)).collect())
    }

    /// The package of `members`.
    ///
    /// # Panics
    /// Where one cannot be emitted: they are made so that they can.
    pub fn new(members: Vec<Member>) -> Self {
        let mut keys = BTreeSet::new();
        let mut body = String::new();
        let mut table = String::new();
        let bytes = |case: &Member, id| case.int.tensor(id).shape.elements();
        for (i, case) in members.iter().enumerate() {
            let prefix = format!("c{i}");
            let names = PackageNames::new(&prefix, Some(PREFIX)).expect("a letter and a number are a name");
            let options = EmitOptions { prefix, shared_kernels: Some(PREFIX.into()), ..EmitOptions::default() };
            let package =
                emit(&case.int, &case.plan, &options).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            body += &one_unit(&package, &names);
            keys.extend(code_of(&case.int, &case.plan));
            let _ = writeln!(
                table,
                "    {{{}, {}, {run}, {}, {}}},",
                names.arena(),
                names.output(),
                names.arena_bytes(),
                names.output_bytes(),
                run = whole(&names),
            );
            body += &run_of(&case.plan, &names);
        }
        let input_bytes = HEAD + members.iter().map(|case| bytes(case, case.int.input)).max().unwrap_or(0);
        let output_bytes = members.iter().map(|case| bytes(case, case.int.output)).max().unwrap_or(0);
        let header = HEADER
            .replace("@INPUT_BYTES@", &input_bytes.to_string())
            .replace("@OUTPUT_BYTES@", &output_bytes.to_string());
        let source = SOURCE
            .replace("@BODY@", &body)
            .replace("@TABLE@", table.trim_end())
            .replace("@COUNT@", &members.len().to_string());
        let mut files = vec![("batch.h".into(), header), ("batch.c".into(), source)];
        files.extend(instances(&keys, PREFIX));
        Self { members, files, input_bytes, output_bytes }
    }

    /// Every input of every case, as the batch takes it.
    pub fn inputs(&self) -> Vec<Vec<u8>> {
        let mut inputs = Vec::new();
        for (i, case) in self.members.iter().enumerate() {
            for (k, input) in case.inputs.iter().enumerate() {
                let fill = [0xa5, 0x00, 0xff, 0x5a][k % 4];
                let mut bytes = vec![i as u8, (i >> 8) as u8, fill];
                bytes.extend(input);
                bytes.resize(self.input_bytes, 0);
                inputs.push(bytes);
            }
        }
        inputs
    }

    /// [`Member::check_plan`] of each case.
    ///
    /// # Errors
    /// The first case whose plan does something wrong, or whose bytes are not the interpreter's.
    pub fn check_plans(&self) -> Result<(), String> {
        self.members.iter().try_for_each(Member::check_plan)
    }

    /// The case that the batch runs for an input.
    pub fn case(&self, input: &[u8]) -> &Member {
        &self.members[(usize::from(input[0]) | usize::from(input[1]) << 8) % self.members.len()]
    }

    /// What the batch has to answer to an input: the interpreter's output, then zeros.
    pub fn answer(&self, input: &[u8]) -> Vec<u8> {
        let int: &IntNetwork = &self.case(input).int;
        let size = int.tensor(int.input).shape.elements();
        let mut output = Interpreter::new(int).run(&input[HEAD..HEAD + size]);
        output.resize(self.output_bytes, 0);
        output
    }
}

/// The function that runs a case on an input.
fn whole(names: &PackageNames) -> String {
    format!("{}_case", names.run())
}

/// Its definition.
fn run_of(plan: &MemoryPlan, names: &PackageNames) -> String {
    let arena = names.arena();
    let body = match plan.input {
        InputRows::Image => format!(
            "    memcpy({}({arena}), input, {});\n    {}({arena});\n",
            names.input(),
            names.input_bytes(),
            names.run()
        ),
        InputRows::Pushed => format!(
            "    uint32_t byte;\n    {}({arena});\n    for (byte = 0; byte < {}; byte += {row}) {{\n        \
             (void){}({arena}, input + byte);\n    }}\n",
            names.begin(),
            names.input_bytes(),
            names.push_row(),
            row = names.input_row_bytes(),
        ),
    };
    format!("static void {}(const uint8_t *input)\n{{\n{body}}}\n\n", whole(names))
}

/// A package's header and sources one after another, without includes of each other.
fn one_unit(package: &PackageFiles, names: &PackageNames) -> String {
    let files = [names.header(), names.weights_header(), names.weights_source(), names.source()];
    let text = |path: &String| package.file(path).unwrap_or_else(|| panic!("the package has no {path}"));
    let lines = files.iter().flat_map(|path| text(path).lines()).filter(|line| !line.starts_with("#include \""));
    lines.fold(String::new(), |all, line| all + line + "\n")
}

const HEADER: &str = "\
#ifndef BATCH_H
#define BATCH_H

#include <stdint.h>

#define BATCH_INPUT_BYTES @INPUT_BYTES@
#define BATCH_OUTPUT_BYTES @OUTPUT_BYTES@

extern uint8_t batch_arena[BATCH_INPUT_BYTES + BATCH_OUTPUT_BYTES];
uint8_t *batch_input(void *arena);
const uint8_t *batch_output(const void *arena);
void batch_run(void *arena);

#endif
";

const SOURCE: &str = "\
#include \"batch.h\"
#include \"batch_kernels.h\"
#include <string.h>

@BODY@
typedef struct {
    uint8_t *arena;
    const uint8_t *(*output)(const void *arena);
    void (*run)(const uint8_t *input);
    uint32_t arena_bytes;
    uint32_t output_bytes;
} batch_case;

static const batch_case batch_cases[@COUNT@] = {
@TABLE@
};

uint8_t batch_arena[BATCH_INPUT_BYTES + BATCH_OUTPUT_BYTES];

uint8_t *batch_input(void *arena)
{
    return (uint8_t *)arena;
}

const uint8_t *batch_output(const void *arena)
{
    return (const uint8_t *)arena + BATCH_INPUT_BYTES;
}

void batch_run(void *arena)
{
    const uint8_t *input = (const uint8_t *)arena;
    uint8_t *output = (uint8_t *)arena + BATCH_INPUT_BYTES;
    const batch_case *one = &batch_cases[((uint32_t)input[0] | ((uint32_t)input[1] << 8)) % @COUNT@u];
    memset(one->arena, input[2], one->arena_bytes);
    one->run(input + 3);
    memset(output, 0, BATCH_OUTPUT_BYTES);
    memcpy(output, one->output(one->arena), one->output_bytes);
}
";
