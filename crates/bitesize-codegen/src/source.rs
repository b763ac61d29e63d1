//! `model.c`.

use crate::layers::Layer;
use crate::names::PackageNames;
use crate::rolling::{Rolling, roll, tables};
use crate::writer::CWriter;
use bitesize_integer::IntNetwork;
use bitesize_ir::memory::{InputRows, MemoryPlan, PlannedSegment};

/// `model.c`: descriptors and calls.
pub(crate) fn source(
    network: &IntNetwork,
    plan: &MemoryPlan,
    layers: &[Layer],
    chains: &[Rolling],
    names: &PackageNames,
) -> String {
    let mut c = CWriter::new();
    c.comment(&format!("{}: one descriptor a layer, and the calls in order.", network.name));
    c.line(format!("#include \"{}\"", names.header()));
    c.blank();
    c.line(format!("#include \"{}\"", names.kernels().header()));
    c.line(format!("#include \"{}\"", names.weights_header()));
    c.blank();
    own_arena(&mut c, names);
    if !layers.is_empty() {
        hooks(&mut c, names);
    }
    for layer in layers {
        c.blank();
        c.comment(&layer.comment);
        c.object(&format!("static const {} {}", layer.kind, layer.name), &layer.fields);
    }
    let is_alone = |node: usize| plan.segments.contains(&PlannedSegment::Layer(bitesize_ir::NodeId(node)));
    if layers.iter().any(|layer| layer.has_rows && is_alone(layer.node)) {
        let step = names.kernels().of_runtime("bitesize_step");
        c.blank();
        c.comment("A whole layer.");
        c.line(format!("static const {step} {} = {{0, UINT32_MAX, 0, {{0, 0}}}};", names.all_rows()));
    }
    tables(&mut c, chains, names);
    for chain in chains {
        roll(&mut c, chain, layers, names);
    }
    let calls = Calls { plan, layers, chains, names };
    match plan.input {
        InputRows::Image => calls.image(&mut c, network),
        InputRows::Pushed => calls.pushed(&mut c),
    }
    c.blank();
    c.block(&format!("const uint8_t *{}(const void *arena)", names.output()), |c| {
        c.line(format!("return (const uint8_t *)arena + {};", plan.tensors[network.output.0]));
    });
    c.finish()
}

/// The segments, and how each is called.
struct Calls<'a> {
    plan: &'a MemoryPlan,
    layers: &'a [Layer],
    chains: &'a [Rolling],
    names: &'a PackageNames,
}

impl Calls<'_> {
    /// Input and run of a whole image.
    fn image(&self, c: &mut CWriter, network: &IntNetwork) {
        let names = self.names;
        c.blank();
        c.block(&format!("uint8_t *{}(void *arena)", names.input()), |c| {
            c.line(format!("return (uint8_t *)arena + {};", self.plan.tensors[network.input.0]));
        });
        c.blank();
        c.block(&format!("void {}(void *arena)", names.run()), |c| {
            c.line(BYTES);
            if self.plan.segments.is_empty() {
                c.line("(void)bytes;");
            }
            self.segments(c, 0);
        });
    }

    /// Begin and push of rows, which come into the first chain; the other segments follow the last row.
    fn pushed(&self, c: &mut CWriter) {
        let names = self.names;
        let Some((chain, band)) = self.chains.first().and_then(|chain| Some((chain, chain.pushed?))) else { return };
        let [start, push, state] =
            ["bitesize_start", "bitesize_push", "BITESIZE_STATE"].map(|name| names.of_runtime(name));
        let (table, height) = (chain.table(names), names.input_height());
        c.blank();
        c.block(&format!("void {}(void *arena)", names.begin()), |c| {
            c.line(format!("{start}(&{table}, (uint8_t *)arena);"));
        });
        c.blank();
        c.block(&format!("uint32_t {}(void *arena, const uint8_t *row)", names.push_row()), |c| {
            c.line(BYTES);
            c.line(format!("uint32_t taken = {state}(&{table}, bytes)[{band}].end;"));
            c.line(format!("if (taken >= {height}) {{"));
            c.line("    return 0;");
            c.line("}");
            c.line(format!("taken = {push}(&{table}, bytes, {band}, row);"));
            if let Some(roll) = chain.roll(names) {
                c.line(format!("{roll}(bytes);"));
            }
            if self.plan.segments.len() > 1 {
                c.line(format!("if (taken == {height}) {{"));
                c.indented(|c| self.segments(c, 1));
                c.line("}");
            }
            c.line(format!("return {height} - taken;"));
        });
    }

    /// The segments from number `first` on, in order.
    fn segments(&self, c: &mut CWriter, first: usize) {
        let names = self.names;
        let is_chain = |segment: &&PlannedSegment| matches!(segment, PlannedSegment::Chain { .. });
        let mut chains = self.chains.iter().skip(self.plan.segments[..first].iter().filter(is_chain).count());
        for segment in &self.plan.segments[first..] {
            match segment {
                PlannedSegment::Layer(node) => self.layer(c, node.0),
                PlannedSegment::Chain { .. } => {
                    let Some(chain) = chains.next() else { return };
                    c.line(format!("{}(&{}, bytes);", names.of_runtime("bitesize_start"), chain.table(names)));
                    if let Some(roll) = chain.roll(names) {
                        c.line(format!("{roll}(bytes);"));
                    }
                }
            }
        }
    }

    /// All of a layer.
    fn layer(&self, c: &mut CWriter, node: usize) {
        let names = self.names;
        let step = format!(", &{}", names.all_rows());
        for layer in self.layers.iter().filter(|layer| layer.node == node) {
            let step = if layer.has_rows { step.as_str() } else { "" };
            c.line(format!("{}(&{}, bytes{step});", layer.kernel, layer.name));
            c.line(format!("{}({node});", names.step_done()));
        }
        c.line(format!("{}({node});", names.layer_done()));
    }
}

const BYTES: &str = "uint8_t *const bytes = (uint8_t *)arena;";

/// Who profiles is told after each call of a kernel; nobody else pays for it.
fn hooks(c: &mut CWriter, names: &PackageNames) {
    let (layer, step) = (names.layer_done(), names.step_done());
    c.blank();
    c.comment(&format!(
        "Define {layer}(layer) for this file to be told the number of each layer whose last row is done, {step}(layer) to be \
         told that of the layer after each call of a kernel, which may compute some of its rows."
    ));
    for hook in [layer, step] {
        c.line(format!("#ifndef {hook}"));
        c.line(format!("#define {hook}(layer) ((void)0)"));
        c.line("#endif");
    }
}

fn own_arena(c: &mut CWriter, names: &PackageNames) {
    let attribute = names.arena_attribute();
    c.line(format!("#ifndef {}", names.caller_arena()));
    c.line(format!("#ifndef {attribute}"));
    c.line(format!("#define {attribute}"));
    c.line("#endif");
    c.line(format!(
        "{attribute} {} uint8_t {}[{}];",
        names.kernels().of_runtime("BITESIZE_WORD_ALIGNED"),
        names.arena(),
        names.arena_bytes()
    ));
    c.line("#endif");
}
