//! What is done to images before they are learned from.

use super::settings::Augmentation;
use bitesize_ir::Shape;
use rand::{Rng, RngExt as _};

/// What an element of an image can be.
pub(super) trait Element: Copy {
    /// As a number.
    fn value(self) -> f32;

    /// The nearest element to a number.
    fn nearest(value: f32) -> Self;
}

impl Element for u8 {
    fn value(self) -> f32 {
        self.into()
    }

    fn nearest(value: f32) -> Self {
        // The cast saturates.
        (value + 0.5).floor() as Self
    }
}

impl Element for f32 {
    fn value(self) -> f32 {
        self
    }

    fn nearest(value: f32) -> Self {
        value
    }
}

/// Writes what becomes of `image`, NHWC of `shape`, to `out`; what comes in from outside is `border` of each channel.
pub(super) fn augment<T: Element>(
    asked: &Augmentation,
    (image, shape): (&[T], Shape),
    border: &[T],
    rng: &mut impl Rng,
    out: &mut Vec<T>,
) {
    // Always the same draws, so that what is asked for decides nothing about others.
    let reach = asked.shift as i64;
    let [down, right] = [rng.random_range(-reach..=reach), rng.random_range(-reach..=reach)];
    let flip = rng.random_bool(0.5) && asked.flip;
    let jitter: [f32; 3] = std::array::from_fn(|_| 1.0 + asked.jitter * rng.random_range(-1.0..=1.0));
    let start = out.len();
    let (h, w) = (shape.h as i64, shape.w as i64);
    for y in 0..h {
        let row = y + down;
        for x in 0..w {
            let column = if flip { w - 1 - x } else { x } + right;
            if (0..h).contains(&row) && (0..w).contains(&column) {
                let at = (row * w + column) as usize * shape.c;
                out.extend_from_slice(&image[at..at + shape.c]);
            } else {
                out.extend_from_slice(border);
            }
        }
    }
    if asked.jitter > 0.0 {
        recolour(&mut out[start..], shape.c, jitter);
    }
}

/// Brightness, contrast about the image's mean, and saturation about a pixel's.
fn recolour<T: Element>(image: &mut [T], channels: usize, [brightness, contrast, saturation]: [f32; 3]) {
    let mean = image.iter().map(|x| f64::from(x.value())).sum::<f64>() / image.len().max(1) as f64;
    let mean = mean as f32;
    for pixel in image.chunks_exact_mut(channels) {
        let grey = pixel.iter().map(|x| x.value()).sum::<f32>() / channels as f32;
        for x in pixel {
            let saturated = grey + saturation * (x.value() - grey);
            *x = T::nearest((mean + contrast * (saturated - mean)) * brightness);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    const SHAPE: Shape = Shape { h: 3, w: 4, c: 2 };

    fn image() -> Vec<u8> {
        (0..SHAPE.elements() as u8).map(|i| 10 * i).collect()
    }

    fn found(asked: &Augmentation, count: usize) -> Vec<Vec<u8>> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let of = |_| {
            let mut out = Vec::new();
            augment(asked, (&image(), SHAPE), &[7, 9], &mut rng, &mut out);
            out
        };
        (0..count).map(of).collect()
    }

    #[test]
    fn nothing_asked_for_changes_nothing() {
        assert!(found(&Augmentation::default(), 8).iter().all(|out| *out == image()));
    }

    #[test]
    fn half_are_mirrored() {
        let all = found(&Augmentation { flip: true, ..Default::default() }, 64);
        let mirrored: Vec<u8> =
            image().chunks(8).flat_map(|row| row.chunks(2).rev().flatten().copied().collect::<Vec<_>>()).collect();
        let count = all.iter().filter(|out| **out == mirrored).count();
        assert_eq!(count + all.iter().filter(|out| **out == image()).count(), 64);
        assert!((16..=48).contains(&count), "{count}");
    }

    #[test]
    fn moved_images_have_the_border_where_nothing_was() {
        let all = found(&Augmentation { shift: 1, ..Default::default() }, 64);
        // One to the right and down: the last row and column are new.
        let moved =
            |out: &Vec<u8>| out[..2] == image()[10..12] && out[16..] == [7, 9, 7, 9, 7, 9, 7, 9] && out[6..8] == [7, 9];
        assert!(all.iter().any(moved));
        assert!(all.iter().all(|out| out.len() == SHAPE.elements()));
    }

    #[test]
    fn colours_stay_within_bytes() {
        let all = found(&Augmentation { jitter: 0.9, ..Default::default() }, 64);
        assert!(all.iter().all(|out| out.len() == SHAPE.elements()));
        assert!(all.iter().any(|out| *out != image()));
        let grey = vec![100.0f32; 6];
        let mut out = grey.clone();
        recolour(&mut out, 3, [1.2, 3.0, 0.5]);
        assert!(out.iter().all(|x| (x - 120.0).abs() < 1e-4), "{out:?}");
    }
}
