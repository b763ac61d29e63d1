//! Compiles C files and reads what came out: sections, symbols, stack frames.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, elf};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What one compiled file consists of.
pub(crate) struct Object {
    /// Bytes of code and constants, each section rounded up to the word on which the next one starts.
    pub(crate) constant_bytes: u64,
    /// Bytes of variables.
    pub(crate) writable_bytes: u64,
    /// Loaded sections with their bytes, rounded up as above.
    pub(crate) section_bytes: Vec<(String, u64)>,
    /// Bytes of each symbol.
    pub(crate) symbol_bytes: BTreeMap<String, u64>,
    /// What it calls or reads and does not define.
    pub(crate) undefined: Vec<String>,
    /// Bytes of stack of each function.
    pub(crate) frames: Vec<(String, u64)>,
}

/// Writes `files` into `folder` and compiles `source`, one of them.
///
/// # Errors
/// What the compiler printed, or a file that could not be written or read.
pub(crate) fn compile(
    compiler: &str,
    flags: &[&str],
    files: &[(&str, &str)],
    source: &str,
    folder: &Path,
) -> Result<Object, String> {
    // One folder a file, so that files compiled at the same time may have headers of the same name.
    let folder = folder.join(source.trim_end_matches(".c"));
    let error = |what: &str, e: std::io::Error| format!("cannot write {what} into {}: {e}", folder.display());
    std::fs::create_dir_all(&folder).map_err(|e| error("a folder", e))?;
    for (name, text) in files {
        std::fs::write(folder.join(name), text).map_err(|e| error(name, e))?;
    }
    let output = Command::new(compiler)
        .args(flags)
        .args(["-fstack-usage", "-c", source, "-o", "out.o"])
        .current_dir(&folder)
        .output()
        .map_err(|e| format!("cannot run {compiler}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{compiler} {source}:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let read = |name: &str| std::fs::read(folder.join(name)).map_err(|e| format!("cannot read {name}: {e}"));
    let mut object = parse(&read("out.o")?).map_err(|e| format!("{source}: {e}"))?;
    let usage = std::fs::read_to_string(folder.join("out.su")).unwrap_or_default();
    object.frames = usage.lines().map(frame).collect::<Result<_, _>>()?;
    Ok(object)
}

/// One line of a `.su` file: `file:line:column:function`, bytes, kind.
fn frame(line: &str) -> Result<(String, u64), String> {
    let mut fields = line.split('\t');
    let (Some(place), Some(bytes), Some(kind)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("`{line}` is not a line of a stack-usage file"));
    };
    let function = place.rsplit(':').next().unwrap_or(place).to_owned();
    if kind.contains("dynamic") && !kind.contains("bounded") {
        return Err(format!("the stack of `{function}` has no bound"));
    }
    let bytes = bytes.parse().map_err(|_| format!("`{line}` is not a line of a stack-usage file"))?;
    Ok((function, bytes))
}

fn parse(bytes: &[u8]) -> Result<Object, String> {
    let file = object::File::parse(bytes).map_err(|e| e.to_string())?;
    let mut parsed = Object {
        constant_bytes: 0,
        writable_bytes: 0,
        section_bytes: Vec::new(),
        symbol_bytes: BTreeMap::new(),
        undefined: Vec::new(),
        frames: Vec::new(),
    };
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        if !sh_flags.contains(elf::SHF_ALLOC) || section.size() == 0 {
            continue;
        }
        let size = section.size().next_multiple_of(4);
        let name = section.name().map_err(|e| e.to_string())?.to_owned();
        if sh_flags.contains(elf::SHF_WRITE) {
            parsed.writable_bytes += size;
        } else {
            parsed.constant_bytes += size;
        }
        parsed.section_bytes.push((name, size));
    }
    for symbol in file.symbols() {
        let name = symbol.name().map_err(|e| e.to_string())?;
        if symbol.is_undefined() && !name.is_empty() {
            parsed.undefined.push(name.to_owned());
        }
        if symbol.size() > 0 {
            parsed.symbol_bytes.insert(name.to_owned(), symbol.size());
        }
    }
    Ok(parsed)
}

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wconversion", "-Werror"];

/// A compiler for one core, in a folder of its own.
pub(crate) struct Core<'a> {
    pub(crate) compiler: &'a str,
    /// All of them but warnings.
    pub(crate) flags: &'a [&'a str],
    pub(crate) folder: PathBuf,
}

impl Core<'_> {
    /// Compiles `source`, one of `files`.
    ///
    /// # Errors
    /// As [`compile`].
    pub(crate) fn compile(&self, files: &[(&str, &str)], source: &str) -> Result<Object, String> {
        let mut flags: Vec<&str> = WARNINGS.to_vec();
        flags.extend(self.flags);
        compile(self.compiler, &flags, files, source, &self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_frames_have_a_bound_or_are_refused() {
        assert_eq!(frame("a.c:3:6:run\t24\tstatic"), Ok(("run".into(), 24)));
        assert_eq!(frame("a.c:3:6:run\t24\tdynamic,bounded"), Ok(("run".into(), 24)));
        assert!(frame("a.c:3:6:run\t24\tdynamic").is_err_and(|problem| problem.contains("`run` has no bound")));
        assert!(frame("a.c:3:6:run 24 static").is_err());
        assert!(frame("a.c:3:6:run\tmany\tstatic").is_err());
    }
}
