//! Three fully connected layers with ReLU between them, their gradients, and Adam: all that the agent's actor and
//! critic are made of. Rows of a matrix are the samples of a batch. One thread, so that sums have one order.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};
use rand::{Rng, RngExt};

/// `y = a * b`, or that added to `y`.
fn product(a: ArrayView2<f32>, b: ArrayView2<f32>, accumulate: Accum, y: &mut Array2<f32>) {
    let (rows, columns) = y.dim();
    let y = y.as_slice_mut().expect("made in standard order");
    matmul(MatMut::from_row_major_slice_mut(y, rows, columns), accumulate, matrix(&a), matrix(&b), 1.0, Par::Seq);
}

/// A whole matrix or its transpose.
fn matrix<'a>(array: &'a ArrayView2<f32>) -> MatRef<'a, f32> {
    let (rows, columns) = array.dim();
    match array.as_slice() {
        Some(values) => MatRef::from_row_major_slice(values, rows, columns),
        None => MatRef::from_column_major_slice(array.to_slice_memory_order().expect("whole"), rows, columns),
    }
}

/// `y = x * weights + bias`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DenseLayer {
    /// `inputs x outputs`.
    pub(super) weights: Array2<f32>,
    pub(super) bias: Array1<f32>,
}

impl DenseLayer {
    /// Uniform in +-1/sqrt(inputs), weights and bias alike (PyTorch's default, which HAQ leaves as it is).
    pub(super) fn random(inputs: usize, outputs: usize, rng: &mut impl Rng) -> Self {
        let bound = (inputs as f32).sqrt().recip();
        Self {
            weights: Array2::from_shape_simple_fn((inputs, outputs), || rng.random_range(-bound..bound)),
            bias: Array1::from_shape_simple_fn(outputs, || rng.random_range(-bound..bound)),
        }
    }

    fn zeros_like(&self) -> Self {
        Self { weights: Array2::zeros(self.weights.raw_dim()), bias: Array1::zeros(self.bias.raw_dim()) }
    }

    /// Weights and bias as they lie in memory.
    fn parameters(&self) -> [&[f32]; 2] {
        [self.weights.as_slice(), self.bias.as_slice()].map(|values| values.expect("made in standard order"))
    }

    fn parameters_mut(&mut self) -> [&mut [f32]; 2] {
        [self.weights.as_slice_mut(), self.bias.as_slice_mut()].map(|values| values.expect("made in standard order"))
    }

    fn forward(&self, x: &Array2<f32>) -> Array2<f32> {
        let mut y = Array2::zeros((x.nrows(), self.bias.len()));
        y.assign(&self.bias);
        product(x.view(), self.weights.view(), Accum::Add, &mut y);
        y
    }
}

/// Three layers, ReLU after the first two.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mlp {
    pub(super) layers: [DenseLayer; 3],
}

/// What a forward pass leaves for the backward pass.
pub(super) struct Pass {
    /// What each layer read.
    inputs: [Array2<f32>; 3],
    /// What the last layer wrote.
    pub(super) output: Array2<f32>,
}

impl Mlp {
    /// Random layers `inputs -> hidden -> hidden -> 1`.
    pub(super) fn random(inputs: usize, hidden: usize, rng: &mut impl Rng) -> Self {
        let layers = [
            DenseLayer::random(inputs, hidden, rng),
            DenseLayer::random(hidden, hidden, rng),
            DenseLayer::random(hidden, 1, rng),
        ];
        Self { layers }
    }

    /// As many layers of the same sizes, all 0.
    pub(super) fn zeros_like(&self) -> Self {
        Self { layers: self.layers.each_ref().map(DenseLayer::zeros_like) }
    }

    pub(super) fn forward(&self, x: Array2<f32>) -> Pass {
        let first = self.layers[0].forward(&x).mapv_into(relu);
        let second = self.layers[1].forward(&first).mapv_into(relu);
        let output = self.layers[2].forward(&second);
        Pass { inputs: [x, first, second], output }
    }

