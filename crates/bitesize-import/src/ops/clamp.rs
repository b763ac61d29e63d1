//! `Relu`, `Clip`, and `Min` and `Max` with a constant.

use crate::builder::Value;
use crate::constant::Constant;
use crate::error::Reason;
use crate::node::NodeContext;
use bitesize_ir::Op;
use bitesize_ir::op::Clamp;

pub(super) fn relu(node: &mut NodeContext) -> Result<Value, Reason> {
    let input = node.activation(0)?;
    node.emit_like(Op::Clamp(Clamp::RELU), &[&input], input.layout.clone())
}

pub(super) fn clip(node: &mut NodeContext) -> Result<Value, Reason> {
    let clamp = clip_bounds(node)?;
    let input = node.activation(0)?;
    node.emit_like(Op::Clamp(clamp), &[&input], input.layout.clone())
}

/// The bounds of a Clip: attributes before opset 11, inputs from then on. Where the lower lies above the upper, ONNX
/// gives the upper.
pub(super) fn clip_bounds(node: &NodeContext) -> Result<Clamp, Reason> {
    let (lo, hi) = if node.opset < 11 {
        (node.float("min", f32::MIN)?, node.float("max", f32::MAX)?)
    } else {
        let bound = |index, what, default| match node.optional_constant(index, what)? {
            Some(constant) => single(node, &constant, what),
            None => Ok(default),
        };
        (bound(1, "lower bound", f32::MIN)?, bound(2, "upper bound", f32::MAX)?)
    };
    bounds(lo.min(hi), hi)
}

/// A clamp; the ends of the float range are no bounds.
fn bounds(lo: f32, hi: f32) -> Result<Clamp, Reason> {
    if lo.is_nan() || hi.is_nan() {
        return Err(Reason::new("a bound is NaN"));
    }
    let lo = if lo <= f32::MIN { f32::NEG_INFINITY } else { lo };
    let hi = if hi >= f32::MAX { f32::INFINITY } else { hi };
    if lo == f32::INFINITY || hi == f32::NEG_INFINITY {
        return Err(Reason::new(format!("its bounds are {lo} and {hi}")));
    }
    Ok(Clamp { lo, hi })
}

/// The value that all elements of a constant have.
fn single(node: &NodeContext, constant: &Constant, what: &str) -> Result<f32, Reason> {
    // Nothing is made, but looking at them takes its time.
    node.budget().spend(constant.data.len(), 4)?;
    let values = constant.as_floats()?;
    match values {
        [first, rest @ ..] if rest.iter().all(|v| v == first) => Ok(*first),
        _ => Err(Reason::new(format!("its {what} is not one number but {:?} of them", constant.dims))),
    }
}

pub(super) fn min(node: &mut NodeContext) -> Result<Value, Reason> {
    with_constant(node, |bound| bounds(f32::MIN, bound))
}

pub(super) fn max(node: &mut NodeContext) -> Result<Value, Reason> {
    with_constant(node, |bound| bounds(bound, f32::MAX))
}

fn with_constant(node: &mut NodeContext, clamp: impl Fn(f32) -> Result<Clamp, Reason>) -> Result<Value, Reason> {
    if node.inputs.len() != 2 || node.images() != 1 {
        return Err(Reason::new("it does not take one activation and one constant")
            .hint("only clamping between constants is supported"));
    }
    let image = usize::from(!node.input(0).is_some_and(Value::is_of_image));
    let constant = node.constant(1 - image, "constant")?;
    let clamp = clamp(single(node, &constant, "constant")?)?;
    let input = node.activation(image)?;
    if constant.dims.len() > input.layout.rank() {
        return Err(Reason::new("its constant has more axes than its input"));
    }
    node.emit_like(Op::Clamp(clamp), &[&input], input.layout.clone())
}
