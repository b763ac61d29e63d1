//! `BatchNormalization`.

use super::affine::{Spread, scaled};
use crate::builder::Value;
use crate::error::Reason;
use crate::node::NodeContext;

/// `scale * (x - mean) / sqrt(var + epsilon) + bias` over axis 1, in f64.
pub(super) fn batch_normalization(node: &mut NodeContext) -> Result<Value, Reason> {
    if node.int("training_mode", 0)? != 0 {
        return Err(Reason::new("it is in training mode").hint("export the model in inference mode (`model.eval()`)"));
    }
    if node.int("spatial", 1)? != 1 {
        return Err(Reason::new("it normalises each pixel by itself (spatial = 0)"));
    }
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let names = ["scale", "bias", "mean", "variance"];
    for (index, what) in (1..).zip(names) {
        node.constant(index, what)?;
    }
    let input = node.pending_activation(0)?;
    let dims = input.layout.dims(node.builder.shape(input.tensor));
    let Some(features) = dims.get(1).copied() else {
        return Err(Reason::new(format!("its input has {} axes and no channels", dims.len())));
    };
    node.budget().spend(features, 8 * (names.len() + 2))?;
    let parameter = |index| {
        let constant = node.constant(index, names[index - 1])?;
        let values: Vec<f64> = constant.as_floats()?.iter().take(features).map(|v| f64::from(*v)).collect();
        match constant.data.len() == features {
            true => Ok(values),
            false => Err(Reason::new(format!(
                "its {} has {} values for {features} channels",
                names[index - 1],
                constant.data.len()
            ))),
        }
    };
    let (gamma, beta) = (parameter(1)?, parameter(2)?);
    let (mean, variance) = (parameter(3)?, parameter(4)?);
    let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let shift: Vec<f64> = (0..features).map(|c| beta[c] - mean[c] * scale[c]).collect();
    let otherwise = Reason::new("its axis 1 is not the channels alone").hint(
        "batch normalization of a flattened image folds only into a Gemm or MatMul over the whole image that follows at \
         once; of an image, its axis 1 has to be the channels",
    );
    let spread = Spread::along(1, &input.layout, otherwise);
    scaled(node, &input, &spread, |place| (scale[place], shift[place]))
}