    /// Writes the gradients of every layer into `gradients`, given that of the output.
    pub(super) fn backward(&self, pass: &Pass, output: Array2<f32>, gradients: &mut Mlp) {
        let mut upstream = output;
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let gradient = &mut gradients.layers[i];
            product(pass.inputs[i].t(), upstream.view(), Accum::Replace, &mut gradient.weights);
            gradient.bias = upstream.sum_axis(Axis(0));
            if i > 0 {
                upstream = self.through(i, layer, pass, &upstream);
            }
        }
    }

    /// The gradient of the input.
    pub(super) fn backward_to_input(&self, pass: &Pass, output: Array2<f32>) -> Array2<f32> {
        self.layers
            .iter()
            .enumerate()
            .rev()
            .fold(output, |upstream, (i, layer)| self.through(i, layer, pass, &upstream))
    }

    /// From the gradient of what `layer` writes to that of what the ReLU before it read.
    fn through(&self, i: usize, layer: &DenseLayer, pass: &Pass, upstream: &Array2<f32>) -> Array2<f32> {
        let mut gradient = Array2::zeros(pass.inputs[i].raw_dim());
        product(upstream.view(), layer.weights.t(), Accum::Replace, &mut gradient);
        if i > 0 {
            // The layer's input is the ReLU's output: 0 exactly where the ReLU was closed.
            Zip::from(&mut gradient).and(&pass.inputs[i]).for_each(|g, y| *g = if *y > 0.0 { *g } else { 0.0 });
        }
        gradient
    }

    /// Moves every parameter the share `rate` of the way to `other`'s.
    pub(super) fn approach(&mut self, other: &Mlp, rate: f32) {
        for (mine, theirs) in self.layers.iter_mut().zip(&other.layers) {
            mine.weights.zip_mut_with(&theirs.weights, |a, b| *a += rate * (b - *a));
            mine.bias.zip_mut_with(&theirs.bias, |a, b| *a += rate * (b - *a));
        }
    }
}

/// Below this a moment changes no parameter: beside Adam's 1e-8 the steps vanish in the parameter's last place. Unit after
/// unit whose ReLU stays closed would decay into numbers below `f32::MIN_POSITIVE`, with which processors are slow.
const DUST: f32 = 1e-30;

fn no_dust(x: f32) -> f32 {
    if x.abs() < DUST { 0.0 } else { x }
}

fn relu(x: f32) -> f32 {
    x.max(0.0)
}

pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Adam (Kingma and Ba 2014) with the decay rates and epsilon of its paper: 0.9, 0.999, 1e-8.
#[derive(Clone, Debug)]
pub(super) struct Adam {
    rate: f32,
    steps: i32,
    mean: Mlp,
    square: Mlp,
}

impl Adam {
    pub(super) fn new(rate: f32, network: &Mlp) -> Self {
        Self { rate, steps: 0, mean: network.zeros_like(), square: network.zeros_like() }
    }

