//! The boards of `targets/*.toml` and the cores of `targets/cores/*.toml`, compiled in.
//!
//! A new board is a new file and a line here; `docs/adding-a-target.md` says how.

use bitesize_ir::target::{CoreCosts, Target};

/// The text of `targets/NAME.toml` for each name.
macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../targets/", $folder, $name, ".toml")))),*]
    };
}

const BOARDS: [(&str, &str); 12] = files!("":
    "imxrt1062", "max78000", "mps2-an386", "mps2-an500", "nrf52840", "rp2040", "rp2350", "samd51", "stm32f411",
    "stm32f746", "stm32h743", "stm32l476",
);

const CORES: [(&str, &str); 4] = files!("cores/": "cortex-m0plus", "cortex-m33", "cortex-m4", "cortex-m7");

/// Every board, by name.
pub fn all() -> Vec<Target> {
    BOARDS.iter().map(|(name, text)| parsed(name, Target::from_toml(text))).collect()
}

/// The board called `name`, as `stm32h743`.
pub fn board(name: &str) -> Option<Target> {
    all().into_iter().find(|board| board.name == name)
}

/// Every core, by name.
pub fn cores() -> Vec<CoreCosts> {
    CORES.iter().map(|(name, text)| parsed(name, CoreCosts::from_toml(text))).collect()
}

/// The core called `name`, as `cortex-m4`.
pub fn core(name: &str) -> Option<CoreCosts> {
    let (name, text) = CORES.iter().find(|(core, _)| *core == name)?;
    Some(parsed(name, CoreCosts::from_toml(text)))
}

/// A test reads every file, so that none can fail here.
fn parsed<T>(name: &str, file: Result<T, String>) -> T {
    file.unwrap_or_else(|error| panic!("the file of `{name}` that is compiled in is wrong: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Names of the TOML files in `targets/FOLDER`.
    fn files_in(folder: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../targets").join(folder);
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_suffix(".toml").map(String::from)).collect()
    }

    #[test]
    fn every_file_is_compiled_in_and_named_after_its_board_or_core() {
        assert_eq!(all().into_iter().map(|board| board.name).collect::<BTreeSet<_>>(), files_in(""));
        assert_eq!(cores().into_iter().map(|core| core.name).collect::<BTreeSet<_>>(), files_in("cores"));
    }

    #[test]
    fn every_board_names_a_core_and_regions_that_do_not_meet() {
        for board in all() {
            assert!(core(&board.core).is_some(), "{}: no core `{}`", board.name, board.core);
            assert!(!board.datasheet.is_empty() && !board.description.is_empty(), "{}", board.name);
            let mut regions: Vec<_> = board.flash.iter().chain(&board.ram).collect();
            regions.sort_by_key(|region| region.address);
            for pair in regions.windows(2) {
                assert!(pair[0].address + pair[0].size <= pair[1].address, "{}: {pair:?}", board.name);
            }
        }
    }

    #[test]
    fn budgets_are_the_largest_regions() {
        let budget = |name| {
            let board = board(name).unwrap();
            (board.flash_bytes() / 1024, board.ram_bytes() / 1024)
        };
        for (name, flash_kib, ram_kib) in [
            ("stm32h743", 2048, 512),
            ("stm32f746", 1024, 256),
            ("stm32f411", 512, 128),
            ("stm32l476", 1024, 96),
            ("nrf52840", 1024, 256),
            ("rp2040", 2048, 256),
            ("rp2350", 4096, 512),
            ("samd51", 1024, 256),
            ("imxrt1062", 8192, 512),
            ("max78000", 512, 128),
            ("mps2-an386", 4096, 4096),
            ("mps2-an500", 4096, 4096),
        ] {
            assert_eq!(budget(name), (flash_kib, ram_kib), "{name}");
        }
    }
}
