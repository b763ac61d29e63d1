//! Bytes of FLASH and RAM of a package, read from ELF files.

use bitesize_ir::shown::ShownPath as _;
use object::{Object, ObjectSection, SectionFlags, elf};
use std::path::Path;

/// What every output section of the package's own bytes is called in the linker script.
const PACKAGE_PREFIX: &str = ".package.";

/// Output sections that are the harness's or a library's.
const HARNESS_SECTIONS: [&str; 6] = [".vectors", ".stack", ".code", ".constants", ".data", ".bss"];

/// Bytes that a package takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Code, constants and the initial values of variables.
    pub(crate) flash_bytes: u64,
    /// Variables.
    pub(crate) ram_bytes: u64,
}

/// The sizes of the package in a linked image.
pub(crate) fn of_image(path: &Path) -> Result<Sizes, String> {
    sizes(path, |name| match name.strip_prefix(PACKAGE_PREFIX) {
        Some(_) => Ok(true),
        None if HARNESS_SECTIONS.contains(&name) => Ok(false),
        None => Err(format!("section `{name}` of the linked image belongs neither to the package nor to the harness")),
    })
}

/// The sizes of one object file, before anything unused is dropped.
pub(crate) fn of_object(path: &Path) -> Result<Sizes, String> {
    sizes(path, |_| Ok(true))
}

/// Adds up the sections that are loaded and that `counts`.
fn sizes(path: &Path, counts: impl Fn(&str) -> Result<bool, String>) -> Result<Sizes, String> {
    let error = |e: &dyn std::fmt::Display| format!("cannot read {}: {e}", path.shown());
    let bytes = std::fs::read(path).map_err(|e| error(&e))?;
    let file = object::File::parse(&*bytes).map_err(|e| error(&e))?;
    let mut total = Sizes::default();
    for section in file.sections() {
        let SectionFlags::Elf { sh_type, sh_flags } = section.flags() else { continue };
        if !sh_flags.contains(elf::SHF_ALLOC) || section.size() == 0 {
            continue;
        }
        if !counts(section.name().map_err(|e| error(&e))?)? {
            continue;
        }
        total.flash_bytes += if sh_type == elf::SHT_NOBITS { 0 } else { section.size() };
        total.ram_bytes += if sh_flags.contains(elf::SHF_WRITE) { section.size() } else { 0 };
    }
    Ok(total)
}
