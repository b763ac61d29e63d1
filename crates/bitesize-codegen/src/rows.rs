//! The descriptors of layers that are computed row by row.

use crate::error::EmitError;
use crate::lane_order::words_of;
use crate::layers::{Context, Fields};
use crate::writer::Value;
use bitesize_integer::{IntOp, IntWeights, Rescale};
use bitesize_ir::Shape;
use bitesize_ir::code::Code;
use bitesize_ir::grid::BitWidth;
use bitesize_ir::shape::Window;

impl Context<'_> {
    /// The descriptor of a node that calls `codes`: its loop, then the stages by input, weight and output width.
    pub(crate) fn rows_fields(&self, codes: &[Code]) -> Result<Fields, EmitError> {
        let stage = |i: usize| Value::name(self.names.kernels().code(codes[i]));
        match &self.node.op {
            IntOp::Conv2d { window, groups, weights, rescale, padding } => {
                let (input, output) = (self.input(0), self.output());
                let (in_per_group, out_per_group) = (input.c / groups, output.c / groups);
                let length = window.kernel[0] * window.kernel[1] * in_per_group;
                // Codes of all bytes are written at once.
                let whole = self.out_bits() == BitWidth::B8 && (rescale.lo, rescale.hi) == (0, 255);
                let (window, [input, output]) = if self.takes_turns {
                    (*window, [input, Shape { h: self.rows_at_a_time(), ..output }])
                } else {
                    one_row(window, [input, output])
                };
                Ok(vec![
                    ("weights", self.lane_weights(rescale)),
                    ("window", self.window_over(&window, input, output)?),
                    ("gather", stage(1)),
                    ("multiply", stage(2)),
                    ("pack", if whole { Value::name("0") } else { stage(3) }),
                    ("padding", self.padding()),
                    ("input", self.offset(self.node.inputs[0])?),
                    ("output", self.offset(self.node.output)?),
                    ("scratch", self.scratch()?),
                    ("words", self.long("its window's codes", words_of(length, weights.bits))?),
                    ("pixel_bytes", self.number("its input's channels", self.in_bits().row_bytes(input.c))?),
                    ("out_pixel_bytes", self.number("its output's channels", self.out_bits().row_bytes(output.c))?),
                    ("groups", self.number("its groups", *groups)?),
                    ("in_per_group", self.number("its input channels", in_per_group)?),
                    ("out_per_group", self.number("its output channels", out_per_group)?),
                    ("padding_code", Value::number(padding[0])),
                    ("joined", Value::number(u8::from(self.is_joined(&window, *groups)))),
                    ("out_bits", self.out_bits_field()),
                ])
            }
            IntOp::FullyConnected { weights, rescale } => {
                let length = self.input(0).c;
                Ok(vec![
                    ("weights", self.lane_weights(rescale)),
                    ("gather", stage(1)),
                    ("multiply", stage(2)),
                    ("pack", stage(3)),
                    ("input", self.offset(self.node.inputs[0])?),
                    ("output", self.offset(self.node.output)?),
                    ("scratch", self.scratch()?),
                    ("words", self.long("its inputs", words_of(length, weights.bits))?),
                    ("in_channels", self.long("its inputs", length)?),
                    ("out_channels", self.long("its outputs", self.output().c)?),
                    ("out_bits", self.out_bits_field()),
                ])
            }
            IntOp::DepthwiseConv2d { window, weights: IntWeights { bits, .. }, rescale, padding } => {
                let channels = self.output().c;
                // In a chain the step says it.
                let height = self.output().h;
                let at_once = if self.takes_turns { height } else { self.plan.at_once[self.index].min(height) };
                // The same code at every position of a byte.
                let fill = padding[0] * (255 / self.in_bits().max_code());
                Ok(vec![
                    ("weights", self.lane_weights(rescale)),
                    ("window", self.window_over(window, self.input(0), self.output())?),
                    ("spread", stage(1)),
                    ("levels", stage(2)),
                    ("pack", stage(3)),
                    ("padding", self.padding()),
                    ("input", self.offset(self.node.inputs[0])?),
                    ("output", self.offset(self.node.output)?),
                    ("scratch", self.scratch()?),
                    ("pixel_bytes", self.number("its input's channels", self.in_bits().row_bytes(channels))?),
                    ("out_pixel_bytes", self.number("its output's channels", self.out_bits().row_bytes(channels))?),
                    ("tap_bytes", self.number("its channels", bits.row_bytes(channels))?),
                    ("channels", self.number("its channels", channels)?),
                    ("at_once", self.number("its rows at a time", at_once)?),
                    ("fill", Value::number(fill)),
                    ("in_bits", Value::number(self.in_bits().bits())),
                    ("weight_bits", Value::number(bits.bits())),
                    ("out_bits", self.out_bits_field()),
                ])
            }
            IntOp::Add { .. }
            | IntOp::Concat { .. }
            | IntOp::MaxPool { .. }
            | IntOp::AveragePool { .. }
            | IntOp::Clamp { .. }
            | IntOp::Pad { .. }
            | IntOp::Flatten { .. } => {
                let (name, kind) = (&self.node.name, self.node.op.kernel_kind().name());
                Err(EmitError::Plan(format!("it computes `{name}`, of kind {kind}, row by row")))
            }
        }
    }

    fn in_bits(&self) -> BitWidth {
        self.network.tensor(self.node.inputs[0]).bits
    }

    fn out_bits(&self) -> BitWidth {
        self.network.tensor(self.node.output).bits
    }

    fn out_bits_field(&self) -> Value {
        Value::number(self.out_bits().bits())
    }

    fn lane_weights(&self, rescale: &Rescale) -> Value {
        let array = |what| Value::name(self.names.array(what, self.index));
        let bounds = vec![("lowest", Value::number(rescale.lo)), ("highest", Value::number(rescale.hi))];
        Value::Struct(vec![
            ("values", array("weights")),
            ("channels", array("channels")),
            ("shifts", array("shifts")),
            ("acc_shift", Value::number(rescale.acc_shift)),
            ("zero", self.zero(self.node.output)),
            ("bounds", Value::Struct(bounds)),
        ])
    }

    /// Whether the codes of neighbouring taps of a row follow one another.
    fn is_joined(&self, window: &Window, groups: usize) -> bool {
        let bits = usize::from(self.in_bits().bits());
        groups == 1 && window.dilation[1] == 1 && (self.input(0).c * bits).is_multiple_of(8)
    }
}

/// A pointwise window needs no rows: the image is one, so that pixels find a neighbour at the end of each row, too.
fn one_row(window: &Window, [input, output]: [Shape; 2]) -> (Window, [Shape; 2]) {
    let pixels = input.pixels();
    if window.is_pointwise() && pixels <= usize::from(u16::MAX) {
        return (Window::of([1, 1]), [Shape::new(1, pixels, input.c), Shape::new(1, pixels, output.c)]);
    }
    (*window, [input, output])
}
