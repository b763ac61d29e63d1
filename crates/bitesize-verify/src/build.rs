//! Compiles a package with a harness, and links it.

use crate::failure::Failure;
use crate::machine::{Machine, Runner};
use crate::process::{Place, ProcessError};
use crate::settings::Tools;
use crate::sizes::{self, Sizes};
use bitesize_codegen::PackageNames;
use bitesize_ir::shown::ShownPath as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the emitted C has to be free of, on every compiler.
#[rustfmt::skip]
const WARNINGS: [&str; 7] =
    ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"];

/// The language of packages, and optimization. On a core the core's file says all of it.
const HOST_FLAGS: [&str; 2] = ["-std=c99", "-O2"];

/// An emitted package on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFolder {
    /// The folder that holds its sources.
    pub folder: PathBuf,
    /// What its names begin with, as `model`.
    pub prefix: String,
}

impl PackageFolder {
    /// The C files, sorted by name.
    pub(crate) fn sources(&self) -> Result<Vec<String>, String> {
        let error = |e| format!("cannot read the package {}: {e}", self.folder.shown());
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(error)? {
            let name = entry.map_err(error)?.file_name();
            // The emitter's own file names are ASCII; others are not part of the package.
            names.extend(name.to_str().filter(|name| name.ends_with(".c")).map(String::from));
        }
        names.sort();
        if names.is_empty() {
            return Err(format!("{} holds no C files; run `bitesize emit` first", self.folder.shown()));
        }
        Ok(names)
    }

    /// The header that tells a harness the package's names.
    fn header(&self) -> Result<String, String> {
        let names = PackageNames::new(&self.prefix, None).map_err(|e| e.to_string())?;
        Ok(format!(
            "#include \"{header}\"\n\
             #define PACKAGE_ARENA {arena}\n\
             #define PACKAGE_OUTPUT {output}\n\
             #define PACKAGE_INPUT_BYTES {input_bytes}\n\
             #define PACKAGE_OUTPUT_BYTES {output_bytes}\n\
             #ifdef {row_bytes}\n\
             #define PACKAGE_INPUT_ROW_BYTES {row_bytes}\n\
             #define PACKAGE_BEGIN {begin}\n\
             #define PACKAGE_PUSH_ROW {push_row}\n\
             #else\n\
             #define PACKAGE_INPUT {input}\n\
             #define PACKAGE_RUN {run}\n\
             #endif\n",
            header = names.header(),
            arena = names.arena(),
            output = names.output(),
            input_bytes = names.input_bytes(),
            output_bytes = names.output_bytes(),
            row_bytes = names.input_row_bytes(),
            begin = names.begin(),
            push_row = names.push_row(),
            input = names.input(),
            run = names.run(),
        ))
    }
}

/// A program that runs the package.
pub(crate) struct Image {
    /// Relative to the working folder.
    pub(crate) file: &'static str,
    /// Bytes from the package's own objects; `None` on the host, whose sizes say nothing about a chip.
    pub(crate) sizes: Option<Sizes>,
    /// What the compiler calls itself.
    pub(crate) compiler: String,
}

/// Builds in one folder.
pub(crate) struct Builder<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) tools: &'a Tools,
    pub(crate) limit: Duration,
}

