//! Rolling chains: their tables, and the functions that compute their layers in turns.

use crate::error::EmitError;
use crate::layers::Layer;
use crate::names::PackageNames;
use crate::writer::CWriter;
use bitesize_integer::IntNetwork;
use bitesize_ir::memory::{Band, Chain, Member, MemoryPlan, PlannedSegment};
use bitesize_ir::op::KernelKind;

const ROLLING: &str = include_str!("../../../runtime/rolling.h");
const PUSH: &str = include_str!("../../../runtime/push.h");

/// Layers and bands of a chain, and what its layers read: their numbers have a byte, of which the largest are taken
/// (`BITESIZE_PUSHED`, `BITESIZE_THERE`).
const MOST: usize = 254;

/// The tables of a chain, as C writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rolling {
    /// Its number.
    pub(crate) number: usize,
    bands: Vec<String>,
    /// Of each band.
    row_bytes: Vec<usize>,
    members: Vec<String>,
    inputs: Vec<usize>,
    state: usize,
    /// For each member the node, its rows, and the bands that it reads.
    turns: Vec<(usize, usize, Vec<usize>)>,
    /// The band into which rows are pushed.
    pub(crate) pushed: Option<usize>,
}

/// The chains of `plan`, in order.
pub(crate) fn chains(network: &IntNetwork, plan: &MemoryPlan, names: &PackageNames) -> Result<Vec<Rolling>, EmitError> {
    let chains = plan.segments.iter().filter_map(|segment| match segment {
        PlannedSegment::Chain { chain, state } => Some((chain, *state)),
        PlannedSegment::Layer(_) => None,
    });
    let tables = |(number, (chain, state)): (usize, (&Chain, usize))| {
        let context = Context { network, plan, names, chain };
        context.tables(number, state)
    };
    chains.enumerate().map(tables).collect()
}

struct Context<'a> {
    network: &'a IntNetwork,
    plan: &'a MemoryPlan,
    names: &'a PackageNames,
    chain: &'a Chain,
}

impl Context<'_> {
    fn tables(&self, number: usize, state: usize) -> Result<Rolling, EmitError> {
        let chain = self.chain;
        let mut inputs = Vec::new();
        let mut members = Vec::new();
        for member in &chain.members {
            members.push(self.member(member, inputs.len())?);
            inputs.extend(&member.inputs);
        }
        // Those of the last member begin with one that has a number, too.
        self.small("its layers' inputs", inputs.len(), usize::from(u8::MAX))?;
        self.small("its layers", members.len(), MOST)?;
        self.small("its tensors", chain.bands.len(), MOST)?;
        let bands: Result<Vec<String>, EmitError> = chain.bands.iter().map(|band| self.band(band)).collect();
        let turn = |member: &Member| (member.node, member.rows.height(), member.inputs.clone());
        Ok(Rolling {
            number,
            bands: bands?,
            row_bytes: chain.bands.iter().map(|band| self.row_bytes(band)).collect(),
            members,
            inputs,
            state,
            turns: chain.members.iter().map(turn).collect(),
            pushed: chain.bands.iter().position(|band| band.is_pushed),
        })
    }

    fn row_bytes(&self, band: &Band) -> usize {
        let tensor = self.network.tensor(band.tensor);
        tensor.shape.w * tensor.bits.row_bytes(tensor.shape.c)
    }

    fn band(&self, band: &Band) -> Result<String, EmitError> {
        let row_bytes = self.row_bytes(band);
        let writer = match band.writer {
            Some(writer) => writer.to_string(),
            None if band.is_pushed => self.names.of_runtime("BITESIZE_PUSHED"),
            None => self.names.of_runtime("BITESIZE_THERE"),
        };
        let offset = self.plan.tensors[band.tensor.0];
        self.small("an offset in the arena", offset.max(row_bytes), i32::MAX as usize)?;
        self.small("the rows that it keeps of a tensor", band.rows, usize::from(u16::MAX))?;
        Ok(format!("{{{offset}, {row_bytes}, {}, {writer}}}", band.rows))
    }

    /// The row of `member`, whose inputs are those of the chain from number `first` on.
    fn member(&self, member: &Member, first: usize) -> Result<String, EmitError> {
        let (rows, window) = (&member.rows, &member.rows.layer.window);
        let (height, input_rows) = (rows.height(), rows.layer.inputs[0].h);
        let is_pixelwise = matches!(rows.layer.kind, KernelKind::Add | KernelKind::Concat | KernelKind::Clamp);
        let mut readers =
            self.chain.members.iter().enumerate().filter(|(_, other)| other.inputs.contains(&member.output));
        let reader = match (readers.next(), readers.next()) {
            (Some((reader, _)), None) if !member.is_wanted => reader.to_string(),
            _ => self.names.of_runtime("BITESIZE_NONE"),
        };
        let reach = (window.kernel[0] - 1) * window.dilation[0] + 1;
        self.small("its rows", height.max(input_rows), usize::from(u16::MAX))?;
        self.small("its stride", window.stride[0], usize::from(u8::MAX))?;
        self.small("the reach of its window", reach.max(window.pads.top + window.stride[0]), i16::MAX as usize)?;
        Ok(format!(
            "{{{height}, {input_rows}, {}, {}, {}, {}, {first}, {}, {reader}}}",
            reach as i64 - (window.pads.top + window.stride[0]) as i64,
            window.stride[0],
            u8::from(member.is_wanted) + 2 * u8::from(is_pixelwise) + 4 * u8::from(rows.at_once() == 2),
            member.output,
            member.inputs.len(),
        ))
    }

    fn small(&self, what: &str, value: usize, limit: usize) -> Result<(), EmitError> {
        if value <= limit {
            return Ok(());
        }
        let first = self.chain.members.first().map_or(&self.network.name, |m| &self.network.nodes[m.node].name);
        Err(EmitError::TooLarge { node: format!("the chain from {first} on"), what: what.into(), value, limit })
    }
}

