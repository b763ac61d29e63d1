//! What stands for a network of the zoo: `zoo:NAME?width=W&resolution=R&classes=C`, and `&downsample=D` where images are small.

use bitesize_ir::shown::visible;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

/// What every name of the zoo begins with.
pub const PREFIX: &str = "zoo:";

/// Width multipliers that can be had.
const WIDTHS: RangeInclusive<f64> = 0.05..=2.0;

/// Heights and widths of the input that can be had; multiples of all strides together: other inputs would leave some of their
/// pixels out.
const RESOLUTIONS: RangeInclusive<usize> = 32..=1024;

/// All strides of a network together, as they can be had. The last are the papers'; with fewer, the first strides of 2 are left out.
const DOWNSAMPLES: [usize; 3] = [8, 16, PAPERS_DOWNSAMPLE];

/// That of the papers.
const PAPERS_DOWNSAMPLE: usize = 32;

/// Numbers of classes that can be had.
const CLASSES: RangeInclusive<usize> = 1..=10_000;

/// Whether `path` stands for a network of the zoo; a file of such a name is given as `./zoo:...`.
pub fn is_zoo(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// Which layers a network has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Howard et al. 2017, with ReLU.
    MobilenetV1,
    /// Sandler et al. 2018, with ReLU6.
    MobilenetV2,
    /// MNasNet-B1 of Tan et al. 2019, with ReLU.
    Mnasnet,
}

impl Architecture {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::MobilenetV1, Self::MobilenetV2, Self::Mnasnet];

    /// As it is called behind `zoo:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MobilenetV1 => "mobilenet-v1",
            Self::MobilenetV2 => "mobilenet-v2",
            Self::Mnasnet => "mnasnet",
        }
    }
}

/// A network of the zoo with its sizes, all within bounds.
///
/// As a text it is `zoo:NAME?width=W&resolution=R&classes=C` with every key, in this order; read from one, keys may
/// come in any order or be left out: the width is then 1, the resolution 224, the classes 1000. A network that makes images smaller by
/// less than the papers' 32 has `&downsample=D` behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZooName {
    architecture: Architecture,
    width: f64,
    resolution: usize,
    classes: usize,
    downsample: usize,
}

impl ZooName {
    /// Which layers.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The factor on numbers of channels, 0.05 to 2.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// Height and width of the input in pixels, a multiple of [`Self::downsample`].
    pub fn resolution(&self) -> usize {
        self.resolution
    }

    /// Number of outputs, at least 1.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All strides together, 8, 16 or 32: how much smaller than the input the last map is in each direction.
    pub fn downsample(&self) -> usize {
        self.downsample
    }

    /// How many of the papers' five strides of 2 are left out, the earliest first.
    pub(super) fn strides_left_out(&self) -> u32 {
        PAPERS_DOWNSAMPLE.ilog2() - self.downsample.ilog2()
    }
}

impl fmt::Display for ZooName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { architecture, width, resolution, classes, downsample } = self;
        write!(f, "{PREFIX}{}?width={width}&resolution={resolution}&classes={classes}", architecture.name())?;
        // Names from before there was a choice stay what they are.
        if *downsample == PAPERS_DOWNSAMPLE { Ok(()) } else { write!(f, "&downsample={downsample}") }
    }
}

impl FromStr for ZooName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = |problem: String| format!("`{}`: {problem}; {}", visible(text), offer());
        let named = text.strip_prefix(PREFIX).ok_or_else(|| fail(format!("it does not begin with {PREFIX}")))?;
        let (name, settings) = match named.split_once('?') {
            Some((name, settings)) => (name, settings.split('&').collect()),
            None => (named, Vec::new()),
        };
        let architecture = Architecture::ALL.into_iter().find(|architecture| architecture.name() == name);
        let architecture =
            architecture.ok_or_else(|| fail(format!("the zoo has no network called `{}`", visible(name))))?;
        let mut zoo = Self { architecture, width: 1.0, resolution: 224, classes: 1000, downsample: PAPERS_DOWNSAMPLE };
        let mut given = Vec::new();
        for setting in settings {
            let shown = visible(setting);
            let (key, value) = setting.split_once('=').ok_or_else(|| fail(format!("`{shown}` is not KEY=VALUE")))?;
            if given.contains(&key) {
                return Err(fail(format!("`{key}` is given twice")));
            }
            let is_possible = match key {
                "width" => set(&mut zoo.width, value, |width| WIDTHS.contains(width)),
                "resolution" => set(&mut zoo.resolution, value, |resolution| RESOLUTIONS.contains(resolution)),
                "classes" => set(&mut zoo.classes, value, |classes| CLASSES.contains(classes)),
                "downsample" => set(&mut zoo.downsample, value, |downsample| DOWNSAMPLES.contains(downsample)),
                _ => return Err(fail(format!("there is no key `{}`", visible(key)))),
            };
            if !is_possible {
                return Err(fail(format!("`{shown}` is not possible")));
            }
            given.push(key);
        }
        if !zoo.resolution.is_multiple_of(zoo.downsample) {
            return Err(fail(format!("`resolution={}` is not possible", zoo.resolution)));
        }
        Ok(zoo)
    }
}

