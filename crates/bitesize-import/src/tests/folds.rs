//! Shape arithmetic and weights written as expressions.

use super::model::{Attribute, Int, Ints, Model};

/// The values that `op` makes of constants: of floats with dimensions, of integers, or of booleans (written as integers).
struct Fold<'a> {
    model: Model,
    inputs: Vec<&'a str>,
}

impl<'a> Fold<'a> {
    fn of() -> Self {
        Self { model: Model::new(13, &[1, 1]), inputs: Vec::new() }
    }

    fn floats(mut self, name: &'a str, dims: &[i64], values: &[f32]) -> Self {
        self.model = self.model.floats(name, dims, values);
        self.inputs.push(name);
        self
    }

    fn ints(mut self, name: &'a str, values: &[i64]) -> Self {
        self.model = self.model.ints(name, values);
        self.inputs.push(name);
        self
    }

    fn number(mut self, name: &'a str, value: i64) -> Self {
        self.model = self.model.ints(name, &[value]);
        self.model.graph().initializer.last_mut().unwrap().dims.clear();
        self.inputs.push(name);
        self
    }

    /// Checks the first output, which is told by its weighted sum: the network multiplies its input by the values.
    fn gives(self, op: &str, attributes: &[(&str, Attribute)], expected: &[f32]) {
        let count = expected.len() as i64;
        self.model
            .node(op, &self.inputs, "made", attributes)
            .ints("row", &[1, count])
            .node("Reshape", &["made", "row"], "flat", &[])
            .node("Cast", &["flat"], "w", &[("to", Int(1))])
            .floats("zero", &[], &[0.])
            .floats("one", &[], &[1.])
            .node("Mul", &["x", "zero"], "nothing", &[])
            .node("Add", &["nothing", "one"], "always", &[])
            .node("MatMul", &["always", "w"], "y", &[])
            .check("1x1x1", expected);
    }

    fn refused(self, op: &str, attributes: &[(&str, Attribute)], word: &str) {
        let model = self.model.node(op, &self.inputs, "made", attributes).node("Add", &["x", "made"], "y", &[]);
        model.check_refused(&[&format!("{op} `made`"), word]);
    }
}

#[test]
fn element_by_element() {
    let check = |op: &str, values: &[f32], expected: &[f32]| {
        Fold::of().floats("a", &[values.len() as i64], values).gives(op, &[], expected);
    };
    check("Ceil", &[1.2, -1.2, 3.], &[2., -1., 3.]);
    check("Floor", &[1.2, -1.2, 3.], &[1., -2., 3.]);
    check("Round", &[0.5, 1.5, -2.5, 2.6], &[0., 2., -2., 3.]);
    check("Abs", &[1.5, -1.5, 0.], &[1.5, 1.5, 0.]);
    check("Reciprocal", &[2., -4.], &[0.5, -0.25]);
    check("Sqrt", &[4., 9.], &[2., 3.]);
    check("Exp", &[0., 1.], &[1., std::f32::consts::E]);
    check("Log", &[1., 10.], &[0., 10f32.ln()]);
    check("Sign", &[-3., 0., 2.], &[-1., 0., 1.]);
    Fold::of().ints("a", &[-3, 4]).gives("Abs", &[], &[3., 4.]);
    Fold::of().ints("a", &[0, 2]).gives("Not", &[], &[1., 0.]);
    Fold::of().ints("a", &[i64::MIN]).refused("Abs", &[], "not defined");
}