impl Rolling {
    /// Its table.
    pub(crate) fn table(&self, names: &PackageNames) -> String {
        names.of_chain("chain", self.number)
    }

    /// The function that computes what can be computed of it; `None` where it has no layers.
    pub(crate) fn roll(&self, names: &PackageNames) -> Option<String> {
        (!self.members.is_empty()).then(|| names.of_chain("roll", self.number))
    }
}

/// The driver and the tables of `chains`.
pub(crate) fn tables(c: &mut CWriter, chains: &[Rolling], names: &PackageNames) {
    if chains.is_empty() {
        return;
    }
    c.blank();
    c.verbatim(&names.of_runtime(ROLLING));
    if chains.iter().any(|chain| chain.pushed.is_some()) {
        c.blank();
        c.verbatim(&names.of_runtime(PUSH));
    }
    for chain in chains {
        let [members, bands, inputs] = ["members", "bands", "inputs"].map(|what| names.of_chain(what, chain.number));
        let table = |c: &mut CWriter, kind: &str, name: &str, rows: &[String]| {
            if !rows.is_empty() {
                c.blank();
                c.array(&format!("static const {} {name}[{}]", names.of_runtime(kind), rows.len()), rows);
            }
        };
        table(c, "bitesize_member", &members, &chain.members);
        table(c, "bitesize_band", &bands, &chain.bands);
        let numbers: Vec<String> = chain.inputs.iter().map(usize::to_string).collect();
        table(c, "uint8_t", &inputs, &numbers);
        let own = |name: String, rows: usize| if rows == 0 { "0".into() } else { name };
        let (members, inputs) = (own(members, chain.members.len()), own(inputs, chain.inputs.len()));
        c.blank();
        c.line(format!("static const {} {} = {{", names.of_runtime("bitesize_chain"), chain.table(names)));
        let [count, band_count, state] = [chain.members.len(), chain.bands.len(), chain.state];
        c.line(format!("    {members}, {bands}, {inputs}, {state}, {count}, {band_count},"));
        c.line("};");
    }
}

/// The function that computes what can be computed of `chain`.
pub(crate) fn roll(c: &mut CWriter, chain: &Rolling, layers: &[Layer], names: &PackageNames) {
    let Some(roll) = chain.roll(names) else { return };
    let table = chain.table(names);
    let next = names.of_runtime("bitesize_next_step");
    c.blank();
    c.block(&format!("static void {roll}(uint8_t *bytes)"), |c| {
        c.line(format!("{} step;", names.kernels().of_runtime("bitesize_step")));
        c.line(format!("uint32_t member = {};", names.of_runtime("BITESIZE_NONE")));
        c.line("for (;;) {");
        c.line(format!("    member = {next}(&{table}, bytes, &step, member);"));
        c.line("    switch (member) {");
        for (number, (node, rows, inputs)) in chain.turns.iter().enumerate() {
            c.line(format!("    case {number}:"));
            for (part, layer) in layers.iter().filter(|layer| layer.node == *node).enumerate() {
                if part > 0 {
                    let state = names.of_runtime("BITESIZE_STATE");
                    let band = inputs[part];
                    c.line(format!("        step.inputs[0] = step.first - {state}(&{table}, bytes)[{band}].first;"));
                    c.line(format!("        step.inputs[0] *= {};", chain.row_bytes[band]));
                }
                c.line(format!("        {}(&{}, bytes, &step);", layer.kernel, layer.name));
                c.line(format!("        {}({node});", names.step_done()));
            }
            c.line(format!("        if (step.end == {rows}) {{"));
            c.line(format!("            {}({node});", names.layer_done()));
            c.line("        }");
            c.line("        break;");
        }
        c.line("    default:");
        c.line("        return;");
        c.line("    }");
        c.line("}");
    });
}
