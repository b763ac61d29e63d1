use super::*;
use crate::input::preprocess::{Preprocess, PreprocessFile};

/// How the network's own input runs.
#[derive(Clone, Copy)]
enum Own {
    /// (N, C, H, W), as PyTorch has it.
    First,
    /// (N, H, W, C), as Keras has it.
    Last,
    /// (N, C, W) of one row.
    Row,
    /// (N, F), channels first.
    Flat,
}

struct Network {
    shape: Shape,
    own: Own,
    layout: Option<DataLayout>,
    file: PreprocessFile,
}

impl Network {
    fn of(own: Own, [h, w, c]: [usize; 3]) -> Self {
        Self { shape: Shape::new(h, w, c), own, layout: None, file: PreprocessFile::default() }
    }

    fn asked(self, layout: DataLayout) -> Self {
        Self { layout: Some(layout), ..self }
    }

    fn resized(mut self) -> Self {
        self.file.size = Some([self.shape.h, self.shape.w]);
        self
    }

    fn with<T>(&self, then: impl FnOnce(&Request) -> T) -> T {
        let axes: &[&[Axis]] = match self.own {
            Own::First => &[&[], &[C], &[H], &[W]],
            Own::Last => &[&[], &[H], &[W], &[C]],
            Own::Row => &[&[], &[C], &[W]],
            Own::Flat => &[&[], &[C, H, W]],
        };
        let (input, preprocess) = (Layout::new(axes, self.shape), Preprocess::checked(&self.file, self.shape).unwrap());
        let request = Request::new(self.shape, &preprocess);
        then(&Request { input: Some(&input), layout: self.layout, ..request })
    }

    /// Samples of the network's shape are read, both as pixels and as reals, with channels where `expected` says.
    #[track_caller]
    fn reads(&self, dims: &[usize], expected: DataLayout) {
        for reading in self.with(|request| [of_reals(dims, request), of_pixels(dims, request)]) {
            let reading = reading.unwrap();
            assert_eq!((reading.layout(), reading.shape), (expected, self.shape), "{dims:?}");
            assert_eq!(reading.dims(), dims[1..], "{dims:?}");
        }
    }

    /// Images are read that become the network's.
    #[track_caller]
    fn takes(&self, dims: &[usize], expected: DataLayout, stored: [usize; 3]) {
        let reading = self.with(|request| of_pixels(dims, request)).unwrap();
        let [h, w, c] = stored;
        assert_eq!((reading.layout(), reading.shape), (expected, Shape::new(h, w, c)), "{dims:?}");
    }

    #[track_caller]
    fn refuses(&self, dims: &[usize], words: &[&str]) {
        let problem = self.with(|request| of_reals(dims, request)).unwrap_err();
        for word in words {
            assert!(problem.contains(word), "`{word}` is not in: {problem}");
        }
    }

    #[track_caller]
    fn refuses_pixels(&self, dims: &[usize], words: &[&str]) {
        let problem = self.with(|request| of_pixels(dims, request)).unwrap_err();
        for word in words {
            assert!(problem.contains(word), "`{word}` is not in: {problem}");
        }
    }
}

use DataLayout::{Nchw, Nhwc};

#[test]
fn the_shape_tells_the_layout() {
    let torch = Network::of(Own::First, [8, 6, 3]);
    torch.reads(&[5, 8, 6, 3], Nhwc);
    torch.reads(&[5, 3, 8, 6], Nchw);
    Network::of(Own::Last, [8, 6, 3]).reads(&[5, 8, 6, 3], Nhwc);
    let row = Network::of(Own::Row, [1, 128, 3]);
    row.reads(&[100, 1, 128, 3], Nhwc);
    row.reads(&[100, 3, 128], Nchw);
    let flat = Network::of(Own::Flat, [8, 6, 3]);
    flat.reads(&[5, 144], Nchw);
    flat.reads(&[5, 8, 6, 3], Nhwc);
    let features = Network::of(Own::Flat, [1, 1, 640]);
    features.reads(&[9, 640], Nhwc);
    features.reads(&[9, 1, 1, 640], Nhwc);
    // One channel: all ways are one.
    let gray = Network::of(Own::First, [8, 8, 1]);
    gray.reads(&[5, 8, 8], Nhwc);
    gray.reads(&[5, 8, 8, 1], Nhwc);
    gray.reads(&[5, 1, 8, 8], Nhwc);
}

