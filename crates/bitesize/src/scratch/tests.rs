use crate::input::zoo::{self, Architecture, ZooName};
use bitesize_ir::Shape;
use bitesize_ir::rewrite::{Normalization, rewrite};
use bitesize_train::{FloatModel, Loaded, LoadedValues, Samples, Scratch, ScratchSettings, Source, Targets};
use std::ops::ControlFlow;

const SHAPE: Shape = Shape { h: 32, w: 32, c: 3 };

/// Some numbers.
struct Patterns;

impl Source for Patterns {
    fn len(&self) -> usize {
        24
    }

    fn load(&self, indices: &[usize]) -> Result<Loaded, String> {
        let values = indices.iter().flat_map(|n| values(*n)).collect();
        let targets = Targets::Classes(indices.iter().map(|n| Some(n % 3)).collect());
        Ok(Loaded { values: LoadedValues::Reals(values), targets })
    }
}

fn values(n: usize) -> impl Iterator<Item = f32> {
    (0..SHAPE.elements()).map(move |i| ((n * 37 + i * (n + 3)) % 101) as f32 / 50.0 - 1.0)
}

/// What is written as ONNX and read again computes what training computes.
#[test]
fn the_file_gives_the_answers_of_the_trainer() {
    let mut go_on = |_, _| ControlFlow::Continue(());
    for architecture in Architecture::ALL {
        let name: ZooName =
            format!("zoo:{}?width=0.1&resolution=32&classes=3&downsample=8", architecture.name()).parse().unwrap();
        let neutral = Normalization { scale: 1.0, mean: vec![0.0; 3], std: vec![1.0; 3] };
        let settings = ScratchSettings { batch: 8, ..ScratchSettings::new(3, neutral) };
        let mut trainer = Scratch::new(zoo::drawn(&name, 1), settings).unwrap();
        trainer.learn_epoch(&Patterns, &mut go_on).unwrap();
        let input: Vec<f32> = (30..34).flat_map(values).collect();
        let expected = trainer.answers(&LoadedValues::Reals(input.clone())).unwrap();
        let bytes = bitesize_import::export_onnx(trainer.architecture(), trainer.norms()).unwrap();
        let no_other_files = |_: &str, _: u64, _: usize| Err(std::io::ErrorKind::NotFound.into());
        let imported = bitesize_import::import_onnx(&bytes, &no_other_files, "model").unwrap();
        let (network, _) = rewrite(imported.network).unwrap();
        let found = FloatModel::new(&network).forward(&Samples::real(SHAPE, &input), &mut go_on).unwrap();
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(&expected) {
            // After three steps running statistics say little yet, and values of hundreds have 24 bits too.
            assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{}: {a} {b}", architecture.name());
        }
    }
}
