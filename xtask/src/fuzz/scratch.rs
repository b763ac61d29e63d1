//! Where a reader finds its files.

use bitesize::input::{Model, Preprocess, PreprocessFile};
use bitesize::observe::{Monitor, Unobserved};
use bitesize_ir::Shape;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What readers need beside an input: places for files, and a network.
pub(super) struct Scratch {
    pub(super) folder: PathBuf,
    pub(super) model: Model,
    pub(super) preprocess: Preprocess,
}

/// What samples are brought to.
pub(super) const SHAPE: Shape = Shape { h: 4, w: 5, c: 3 };

/// The hash that weights are said to be made from.
pub(super) const SHA256: &str = "00";

impl Scratch {
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        for name in ["images/a", "idx"] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        let file = PreprocessFile { size: Some([SHAPE.h, SHAPE.w]), ..Default::default() };
        let preprocess = Preprocess::checked(&file, SHAPE).map_err(io::Error::other)?;
        let model = Model::load(&network(), &Monitor::new(&Unobserved)).map_err(io::Error::other)?;
        Ok(Self { folder: folder.to_owned(), model, preprocess })
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        overwrite(&path, bytes).expect("the folder can be written to");
        path
    }
}

/// A small network with weights.
fn network() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/onnx/conv_classifier.onnx")
}

/// Writes `bytes` to the file `path`. It is not emptied first: file systems then wait for the disk.
///
/// # Errors
/// The operating system's.
pub(super) fn overwrite(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::File::options().write(true).create(true).truncate(false).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}