/// Puts `value` into `field` where it can be read and `is_possible`, and says whether it was.
fn set<T: FromStr>(field: &mut T, value: &str, is_possible: impl Fn(&T) -> bool) -> bool {
    match value.parse().ok().filter(is_possible) {
        Some(value) => {
            *field = value;
            true
        }
        None => false,
    }
}

/// What there is.
fn offer() -> String {
    let names = Architecture::ALL.map(|architecture| format!("{PREFIX}{}", architecture.name())).join(", ");
    format!(
        "there are {names}, with `?` and any of width={}..{}, resolution={}..{} (a multiple of {PAPERS_DOWNSAMPLE}, \
         or of downsample), classes={}..{}, downsample=8, 16 or 32 joined by `&`",
        WIDTHS.start(),
        WIDTHS.end(),
        RESOLUTIONS.start(),
        RESOLUTIONS.end(),
        CLASSES.start(),
        CLASSES.end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_defaults_and_in_any_order() {
        let check = |text: &str, expected: &str| {
            let name: ZooName = text.parse().unwrap();
            assert_eq!(name.to_string(), expected, "{text}");
            assert_eq!(expected.parse(), Ok(name));
        };
        check("zoo:mobilenet-v1", "zoo:mobilenet-v1?width=1&resolution=224&classes=1000");
        check("zoo:mnasnet?width=1.0", "zoo:mnasnet?width=1&resolution=224&classes=1000");
        check("zoo:mobilenet-v2?classes=10&width=.35", "zoo:mobilenet-v2?width=0.35&resolution=224&classes=10");
        check(
            "zoo:mobilenet-v1?resolution=128&classes=1&width=0.05",
            "zoo:mobilenet-v1?width=0.05&resolution=128&classes=1",
        );
        check("zoo:mnasnet?width=2&resolution=1024&classes=10000", "zoo:mnasnet?width=2&resolution=1024&classes=10000");
        let small = "zoo:mnasnet?width=1&resolution=40&classes=1000&downsample=8";
        check("zoo:mnasnet?downsample=8&resolution=40", small);
        check("zoo:mnasnet?downsample=32", "zoo:mnasnet?width=1&resolution=224&classes=1000");
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_what_can() {
        let refused = |text: &str, word: &str| {
            let error = text.parse::<ZooName>().unwrap_err();
            let offered = ["zoo:mobilenet-v1, zoo:mobilenet-v2, zoo:mnasnet", "width=0.05..2", "resolution=32..1024"];
            for word in [&[word][..], &offered, &["multiple of 32", "classes=1..10000"]].concat() {
                assert!(error.contains(word), "`{word}` is not in: {error}");
            }
        };
        refused("mnasnet", "begin with zoo:");
        refused("zoo:", "called ``");
        refused("zoo:resnet", "called `resnet`");
        refused("zoo:MNasNet", "called `MNasNet`");
        refused("zoo:mnasnet?", "`` is not KEY=VALUE");
        refused("zoo:mnasnet?width", "`width` is not KEY=VALUE");
        refused("zoo:mnasnet?width=1&", "`` is not KEY=VALUE");
        refused("zoo:mnasnet?depth=1", "no key `depth`");
        refused("zoo:mnasnet?a\nb=1", "no key `a\\u{a}b`");
        refused("zoo:mnasnet?width=1&width=1", "`width` is given twice");
        for width in ["0", "0.04", "2.1", "-1", "nan", "inf", "", "1,0", "wide"] {
            refused(&format!("zoo:mnasnet?width={width}"), &format!("`width={width}` is not possible"));
        }
        for resolution in ["0", "31", "225", "1056", "-32", "224.0", "99999999999999999999"] {
            refused(&format!("zoo:mnasnet?resolution={resolution}"), &format!("`resolution={resolution}` is not"));
        }
        for downsample in ["0", "4", "12", "64"] {
            refused(&format!("zoo:mnasnet?downsample={downsample}"), &format!("`downsample={downsample}` is not"));
        }
        refused("zoo:mnasnet?downsample=16&resolution=40", "`resolution=40` is not");
        for classes in ["0", "10001", "-1", "ten"] {
            refused(&format!("zoo:mnasnet?classes={classes}"), &format!("`classes={classes}` is not possible"));
        }
    }

    #[test]
    fn paths_of_files_are_no_names() {
        for (path, expected) in [("zoo:mnasnet", true), ("zoo:", true), ("./zoo:mnasnet", false), ("zoo/a.onnx", false)]
        {
            assert_eq!(is_zoo(Path::new(path)), expected, "{path}");
        }
    }
}