#[test]
fn where_two_ways_would_do_it_is_asked_for() {
    let network = || Network::of(Own::First, [8, 8, 8]);
    let words = &["shape (5, 8, 8, 8)", "--data-layout nhwc or --data-layout nchw"];
    network().refuses(&[5, 8, 8, 8], words);
    network().refuses_pixels(&[5, 8, 8, 8], words);
    network().asked(Nhwc).reads(&[5, 8, 8, 8], Nhwc);
    network().asked(Nchw).reads(&[5, 8, 8, 8], Nchw);
    // A network that takes channels last leaves nothing to ask.
    Network::of(Own::Last, [8, 8, 8]).reads(&[5, 8, 8, 8], Nhwc);
    Network::of(Own::Last, [8, 6, 3]).asked(Nchw).reads(&[5, 3, 8, 6], Nchw);
    Network::of(Own::Last, [1, 128, 3]).asked(Nchw).reads(&[5, 3, 128], Nchw);
    Network::of(Own::Flat, [8, 6, 3]).asked(Nchw).reads(&[5, 144], Nchw);
    Network::of(Own::First, [8, 6, 3]).asked(Nhwc).refuses(&[5, 3, 8, 6], &["is nchw and not nhwc", "leave it out"]);
}

#[test]
fn images_of_another_size_are_told_too() {
    let torch = || Network::of(Own::First, [8, 8, 3]).resized();
    torch().takes(&[5, 20, 30, 3], Nhwc, [20, 30, 3]);
    torch().takes(&[5, 3, 20, 30], Nchw, [20, 30, 3]);
    torch().takes(&[5, 20, 30], Nhwc, [20, 30, 1]);
    // One channel again.
    torch().takes(&[5, 1, 20, 30], Nhwc, [20, 30, 1]);
    torch().refuses_pixels(&[5, 3, 20, 3], &["--data-layout nhwc or --data-layout nchw"]);
    torch().asked(Nhwc).takes(&[5, 3, 20, 3], Nhwc, [3, 20, 3]);
    torch().asked(Nchw).takes(&[5, 3, 20, 3], Nchw, [20, 3, 3]);
    let keras = || Network::of(Own::Last, [8, 8, 3]).resized();
    keras().refuses_pixels(&[5, 3, 20, 30], &["x = x.transpose(0, 2, 3, 1)"]);
    keras().asked(Nchw).takes(&[5, 3, 20, 30], Nchw, [20, 30, 3]);
    Network::of(Own::Last, [8, 8, 3]).refuses_pixels(&[5, 20, 30, 3], &["20x30", "no resizing is given"]);
}

#[test]
fn a_refusal_mends() {
    let ends = |network: &Network, dims: &[usize], line: &str| {
        let shape = shown(dims);
        network.refuses(dims, &[&format!("shape {shape}, "), &format!(": {line}")]);
        let problem = network.with(|request| of_reals(dims, request)).unwrap_err();
        assert!(problem.ends_with(line), "{problem}");
    };
    let row = Network::of(Own::Row, [1, 128, 3]);
    ends(&row, &[100, 128, 3], "x = x.reshape(-1, 1, 128, 3)");
    ends(&row, &[100, 128, 1, 3], "x = x.reshape(-1, 1, 128, 3)");
    ends(&row, &[100, 3, 128, 1], "x = x.reshape(-1, 3, 128)");
    ends(&row, &[100, 384], "x = x.reshape(-1, 3, 128)");
    ends(&row, &[3, 128], "x = x[None]");
    let keras = Network::of(Own::Last, [8, 6, 3]);
    ends(&keras, &[5, 3, 8, 6], "x = x.transpose(0, 2, 3, 1)");
    ends(&keras, &[8, 6, 3], "x = x[None]");
    ends(&keras, &[5, 144], "x = x.reshape(-1, 8, 6, 3)");
    ends(&Network::of(Own::Last, [1, 128, 3]), &[5, 3, 128], "x = x.transpose(0, 2, 1).reshape(-1, 1, 128, 3)");
    ends(&Network::of(Own::First, [8, 6, 3]), &[5, 144], "x = x.reshape(-1, 3, 8, 6)");
    ends(&Network::of(Own::Flat, [1, 1, 640]), &[5, 640, 1], "x = x.reshape(-1, 1, 1, 640)");
    // Both orders have the same sizes: whoever stored them knows.
    Network::of(Own::Row, [1, 3, 3]).refuses(
        &[5, 3, 3, 1],
        &["x = x.reshape(-1, 1, 3, 3) where channels are last, x = x.reshape(-1, 3, 3) where they are first"],
    );
    row.refuses(&[100, 64, 3], &["(100, 64, 3)", "(N, 1, 128, 3) or (N, 3, 128)", "not resized"]);
    row.refuses(&[7], &["(7,)", "not resized"]);
}
