//! The network as the rest of a run sees it: imported, checked, rewritten.

use super::preprocess::Preprocess;
use super::zoo::{self, ZooName, is_zoo};
use crate::ending::usage;
use crate::files;
use crate::hash::sha256;
use crate::observe::Monitor;
use anyhow::Context as _;
use bitesize_import::{Imported, InputShape, Layout, OutputOrder};
use bitesize_ir::shape::nhwc_indices;
use bitesize_ir::shown::ShownPath as _;
use bitesize_ir::{Axis, Network, Op, PolicySpace};
use std::path::{Path, PathBuf};

/// An imported and rewritten network, and where it came from.
pub struct Model {
    /// The file, or the whole name of a network of the zoo.
    pub path: PathBuf,
    /// Of the file's bytes, or of what a network of the zoo is made from, in hexadecimal.
    pub sha256: String,
    /// How the file's own input runs over the network's.
    pub input: Layout,
    /// After every rewrite.
    pub network: Network,
    /// In which order the file has its output, and the network's output is.
    pub output_order: OutputOrder,
    /// Its free widths.
    pub space: PolicySpace,
    /// How the file's output runs over the network's.
    pub output: bitesize_import::ImportedTensor,
    /// Which rewrites were applied and which did not fire, and why.
    pub rewrites: String,
}

impl Model {
    /// As [`Self::load_sized`], for a file that leaves no size open.
    ///
    /// # Errors
    /// As [`Self::load_sized`].
    pub fn load(path: &Path, monitor: &Monitor) -> anyhow::Result<Self> {
        Self::load_sized(path, None, monitor)
    }

    /// Imports and rewrites the network in `path`, whose open sizes are those of `input_shape`; it takes real values.
    /// A path that begins with `zoo:` is no file but the name of a network of the [zoo].
    ///
    /// # Errors
    /// A file that cannot be read or imported, or whose input has another shape; a name that the zoo does not have, or an
    /// `input_shape` beside one, as [`Usage`](crate::Usage).
    pub fn load_sized(path: &Path, input_shape: Option<&InputShape>, monitor: &Monitor) -> anyhow::Result<Self> {
        let Source { path, sha256, imported } =
            if is_zoo(path) { from_zoo(path, input_shape)? } else { from_file(path, input_shape)? };
        for note in &imported.notes {
            monitor.note(note);
        }
        let (input, output) = (imported.input.layout, imported.output);
        let output_order = imported.output_order;
        let (operators, tail) = (imported.network.nodes.len(), imported.network.tail);
        let (network, log) = bitesize_ir::rewrite::rewrite(imported.network)
            .with_context(|| format!("`{}` is not a network that can be quantized", path.shown()))?;
        let rewrites = log.to_string();
        monitor.detail(&rewrites);
        monitor.note(format_args!(
            "model: {}, {} operators ({} as imported), {} parameters, {} MACs, input {}, output {}{}{}",
            path.shown(),
            network.nodes.len(),
            operators,
            network.parameters(),
            network.macs(),
            network.shape(network.input),
            network.shape(network.output),
            output_order.text().map_or(String::new(), |order| format!(" ({order})")),
            tail.map_or(String::new(), |tail| format!(", final {tail} dropped")),
        ));
        let space = PolicySpace::of(&network);
        Ok(Self { path, sha256, input, output, output_order, network, space, rewrites })
    }

    /// For each element of the output the place in a sample of what an autoencoder gives there, where output and input have
    /// as many elements: the same row, column and channel where both are such, else the element of the same number in the
    /// file's tensors, as where one of them is flattened.
    pub fn reconstruction(&self) -> Option<Vec<usize>> {
        let network = &self.network;
        let (input, output) = (network.shape(network.input), network.shape(network.output));
        let flatten = network.nodes.iter().find(|node| node.output == network.output).and_then(|node| match node.op {
            Op::Flatten(axes) => Some((network.shape(node.inputs[0]), axes)),
            _ => None,
        });
        let (map, axes) = flatten.unwrap_or((output, [Axis::H, Axis::W, Axis::C]));
        if map == input {
            return Some(nhwc_indices(input, axes.into_iter()));
        }
        let is_row = self.output_order.flattened || input.pixels() == 1 || output.pixels() == 1;
        let (from, to) = (self.input.nhwc_indices(input), self.output.layout.nhwc_indices(output));
        let counts = [input.elements(), output.elements(), from.len(), to.len()];
        if !is_row || counts.iter().any(|count| *count != counts[0]) {
            return None;
        }
        let mut places = vec![0; to.len()];
        to.into_iter().zip(from).for_each(|(to, from)| places[to] = from);
        Some(places)
    }

    /// Folds `preprocess` into the first layer, so that the network takes raw `u8` pixels.
    ///
    /// # Errors
    /// Preprocessing that the network cannot hold.
    pub fn fold_preprocessing(&mut self, preprocess: &Preprocess) -> anyhow::Result<()> {
        let folded = bitesize_ir::rewrite::Normalization {
            scale: preprocess.scale,
            mean: preprocess.mean.clone(),
            std: preprocess.std.clone(),
        };
        self.network = bitesize_ir::rewrite::fold_normalization(self.network.clone(), &folded)
            .context("cannot fold the preprocessing into the first layer")?;
        self.space = PolicySpace::of(&self.network);
        Ok(())
    }
}

/// A network before any rewrite, and where it came from.
struct Source {
    path: PathBuf,
    sha256: String,
    imported: Imported,
}

fn from_zoo(path: &Path, input_shape: Option<&InputShape>) -> anyhow::Result<Source> {
    let name: ZooName = path.to_string_lossy().parse().map_err(|problem: String| usage(problem))?;
    if let Some(shape) = input_shape {
        return Err(usage(format!(
            "`{name}` has the input size that its name says: say resolution=... there, and leave out --input-shape \
             {shape}"
        )));
    }
    let (path, sha256) = (PathBuf::from(name.to_string()), sha256(zoo::canonical(&name).as_bytes()));
    Ok(Source { path, sha256, imported: zoo::imported(&name) })
}

fn from_file(path: &Path, input_shape: Option<&InputShape>) -> anyhow::Result<Source> {
    let bytes = files::read(path).with_context(|| format!("cannot read the model `{}`", path.shown()))?;
    let imported = import(path, &bytes, input_shape)?;
    Ok(Source { path: path.to_owned(), sha256: sha256(&bytes), imported })
}

fn import(path: &Path, bytes: &[u8], input_shape: Option<&InputShape>) -> anyhow::Result<Imported> {
    let name = path.file_stem().map_or_else(|| "network".into(), |s| s.to_string_lossy());
    let folder = path.parent().unwrap_or(Path::new("."));
    let external =
        |location: &str, offset: u64, length: usize| files::read_part(&folder.join(location), offset, length);
    bitesize_import::import_onnx_sized(bytes, &external, &name, input_shape)
        .with_context(|| format!("cannot import `{}`", path.shown()))
}