impl Builder<'_> {
    /// Compiles and links `package` for `runner` with `flags` for its core.
    pub(crate) fn build(&self, package: &PackageFolder, runner: Runner, flags: &[String]) -> Result<Image, Failure> {
        let folder = self.place.folder;
        let write = |name: &str, text: &str| {
            fs::write(folder.join(name), text)
                .map_err(|e| Failure::Failed(format!("cannot write {}: {e}", folder.join(name).shown())))
        };
        let sources = package.sources().map_err(Failure::Failed)?;
        fs::create_dir_all(folder.join("package"))
            .map_err(|e| Failure::Failed(format!("cannot create {}: {e}", folder.shown())))?;
        write("package.h", &package.header().map_err(Failure::Failed)?)?;
        write("harness.c", runner.main_source())?;
        let compiler = self.compiler_version(runner)?;
        let mut objects = Vec::new();
        let absolute = std::path::absolute(&package.folder)
            .map_err(|e| Failure::Failed(format!("cannot find {}: {e}", package.folder.shown())))?;
        for source in &sources {
            let object = format!("package/{source}.o");
            self.compile(runner, flags, &absolute, &absolute.join(source), &object)?;
            objects.push(object);
        }
        self.compile(runner, flags, &absolute, Path::new("harness.c"), "harness.o")?;
        let sizes = match runner {
            Runner::Host => None,
            Runner::Emulated(machine) => {
                let total = self.total_of(&objects).map_err(Failure::Failed)?;
                write("link.ld", &machine.linker_script(total.flash_bytes, total.ram_bytes))?;
                Some(total)
            }
        };
        objects.push("harness.o".into());
        self.link(runner, flags, objects, IMAGE)?;
        let sizes = match sizes {
            None => None,
            Some(_) => Some(sizes::of_image(&folder.join(IMAGE)).map_err(Failure::Failed)?),
        };
        Ok(Image { file: IMAGE, sizes, compiler })
    }

    /// Builds on top of an image of `package` another one, which counts the instructions of each of its `layers`.
    pub(crate) fn build_counting(
        &self,
        package: &PackageFolder,
        runner: Runner,
        flags: &[String],
        layers: usize,
    ) -> Result<&'static str, Failure> {
        let folder = self.place.folder;
        let names = PackageNames::new(&package.prefix, None).map_err(|e| Failure::Failed(e.to_string()))?;
        let absolute = std::path::absolute(&package.folder)
            .map_err(|e| Failure::Failed(format!("cannot find {}: {e}", package.folder.shown())))?;
        let hook = "#include <stdint.h>\nvoid package_step_done(uint32_t layer);\n";
        fs::write(folder.join("step_done.h"), hook)
            .map_err(|e| Failure::Failed(format!("cannot write {}: {e}", folder.join("step_done.h").shown())))?;
        let mut objects = Vec::new();
        for source in package.sources().map_err(Failure::Failed)? {
            if source == names.source() {
                let hooked =
                    ["-include".into(), "step_done.h".into(), format!("-D{}=package_step_done", names.step_done())];
                let flags: Vec<String> = flags.iter().cloned().chain(hooked).collect();
                self.compile(runner, &flags, &absolute, &absolute.join(&source), "package/counting.o")?;
                objects.push("package/counting.o".into());
            } else {
                objects.push(format!("package/{source}.o"));
            }
        }
        let counting: Vec<String> = flags.iter().cloned().chain([format!("-DPACKAGE_LAYERS={layers}")]).collect();
        self.compile(runner, &counting, &absolute, Path::new("harness.c"), "counting.o")?;
        objects.push("counting.o".into());
        self.link(runner, flags, objects, COUNTING_IMAGE)?;
        Ok(COUNTING_IMAGE)
    }

    /// The first line of what the compiler prints about itself.
    fn compiler_version(&self, runner: Runner) -> Result<String, Failure> {
        let printed = self.tool(runner, &["--version".into()])?;
        if let Runner::Emulated(_) = runner {
            self.check_libc()?;
        }
        Ok(printed.lines().next().unwrap_or_default().trim().to_string())
    }

    /// The cross compiler comes without a C library, whose `string.h` a package includes.
    fn check_libc(&self) -> Result<(), Failure> {
        let arguments = ["-print-file-name=libc.a".to_string()];
        let found = self.place.run(&self.tools.arm_compiler, &arguments, self.limit, || {}).map_err(failure_of_arm)?;
        if Path::new(found.trim()).is_absolute() {
            return Ok(());
        }
        Err(Failure::NotRun {
            reason: format!("`{}` has no C library", self.tools.arm_compiler),
            install: "libnewlib-arm-none-eabi",
        })
    }

    fn compile(
        &self,
        runner: Runner,
        flags: &[String],
        include: &Path,
        source: &Path,
        object: &str,
    ) -> Result<(), Failure> {
        let mut arguments: Vec<String> = WARNINGS.map(String::from).to_vec();
        match runner {
            Runner::Host => arguments.extend(HOST_FLAGS.map(String::from)),
            Runner::Emulated(machine) => {
                arguments.extend(machine.traps_unaligned.then(|| "-DTRAP_UNALIGNED".into()));
            }
        }
        arguments.extend(flags.iter().cloned());
        let path = |path: &Path| path.to_string_lossy().into_owned();
        arguments.extend(["-I.".into(), format!("-I{}", path(include)), "-c".into(), path(source)]);
        arguments.extend(["-o".into(), object.into()]);
        self.tool(runner, &arguments).map(drop)
    }

    fn link(&self, runner: Runner, flags: &[String], objects: Vec<String>, image: &str) -> Result<(), Failure> {
        let mut arguments = objects;
        arguments.extend(flags.iter().cloned());
        if let Runner::Emulated(_) = runner {
            arguments.extend(["-nostartfiles", "-Wl,--gc-sections", "-T", "link.ld"].map(String::from));
        }
        arguments.extend(["-o".into(), image.into()]);
        self.tool(runner, &arguments).map(drop)
    }

    /// Runs the compiler of `runner`.
    fn tool(&self, runner: Runner, arguments: &[String]) -> Result<String, Failure> {
        let (program, failure): (_, fn(ProcessError) -> Failure) = match runner {
            Runner::Host => (&self.tools.host_compiler, failure_of_host),
            Runner::Emulated(_) => (&self.tools.arm_compiler, failure_of_arm),
        };
        self.place.run(program, arguments, self.limit, || {}).map_err(failure)
    }

    fn total_of(&self, objects: &[String]) -> Result<Sizes, String> {
        let mut total = Sizes::default();
        for object in objects {
            let sizes = sizes::of_object(&self.place.folder.join(object))?;
            total.flash_bytes += sizes.flash_bytes;
            total.ram_bytes += sizes.ram_bytes;
        }
        Ok(total)
    }

    /// Runs an image to its end.
    pub(crate) fn start(
        &self,
        image: &str,
        runner: Runner,
        limit: Duration,
        watch: impl FnMut(),
    ) -> Result<(), Failure> {
        let ran = match runner {
            Runner::Host => {
                let program = self.place.folder.join(image).to_string_lossy().into_owned();
                self.place.run(&program, &[], limit, watch).map_err(failure_of_image)
            }
            Runner::Emulated(machine) => self.emulate(machine, image, limit, watch),
        };
        ran.map(drop)
    }

    fn emulate(&self, machine: &Machine, image: &str, limit: Duration, watch: impl FnMut()) -> Result<String, Failure> {
        let arguments = machine.emulator_arguments(image);
        self.place.run(&self.tools.emulator, &arguments, limit, watch).map_err(|e| failure(e, "qemu-system-arm"))
    }
}

const IMAGE: &str = "image.elf";
const COUNTING_IMAGE: &str = "counting.elf";

fn failure_of_host(error: ProcessError) -> Failure {
    failure(error, "gcc libc6-dev")
}

/// The image was just linked: it is no tool that could be missing.
fn failure_of_image(error: ProcessError) -> Failure {
    match error {
        ProcessError::NotFound(program) => Failure::Failed(format!("the linker succeeded and left no `{program}`")),
        other => failure_of_host(other),
    }
}

fn failure_of_arm(error: ProcessError) -> Failure {
    failure(error, "gcc-arm-none-eabi libnewlib-arm-none-eabi")
}

/// A missing tool is a runner that did not run; everything else is one that failed.
fn failure(error: ProcessError, install: &'static str) -> Failure {
    match error {
        ProcessError::NotFound(_) => Failure::NotRun { reason: error.to_string(), install },
        ProcessError::Cancelled => Failure::Cancelled,
        other => Failure::Failed(other.to_string()),
    }
}
