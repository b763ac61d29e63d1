//! `CMakeLists.txt` and the licences.

use crate::names::Names;

const LICENSE_MIT: &str = include_str!("../../../LICENSE-MIT");
const LICENSE_APACHE: &str = include_str!("../../../LICENSE-APACHE");

pub(crate) fn files(names: &Names) -> Vec<(String, String)> {
    let license = "The kernels (bitesize_kernels.h, bitesize_kernels.c) are licensed under either of the MIT licence\n\
                   (LICENSE-MIT) or the Apache License, Version 2.0 (LICENSE-APACHE), at your option. The rest of this\n\
                   folder is generated from your model and carries no licence of its own.\n";
    vec![
        ("CMakeLists.txt".into(), cmake(names)),
        ("LICENSE".into(), license.into()),
        ("LICENSE-MIT".into(), LICENSE_MIT.into()),
        ("LICENSE-APACHE".into(), LICENSE_APACHE.into()),
    ]
}

fn cmake(names: &Names) -> String {
    format!(
        "cmake_minimum_required(VERSION 3.13)\n\
         project({prefix} C)\n\
         \n\
         add_library({prefix} STATIC {source} weights.c bitesize_kernels.c)\n\
         target_include_directories({prefix} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})\n\
         set_target_properties({prefix} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON)\n",
        prefix = names.prefix(),
        source = names.source(),
    )
}
