//! What the code of each role is counted by: the names of what `memory::work` counts, and of the figures under `[instructions]` of a
//! core's file, in their order.

use crate::code::{Role, StageKind};
use crate::op::KernelKind;

/// What the numbers of [`work`](crate::memory::work) count for the code of a role.
pub fn work_names(role: Role) -> &'static [&'static str] {
    match role {
        Role::Kernel(KernelKind::Conv2d) => &CONV2D,
        Role::Kernel(KernelKind::DepthwiseConv2d) => &DEPTHWISE,
        Role::Kernel(KernelKind::FullyConnected) => &FULLY_CONNECTED,
        Role::Kernel(KernelKind::Add | KernelKind::Clamp | KernelKind::Concat) => &["call", "pixel", "code"],
        Role::Kernel(KernelKind::Pad) => &["call", "pixel", "code", "padding code"],
        Role::Kernel(KernelKind::Flatten) => &["call", "row", "code"],
        Role::Kernel(KernelKind::MaxPool | KernelKind::AveragePool) => &["call", "pixel", "code", "row", "tap"],
        Role::Stage(StageKind::Conv2dRows) => &CONV2D_ROWS,
        Role::Stage(StageKind::DepthwiseConv2dRows) => &DEPTHWISE_ROWS,
        Role::Stage(StageKind::FullyConnectedRows) => &["call", "word cleared", "tile"],
        Role::Stage(StageKind::GatherLanes) => &GATHER,
        Role::Stage(StageKind::MultiplyPixels | StageKind::MultiplyVector) => &MULTIPLY,
        Role::Stage(StageKind::Pack) => &["call", "word", "last codes"],
        Role::Stage(StageKind::Spread) => &SPREAD,
        Role::Stage(StageKind::Levels) => &["call", "word"],
        Role::Stage(StageKind::PackStrip) => &["call", "pixel", "pixel of fewer channels"],
    }
}

const CONV2D: [&str; 10] = [
    "call",
    "window",
    "tap",
    "code gathered",
    "padding code",
    "code summed",
    "pair of channels",
    "step of a pair",
    "last code of a pair",
    "output code",
];
const DEPTHWISE: [&str; 7] = ["call", "pixel", "strip", "run of taps", "tap", "tap of one channel", "output code"];
const FULLY_CONNECTED: [&str; 7] = [
    "call",
    "code gathered",
    "code summed",
    "pair of channels",
    "step of a pair",
    "last code of a pair",
    "output code",
];
const CONV2D_ROWS: [&str; 11] = [
    "call",
    "word cleared",
    "row",
    "pair of pixels",
    "pair of windows",
    "window",
    "window at an edge",
    "row at an edge",
    "padding",
    "padding code",
    "tile",
];
const GATHER: [&str; 10] = [
    "call",
    "row",
    "run",
    "word",
    "code alone",
    "call for two windows",
    "row of two windows",
    "run of two windows",
    "word of two windows",
    "code alone of two windows",
];
const DEPTHWISE_ROWS: [&str; 11] = [
    "call",
    "strip",
    "rows together",
    "spread",
    "run of pixels",
    "channel",
    "window of 3x3",
    "pair of windows of 3x3",
    "window",
    "column of a window",
    "tap pair",
];
const MULTIPLY: [&str; 5] = ["call", "lane summed", "pair of channels", "word", "channel alone"];
const SPREAD: [&str; 5] = ["call", "run", "column of two rows", "column of four rows", "column of fewer channels"];