#[test]
fn pairs() {
    let ints = |op: &str, a: &[i64], b: &[i64], expected: &[f32]| {
        Fold::of().ints("a", a).ints("b", b).gives(op, &[], expected);
    };
    ints("Equal", &[1, 2, 3], &[3, 2, 1], &[0., 1., 0.]);
    ints("Greater", &[1, 2, 3], &[2], &[0., 0., 1.]);
    ints("GreaterOrEqual", &[1, 2, 3], &[2], &[0., 1., 1.]);
    ints("Less", &[1, 2, 3], &[2], &[1., 0., 0.]);
    ints("LessOrEqual", &[1, 2, 3], &[2], &[1., 1., 0.]);
    ints("And", &[0, 0, 1, 1], &[0, 1, 0, 1], &[0., 0., 0., 1.]);
    ints("Or", &[0, 0, 1, 1], &[0, 1, 0, 1], &[0., 1., 1., 1.]);
    // The sign is the divisor's, as in Python; with `fmod` the dividend's, as in C.
    ints("Mod", &[-7, 7, -7, 7, 6], &[3, -3, -3, 3, 3], &[2., -2., -1., 1., 0.]);
    Fold::of().ints("a", &[-7, 7]).ints("b", &[3]).gives("Mod", &[("fmod", Int(1))], &[-1., 1.]);
    Fold::of().floats("a", &[1], &[-7.5]).floats("b", &[1], &[2.]).gives("Mod", &[("fmod", Int(1))], &[-1.5]);
    Fold::of().floats("a", &[1], &[1.]).floats("b", &[1], &[2.]).refused("Mod", &[], "fmod");
    Fold::of().ints("a", &[1]).ints("b", &[0]).refused("Mod", &[], "divides by 0");
    ints("Pow", &[2, 3], &[10, 2], &[1024., 9.]);
    Fold::of().floats("a", &[2], &[4., 9.]).floats("b", &[], &[0.5]).gives("Pow", &[], &[2., 3.]);
    Fold::of().floats("a", &[2], &[4., 9.]).ints("b", &[2]).gives("Pow", &[], &[16., 81.]);
    Fold::of().ints("a", &[2]).ints("b", &[64]).refused("Pow", &[], "overflows");
    Fold::of().ints("a", &[1, 5]).ints("b", &[3]).ints("c", &[2]).gives("Max", &[], &[3., 5.]);
    Fold::of().ints("a", &[1, 5]).ints("b", &[3]).ints("c", &[2]).gives("Sum", &[], &[6., 10.]);
    Fold::of().ints("a", &[1, 5, 9]).number("lo", 2).number("hi", 6).gives("Clip", &[], &[2., 5., 6.]);
    // A row of choices over a column of values.
    Fold::of().ints("c", &[1, 0]).floats("a", &[2, 1], &[1., 2.]).floats("b", &[], &[7.]).gives(
        "Where",
        &[],
        &[1., 7., 2., 7.],
    );
    Fold::of().ints("c", &[1, 0]).ints("a", &[1]).floats("b", &[], &[7.]).refused("Where", &[], "mixes");
}

#[test]
fn ranges() {
    let ints = |start, limit, step| Fold::of().number("a", start).number("b", limit).number("c", step);
    ints(3, 9, 3).gives("Range", &[], &[3., 6.]);
    ints(10, 4, -2).gives("Range", &[], &[10., 8., 6.]);
    ints(10, 3, -2).gives("Range", &[], &[10., 8., 6., 4.]);
    Fold::of().floats("a", &[], &[0.5]).floats("b", &[], &[2.]).floats("c", &[], &[0.5]).gives(
        "Range",
        &[],
        &[0.5, 1., 1.5],
    );
    ints(0, 5, 0).refused("Range", &[], "step is 0");
    ints(i64::MIN, i64::MAX, 1).refused("Range", &[], "too much");
    ints(0, i64::MAX, 1).refused("Range", &[], "too much");
    Fold::of().floats("a", &[], &[0.]).floats("b", &[], &[1e9]).floats("c", &[], &[1e-9]).refused(
        "Range",
        &[],
        "does not end",
    );
    // Empty ranges: a size of 0.
    for (start, limit, step) in [(5, 5, 1), (6, 5, 1), (4, 5, -1), (i64::MIN, 0, -1)] {
        let Fold { model, inputs } = ints(start, limit, step);
        let sized = model.node("Range", &inputs, "r", &[]).node("Size", &["r"], "n", &[]);
        sized.node("Cast", &["n"], "f", &[("to", Int(1))]).node("Add", &["x", "f"], "y", &[]).check("1x1x1", &[0.]);
    }
}

