//! The order in which a network's output leaves it.

use crate::builder::{Activation, Builder};
use crate::error::Reason;
use crate::layout::Layout;
use bitesize_ir::{Axis, Op, Shape};

/// How the file's output runs over the network's last tensor, and which of the two orders the network's output has.
///
/// A network's tensors are height x width x channels, and so is an output in which the file keeps the channels apart: whoever reads
/// a map wants the channels of a pixel together. An output that the file flattens keeps the file's order, in which its
/// elements are counted: where that is another, the importer ends the network with an [`Op::Flatten`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputOrder {
    /// The file's dimensions, the batch being 1.
    pub dims: Vec<usize>,
    /// The axes of a size beyond 1 as the file has them, the last the fastest.
    pub axes: Vec<Axis>,
    /// Whether the file flattens them.
    pub flattened: bool,
}

impl OutputOrder {
    pub(crate) fn of(layout: &Layout, shape: Shape) -> Self {
        Self { dims: layout.dims(shape), axes: layout.axes().concat(), flattened: is_flattened(layout) }
    }

    /// Whether the file's order is another than height, width, channels.
    pub fn differs(&self) -> bool {
        !self.axes.is_sorted()
    }

    /// What there is to say of the order, for people; `None` where it is the only one possible.
    pub fn text(&self) -> Option<String> {
        if self.axes.len() < 2 {
            return None;
        }
        let names: Vec<&str> = self.axes.iter().map(|axis| axis.name()).collect();
        let file = names.join(" x ");
        Some(match (self.flattened, self.differs()) {
            (true, _) => format!("flattened from {file}, as in the source"),
            (false, false) => "height x width x channels, as in the source".into(),
            (false, true) => format!("height x width x channels; the source has {file}"),
        })
    }
}

/// Whether the file has no axis for the channels alone, or fewer than three axes.
pub(crate) fn is_flattened(layout: &Layout) -> bool {
    let mixes = |axis: &Vec<Axis>| axis.len() > 1 && axis.contains(&Axis::C);
    layout.rank() < 3 || layout.axes().iter().any(mixes)
}

/// `output` in the order that [`OutputOrder`] says, by a node called `name` where bytes have to move.
pub(crate) fn in_order(builder: &mut Builder, output: Activation, name: &str) -> Result<Activation, Reason> {
    let order = OutputOrder::of(&output.layout, builder.shape(output.tensor));
    if !order.flattened || !order.differs() {
        return Ok(output);
    }
    let missing = Axis::ALL.into_iter().filter(|axis| !order.axes.contains(axis));
    let all: Vec<Axis> = missing.chain(order.axes.iter().copied()).collect();
    let all: [Axis; 3] = all.try_into().map_err(|_| Reason::new("its axes are not height, width and channels"))?;
    let tensor = builder.add_node(name, Op::Flatten(all), vec![output.tensor], name)?;
    let wide = |axis: &Vec<Axis>| !axis.is_empty();
    let layout = match output.layout.axes().iter().filter(|axis| wide(axis)).count() {
        1 => output.layout.axes().iter().map(|axis| if wide(axis) { vec![Axis::C] } else { vec![] }).collect(),
        // What was several axes is one vector now.
        _ => vec![vec![Axis::C]],
    };
    Ok(Activation { tensor, layout: Layout::of_axes(layout), pending: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Axis::{C, H, W};

    #[test]
    fn what_is_said_of_the_order() {
        let check = |axes: &[&[Axis]], expected: Option<&str>| {
            let shape = Shape::new(2, 3, 4);
            assert_eq!(OutputOrder::of(&Layout::new(axes, shape), shape).text().as_deref(), expected, "{axes:?}");
        };
        check(&[&[], &[C], &[H], &[W]], Some("height x width x channels; the source has channels x height x width"));
        check(&[&[], &[C], &[H, W]], Some("height x width x channels; the source has channels x height x width"));
        check(&[&[], &[H], &[W], &[C]], Some("height x width x channels, as in the source"));
        check(&[&[], &[C, H, W]], Some("flattened from channels x height x width, as in the source"));
        check(&[&[], &[C, H, W], &[], &[]], Some("flattened from channels x height x width, as in the source"));
        check(&[&[C], &[H, W]], Some("flattened from channels x height x width, as in the source"));
        check(&[&[H, W, C]], Some("flattened from height x width x channels, as in the source"));
        let vector = Shape::vector(4);
        assert_eq!(OutputOrder::of(&Layout::new(&[&[], &[C]], vector), vector).text(), None);
    }
}
