//! Writes the pixels that a network is fed as raw bytes (NHWC), to compare them with another program's:
//! `cargo run --release --example pixels -- DATA PREPROCESS.toml HEIGHTxWIDTHxCHANNELS COUNT > pixels.raw`

use bitesize::input::{Dataset, Preprocess, PreprocessFile, Request, Role, Values};
use bitesize_ir::Shape;
use std::io::Write as _;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [data, preprocess, shape, count] = &args[..] else { anyhow::bail!("give DATA PREPROCESS.toml HxWxC COUNT") };
    let sides: Vec<usize> = shape.split('x').map(str::parse).collect::<Result<_, _>>()?;
    let [h, w, c] = sides[..] else { anyhow::bail!("`{shape}` is not HEIGHTxWIDTHxCHANNELS") };
    let shape = Shape::new(h, w, c);
    let preprocess = Preprocess::checked(&PreprocessFile::from_toml(&std::fs::read_to_string(preprocess)?)?, shape)?;
    let request = Request::new(shape, &preprocess);
    let data = Dataset::open(data.as_ref(), Role::Train, &request)?;
    let indices: Vec<usize> = (0..count.parse::<usize>()?.min(data.len())).collect();
    let Values::Pixels(pixels) = data.load(&indices)?.values else { anyhow::bail!("these data are no pixels") };
    std::io::stdout().write_all(&pixels)?;
    Ok(())
}