#[test]
fn parts() {
    let matrix = || Fold::of().floats("a", &[2, 3], &[0., 1., 2., 3., 4., 5.]);
    matrix().ints("i", &[1, 0]).gives("GatherND", &[], &[3.]);
    let Fold { mut model, .. } = matrix();
    model = model.ints("i", &[0, 2, -1, 0]);
    model.graph().initializer.last_mut().unwrap().dims = vec![2, 2];
    Fold { model, inputs: vec!["a", "i"] }.gives("GatherND", &[], &[2., 3.]);
    matrix().ints("i", &[1]).gives("GatherND", &[], &[3., 4., 5.]);
    matrix().ints("i", &[1, 3]).refused("GatherND", &[], "axis 3 does not exist");
    matrix().ints("i", &[0, 0, 0]).refused("GatherND", &[], "do not fit");
    // Rows of indices: all but the first element.
    matrix().gives("NonZero", &[], &[0., 0., 1., 1., 1., 1., 2., 0., 1., 2.]);
    matrix().gives("Split", &[("axis", Int(0))], &[0., 1., 2., 3., 4., 5.]);
    matrix().ints("sizes", &[1, 1]).refused("Split", &[("axis", Int(1))], "do not make up 3");
}

#[test]
fn all_parts_of_a_split_are_used() {
    for (opset, sizes) in [(11, None), (13, Some([1, 2])), (18, None)] {
        let mut model = Model::new(opset, &[1, 2]).floats("a", &[2, 3], &[0., 1., 2., 3., 4., 5.]);
        let mut inputs = vec!["a"];
        let mut attributes = vec![("axis", Int(1))];
        match (opset, sizes) {
            (11, _) => attributes.push(("split", Ints(&[1, 2]))),
            (18, _) => attributes.push(("num_outputs", Int(2))),
            (_, sizes) => {
                model = model.ints("sizes", &sizes.unwrap());
                inputs.push("sizes");
            }
        }
        model = model.node("Split", &inputs, "left", &attributes);
        model.graph().node.last_mut().unwrap().output.push("right".into());
        let (used, expected) = if opset == 18 { ("left", [3., 4.]) } else { ("right", [4., 5.]) };
        model.node("MatMul", &["x", used], "y", &[]).check("1x1x2", &expected);
    }
}

#[test]
fn reductions() {
    let matrix = || Fold::of().floats("a", &[2, 3], &[0., 1., 2., 3., 4., 8.]);
    let rows = || [("axes", Ints(&[1]))];
    matrix().gives("ReduceMax", &rows(), &[2., 8.]);
    matrix().gives("ReduceMin", &rows(), &[0., 3.]);
    matrix().gives("ReduceMean", &rows(), &[1., 5.]);
    matrix().gives("ReduceProd", &rows(), &[0., 96.]);
    matrix().ints("axes", &[-2]).gives("ReduceSum", &[("keepdims", Int(0))], &[3., 5., 10.]);
    matrix().gives("ReduceSum", &[], &[18.]);
    matrix().gives("ReduceSum", &[("noop_with_empty_axes", Int(1))], &[0., 1., 2., 3., 4., 8.]);
    Fold::of().ints("a", &[7, 4]).gives("ReduceMean", &[], &[5.]);
    Fold::of().ints("a", &[i64::MAX, 1]).refused("ReduceSum", &[], "overflows");
    Fold::of().floats("a", &[0], &[]).refused("ReduceMax", &[], "without elements");
    Fold::of().floats("a", &[0], &[]).gives("ReduceProd", &[], &[1.]);
}

#[test]
fn all_folds_are_paid_for() {
    const MANY: i64 = 1 << 24;
    for op in ["Ceil", "Sign", "ReduceSum", "NonZero"] {
        let mut model = Model::new(13, &[1, 1]).ints("shape", &[MANY]).node("ConstantOfShape", &["shape"], "c0", &[]);
        // Each pays for what it makes or looks at, though nothing of it is large by itself.
        let names: Vec<String> = (0..40).map(|i| format!("r{i}")).collect();
        for name in &names {
            model = model.node(op, &["c0"], name, &[]);
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        model.node("Concat", &names, "y", &[("axis", Int(0))]).check_refused(&["too much for a model of this size"]);
    }
}
