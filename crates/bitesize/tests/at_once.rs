//! A budget that cannot be kept is answered in under a second, from the command to the exit code. In a program of its own, so
//! that no other test takes the processor meanwhile. Networks and data are in the folder that `BITESIZE_SHARED` names.

mod common;

use common::shared;
use std::process::Command;
use std::time::{Duration, Instant};

/// Each network with all of its data. The best of five counts: this guards against a blow-up, not against noise.
#[test]
fn what_does_not_fit_is_answered_at_once() {
    let (Some(models), Some(data)) = (shared("models"), shared("data/cifar10")) else { return };
    for name in ["cifar10_mnasnet", "cifar10_mobilenet_v2", "cifar10_mobilenet_v1"] {
        let model = models.join(name);
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let mut fit = Command::new(env!("CARGO_BIN_EXE_bitesize"));
            fit.arg("fit").arg(model.with_extension("onnx")).arg("--preprocess").arg(model.with_extension("toml"));
            fit.arg("--train").arg(data.join("train")).arg("--val").arg(data.join("test"));
            fit.args(["--flash", "250KiB", "--ram", "20KiB", "-o"]).arg(folder.path().join("out"));
            let start = Instant::now();
            let ran = fit.output().unwrap();
            best = best.min(start.elapsed());
            let told = String::from_utf8_lossy(&ran.stderr);
            assert_eq!(ran.status.code(), Some(3), "{told}");
            assert!(told.contains("boards that would do: "), "{told}");
        }
        println!("{name}: {best:?}");
        assert!(best < Duration::from_secs(1), "{name}: {best:?}");
    }
}
