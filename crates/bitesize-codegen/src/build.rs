//! `CMakeLists.txt` and the licences.

use crate::names::PackageNames;
use crate::options::Figures;

const LICENSE_MIT: &str = include_str!("../../../LICENSE-MIT");
const LICENSE_APACHE: &str = include_str!("../../../LICENSE-APACHE");

/// `own_kernels`: whether the kernels lie in the package; `figures`: what it is to be built as.
pub(crate) fn files(names: &PackageNames, own_kernels: bool, figures: Option<&Figures>) -> Vec<(String, String)> {
    let license = format!(
        "The kernels ({}, {}) are licensed under either of the MIT licence\n\
         (LICENSE-MIT) or the Apache License, Version 2.0 (LICENSE-APACHE), at your option. The rest of this\n\
         folder is generated from your model and carries no licence of its own.\n",
        names.kernels().header(),
        names.kernels().source()
    );
    vec![
        ("CMakeLists.txt".into(), cmake(names, own_kernels, figures)),
        ("LICENSE".into(), license),
        ("LICENSE-MIT".into(), LICENSE_MIT.into()),
        ("LICENSE-APACHE".into(), LICENSE_APACHE.into()),
    ]
}

/// CMake alone would not optimize at all. A project that the folder is part of decides for itself.
pub(crate) const OPTIMIZED: &str = r#"
# Built on its own and without a build type, the code is optimized as the sizes in the header are meant.
if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
  set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")
endif()
"#;

/// The flags of code generation with which the header's figures hold. Core and optimization are the project's.
fn code_flags(prefix: &str, figures: Option<&Figures>) -> String {
    let flags = figures.into_iter().flat_map(|figures| &figures.flags).filter(|flag| flag.starts_with("-f"));
    let flags: Vec<&str> = flags.map(String::as_str).collect();
    if flags.is_empty() {
        return String::new();
    }
    format!(
        "# With these, and the core and the optimization that the header names, FLASH and stack are what it says.\n\
         if(CMAKE_C_COMPILER_ID MATCHES \"GNU|Clang\")\n  \
           target_compile_options({prefix} PRIVATE {})\n\
         endif()\n",
        flags.join(" ")
    )
}

fn cmake(names: &PackageNames, own_kernels: bool, figures: Option<&Figures>) -> String {
    let mut sources = vec![names.source(), names.weights_source()];
    if own_kernels {
        sources.push(names.kernels().source());
    }
    format!(
        "cmake_minimum_required(VERSION 3.13)\n\
         project({prefix} C)\n\
         {OPTIMIZED}\
         \n\
         add_library({prefix} STATIC {sources})\n\
         target_include_directories({prefix} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})\n\
         set_target_properties({prefix} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)\n\
         {code_flags}",
        prefix = names.prefix(),
        sources = sources.join(" "),
        code_flags = code_flags(names.prefix(), figures),
    )
}