    /// One step of `network` down its `gradients`.
    pub(super) fn step(&mut self, network: &mut Mlp, gradients: &Mlp) {
        const DECAY: [f64; 2] = [0.9, 0.999];
        self.steps += 1;
        let [mean_share, square_share] = DECAY.map(|decay| (1.0 - decay.powi(self.steps)) as f32);
        let [keep_mean, keep_square] = DECAY.map(|decay| decay as f32);
        let rate = self.rate / mean_share;
        let square_root = square_share.sqrt().recip();
        let update = |parameter: &mut f32, gradient: f32, mean: &mut f32, square: &mut f32| {
            *mean = no_dust(keep_mean * *mean + (1.0 - keep_mean) * gradient);
            *square = no_dust(keep_square * *square + (1.0 - keep_square) * gradient * gradient);
            *parameter -= rate * *mean / (square.sqrt() * square_root + 1e-8);
        };
        for (i, layer) in network.layers.iter_mut().enumerate() {
            let parameters = layer.parameters_mut().into_iter().zip(gradients.layers[i].parameters());
            let means = self.mean.layers[i].parameters_mut().into_iter();
            let moments = means.zip(self.square.layers[i].parameters_mut());
            for ((parameters, gradients), (means, squares)) in parameters.zip(moments) {
                let moments = means.iter_mut().zip(squares);
                for ((parameter, gradient), (mean, square)) in parameters.iter_mut().zip(gradients).zip(moments) {
                    update(parameter, *gradient, mean, square);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// The slow twin: plain loops in f64, so that differences of it are good for checking gradients.
    struct Plain {
        /// Of each layer `[input][output]`, the bias as one more input of 1.
        layers: Vec<Vec<Vec<f64>>>,
    }

    impl Plain {
        fn of(network: &Mlp) -> Self {
            let wide = |row: ndarray::ArrayView1<f32>| row.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
            let layer = |layer: &DenseLayer| {
                layer.weights.rows().into_iter().map(wide).chain([wide(layer.bias.view())]).collect()
            };
            Self { layers: network.layers.iter().map(layer).collect() }
        }

        fn output(&self, x: &[f64]) -> f64 {
            let mut values = x.to_vec();
            for (i, layer) in self.layers.iter().enumerate() {
                values.push(1.0);
                let sum = |output: usize| values.iter().zip(layer).map(|(x, row)| x * row[output]).sum::<f64>();
                let sums = (0..layer[0].len()).map(sum);
                values = if i < 2 { sums.map(|y| y.max(0.0)).collect() } else { sums.collect() };
            }
            values[0]
        }

        /// Sum of the squares of the outputs.
        fn loss(&self, x: &[Vec<f64>]) -> f64 {
            x.iter().map(|row| self.output(row).powi(2)).sum()
        }
    }

    /// Allowed between f32 and f64: each value is a sum of at most 17 products, each good to 6e-8 of its size.
    const TOLERANCE: f64 = 1e-5;

    fn check(found: f64, expected: f64, what: &str) {
        assert!((found - expected).abs() <= TOLERANCE * (1.0 + expected.abs()), "{what}: {found} against {expected}");
    }

    #[test]
    fn forward_and_gradients_match_plain_loops_and_finite_differences() {
        const STEP: f64 = 1e-6;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let network = Mlp::random(5, 16, &mut rng);
        let x: Array2<f32> = Array2::from_shape_simple_fn((7, 5), || rng.random_range(-1.0..1.0));
        let rows: Vec<Vec<f64>> = x.rows().into_iter().map(|r| r.iter().map(|x| f64::from(*x)).collect()).collect();
        let mut plain = Plain::of(&network);
        let pass = network.forward(x);
        for (row, output) in rows.iter().zip(&pass.output) {
            check(f64::from(*output), plain.output(row), "output");
        }
        let mut gradients = network.zeros_like();
        network.backward(&pass, pass.output.mapv(|y| 2.0 * y), &mut gradients);
        let of_input = network.backward_to_input(&pass, pass.output.mapv(|y| 2.0 * y));
        let expected = Plain::of(&gradients);
        for layer in 0..3 {
            for input in 0..plain.layers[layer].len() {
                for output in 0..plain.layers[layer][input].len() {
                    let value = plain.layers[layer][input][output];
                    let mut at = |moved: f64| {
                        plain.layers[layer][input][output] = moved;
                        plain.loss(&rows)
                    };
                    let slope = (at(value + STEP) - at(value - STEP)) / (2.0 * STEP);
                    at(value);
                    check(expected.layers[layer][input][output], slope, &format!("{layer} {input} {output}"));
                }
            }
        }
        for ((row, column), gradient) in of_input.indexed_iter() {
            let at = |delta: f64| {
                let mut moved = rows.clone();
                moved[row][column] += delta;
                plain.loss(&moved)
            };
            check(f64::from(*gradient), (at(STEP) - at(-STEP)) / (2.0 * STEP), &format!("input {row} {column}"));
        }
    }

    /// By hand: with a constant gradient both moments, corrected, are the gradient and its square, so that each step
    /// is the rate.
    #[test]
    fn adam_steps_by_its_rate_down_a_constant_gradient() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let start = Mlp::random(2, 3, &mut rng);
        let mut network = start.clone();
        let mut gradients = start.zeros_like();
        gradients.layers[0].weights[[1, 2]] = -0.3;
        let mut adam = Adam::new(0.01, &network);
        for _ in 0..5 {
            adam.step(&mut network, &gradients);
        }
        let moved = network.layers[0].weights[[1, 2]] - start.layers[0].weights[[1, 2]];
        assert!((moved - 0.05).abs() < 1e-5, "{moved}");
        network.layers[0].weights[[1, 2]] = start.layers[0].weights[[1, 2]];
        assert_eq!(network, start);
    }
}
