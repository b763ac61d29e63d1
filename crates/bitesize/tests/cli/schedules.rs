//! Which schedule a run has and how its input comes: asked for, settled by the budget, kept when it is gone on with.

use super::{Example, fit_args, report, run, scratch, unproven};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What `inspect --json` tells of the example with small kernels and `more`.
#[track_caller]
fn inspected(more: &[&str]) -> Value {
    let example = Example::new();
    let args = ["inspect", &example.model, "--preprocess", &example.preprocess, "--json", "--kernels", "small"];
    let ran = run(&[&args[..], more].concat());
    assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// FLASH and RAM at uniform 8 bits in `schedule`.
fn at_8_bits(schedule: &str) -> [u64; 2] {
    let told = inspected(&["--schedule", schedule]);
    ["flash_bytes", "ram_bytes"].map(|bytes| number(&told["uniform"][0][bytes]))
}

#[test]
fn an_inspection_tells_what_every_schedule_needs() {
    let of = |schedule: &str, input: &str| inspected(&["--schedule", schedule, "--input", input]);
    let [layers, in_place, auto] = ["layers", "in-place", "auto"].map(|schedule| of(schedule, "image"));
    let pushed = of("auto", "rows");
    for told in [&layers, &in_place, &auto, &pushed] {
        assert_eq!(told["kernels"], "small");
    }
    assert_eq!((&layers["schedule"], &in_place["schedule"]), (&"layers".into(), &"in-place".into()));
    assert_eq!((&auto["schedule"], &auto["input_rows"]), (&"auto".into(), &"image".into()));
    assert_eq!((&pushed["schedule"], &pushed["input_rows"]), (&"auto".into(), &"rows".into()));
    for width in 0..3 {
        let of = |told: &Value, key: &str| number(&told["uniform"][width][key]);
        let ram = |told: &Value| of(told, "ram_bytes");
        assert!(ram(&in_place) < ram(&layers), "at {width}");
        // Chains take some stack: the others may do as well.
        let arena = |told: &Value| of(told, "arena_bytes");
        assert!(arena(&auto) <= arena(&in_place) && arena(&in_place) <= arena(&layers), "at {width}");
        for told in [&layers, &in_place, &auto] {
            assert_eq!(of(told, "layers_ram_bytes"), ram(&layers), "at {width}");
        }
        assert_eq!((of(&auto, "rows_ram_bytes"), of(&pushed, "rows_ram_bytes")), (ram(&pushed), ram(&pushed)));
        let schedule = |told: &Value| told["uniform"][width]["schedule"].as_str().unwrap().to_owned();
        assert_eq!((schedule(&layers).as_str(), schedule(&in_place).as_str()), ("layers", "in-place"));
        assert!(["auto", "in-place"].contains(&schedule(&auto).as_str()));
    }
    assert_eq!(auto["uniform"][0]["schedule"], "auto");
    assert!(layers["uniform"][0]["peak_last"].is_null());
    // Whatever schedule is taken, none needs more FLASH at least than one without chains, nor more RAM than one with them; the least is
    // that of what was asked for.
    for told in [&in_place, &layers] {
        assert_eq!(auto["least_flash_bytes"][0], told["least_flash_bytes"][0]);
    }
    let least_ram = |told: &Value| number(&told["least_ram_bytes"][0]);
    assert!(least_ram(&auto) < least_ram(&in_place) && least_ram(&in_place) <= least_ram(&layers));
    let below = (least_ram(&in_place) - 1).to_string();
    assert_eq!(inspected(&["--schedule", "in-place", "--flash", "1MiB", "--ram", &below])["fits"], false);
    assert!(number(&auto["least_ram_bytes"][1]) <= number(&layers["least_ram_bytes"][1]));
}

/// Its peak is during a chain.
const CHAINED: &str = "zoo:mobilenet-v1?width=0.75";

#[test]
fn an_inspection_says_them_in_words_and_draws_the_timeline_where_asked() {
    let example = Example::new();
    let args = ["inspect", &example.model, "--preprocess", &example.preprocess];
    let plain = run(&args).expect(0, &[]).out;
    for words in
        ["(rolling chains; arena ", "RAM layer by layer (--schedule layers) ", "with pushed rows (--input rows) "]
    {
        assert!(plain.contains(words), "`{words}` is not in:\n{plain}");
    }
    assert!(!plain.contains("lower bound"), "{plain}");
    assert!(plain.contains("least of any policy: "), "{plain}");
    let asked = run(&[&args[..], &["--kernels", "small", "--schedule", "in-place"]].concat()).expect(0, &[]).out;
    assert!(asked.contains("least of any policy (small kernels, schedule in-place): "), "{asked}");
    let drawn = run(&[&args[..], &["--timeline"]].concat()).expect(0, &[]).out;
    assert!(drawn.contains("at uniform 8 bits: arena ") && drawn.contains(" of 28 rows"), "{drawn}");
    let layers = run(&[&args[..], &["--timeline", "--schedule", "layers"]].concat()).expect(0, &[]).out;
    assert!(layers.contains("at uniform 8 bits: arena ") && !layers.contains(" rows\n"), "{layers}");
    let pushed = run(&[&args[..], &["--timeline", "--schedule", "layers", "--input", "rows"]].concat());
    assert!(pushed.expect(0, &[]).out.contains("(rows come)"));
    assert!(inspected(&[])["timeline"].is_null());
    assert!(inspected(&["--timeline"])["timeline"].as_str().unwrap().starts_with("arena "));
    // The diagnosis names the chain at the peak, and what it keeps of each tensor.
    let chained = run(&["inspect", CHAINED]).expect(0, &[]).out;
    assert!(chained.contains(", in turns"), "{chained}");
    let tight = run(&["inspect", CHAINED, "--input", "rows", "--flash", "1MiB", "--ram", "1KiB"]).expect(3, &[]).out;
    let peak = tight.split("peak of RAM").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(peak.contains(" to `") && peak.contains("`, in turns\n") && peak.contains(" rows\n"), "{tight}");
}

#[test]
fn wrong_words_are_wrong_usage() {
    let example = Example::new();
    for input in ["pixels", "real"] {
        run(&["inspect", &example.model, "--input", input]).expect(2, &[&format!("`--feed {input}`"), "image or rows"]);
    }
    run(&["inspect", &example.model, "--input", "columns"]).expect(2, &["neither image nor rows"]);
    run(&["inspect", &example.model, "--schedule", "rolling"]).expect(2, &["auto", "in-place", "layers"]);
    run(&["inspect", &example.model, "--feed", "rows"]).expect(2, &["pixels", "real"]);
}

#[test]
fn chains_where_they_are_worth_their_flash() {
    let ([auto_flash, auto_ram], [flash, ram]) = (at_8_bits("auto"), at_8_bits("in-place"));
    assert!(flash < auto_flash && auto_ram < ram);
    let settled = |flash: u64, ram: u64| {
        let [flash, ram] = [flash, ram].map(|bytes| bytes.to_string());
        inspected(&["--flash", &flash, "--ram", &ram])["schedule"].as_str().unwrap().to_owned()
    };
    // 8 bits fit with chains.
    assert_eq!(settled(auto_flash, ram), "auto");
    assert_eq!(settled(auto_flash, auto_ram), "auto");
    // In place only.
    assert_eq!(settled(auto_flash - 1, ram), "in-place");
    assert_eq!(settled(flash, ram), "in-place");
    // In neither, where only FLASH is short; where RAM is too.
    assert_eq!(settled(flash - 1, ram), "in-place");
    assert_eq!(settled(flash - 1, ram - 1), "auto");
    assert_eq!(settled(flash / 2, auto_ram), "auto");
    // No widths fit with chains, and 2 bits do in place; none fit at all.
    let two_bits = &inspected(&["--schedule", "in-place"])["uniform"][2];
    assert_eq!(settled(number(&two_bits["flash_bytes"]), number(&two_bits["ram_bytes"])), "in-place");
    assert_eq!(settled(flash / 8, ram - 1), "auto");
    // What is asked for is taken.
    let asked = ["--flash", "1MiB", "--ram", "1MiB", "--schedule", "layers"];
    assert_eq!(inspected(&asked)["schedule"], "layers");
}

/// A run of given widths in `out`: small kernels, 8 bits.
fn given<'a>(out: &'a str, example: &'a Example, more: &[&'a str]) -> Vec<&'a str> {
    fit_args(out, example, &[&["--kernels", "small", "--policy", "8/8"], more].concat())
}

#[test]
fn a_run_keeps_its_schedule_and_reports_it() {
    let example = Example::new();
    let unlimited = ["--flash", "1MiB", "--ram", "1MiB"];
    let ([auto_flash, _], [flash, ram]) = (at_8_bits("auto"), at_8_bits("in-place"));
    let of = |more: &[&str]| {
        let (folder, out) = scratch();
        let ran = unproven(&given(&out, &example, more)).expect(0, &[]);
        let config = fs::read_to_string(Path::new(&out).join("config.toml")).unwrap();
        (folder, report(&out)["ram"].clone(), config, ran.err)
    };
    let (folder, auto, config, _) = of(&unlimited);
    let text = fs::read_to_string(folder.path().join("out/report.md")).unwrap();
    assert!(!config.contains("schedule") && !config.contains("input ="), "{config}");
    assert_eq!((&auto["schedule"], &auto["input"]), (&"auto".into(), &"image".into()));
    assert_eq!(auto["image_total"], auto["total"]);
    assert!(
        text.contains("(`schedule`: `auto`), the input a whole image in the arena. The same widths would take RAM "),
        "{text}"
    );
    assert!(text.contains("## Memory, step by step\n") && text.contains(" of 28 rows\n"), "{text}");
    assert_eq!(auto["timeline"][0].as_str().map(|line| line.starts_with("arena ")), Some(true));

    let (_layers, layers, config, _) = of(&[&unlimited[..], &["--schedule", "layers"]].concat());
    assert!(config.contains("schedule = \"layers\"\n"), "{config}");
    assert_eq!((&layers["schedule"], &layers["total"]), (&"layers".into(), &auto["layers_total"]));
    assert_eq!(layers["layers_total"], layers["total"]);
    let (_rows, rows, config, _) = of(&[&unlimited[..], &["--input", "rows"]].concat());
    assert!(config.contains("input = \"rows\"\n"), "{config}");
    assert_eq!((&rows["input"], &rows["total"]), (&"rows".into(), &auto["rows_total"]));
    assert_eq!((&rows["image_total"], &rows["rows_total"]), (&auto["total"], &rows["total"]));

    // Settled by the budget: the widths fit in place only.
    let [just, ram] = [flash, ram].map(|bytes| bytes.to_string());
    let (_in_place, in_place, config, told) = of(&["--flash", &just, "--ram", &ram]);
    assert!(config.contains("schedule = \"in-place\"\n"), "{config}");
    let why = format!(
        "without rolling chains: the widths fit without them only (chains take {} B of FLASH more)",
        auto_flash - flash
    );
    assert!(told.contains(&why), "{told}");
    assert_eq!((in_place["schedule"].as_str(), in_place["total"].to_string()), (Some("in-place"), ram));
}

#[test]
fn another_schedule_is_another_run() {
    let example = Example::new();
    let (folder, out) = scratch();
    let limits = ["--flash", "1MiB", "--ram", "1MiB"];
    unproven(&given(&out, &example, &[&limits[..], &["--schedule", "in-place"]].concat())).expect(0, &[]);
    let search = |more: &[&str]| unproven(&[&["search", &out, "--resume"], more].concat());
    search(&[]).expect(0, &["nothing to do"]);
    search(&limits).expect(0, &["nothing to do"]);
    search(&["--schedule", "in-place", "--input", "image"]).expect(0, &["nothing to do"]);
    search(&["--schedule", "layers"]).expect(2, &["begun with the schedule `in-place`", "leave out --schedule"]);
    // That none was asked for is what it was settled from.
    search(&["--schedule", "auto"]).expect(0, &["nothing to do"]);
    search(&["--input", "rows"]).expect(2, &["begun with the input as `image`", "leave out --input"]);
    let again = |more: &[&str]| unproven(&given(&out, &example, &[&limits[..], more, &["--resume"]].concat()));
    again(&["--schedule", "in-place"]).expect(0, &["finished"]);
    again(&["--schedule", "layers"])
        .expect(1, &["`target.schedule` was in-place then and is layers now", "new folder"]);
    again(&["--schedule", "auto"]).expect(1, &["`target.schedule` was in-place then and is auto now"]);
    let rows = again(&["--schedule", "in-place", "--input", "rows"]);
    rows.expect(1, &["`target.input` was image then and is rows now", "go on with what it was begun with"]);

    // Nor is a plan taken that is of another one, where settings were changed by hand.
    let path = Path::new(&out).join("config.toml");
    let config = fs::read_to_string(&path).unwrap();
    for (other, named) in [
        ("schedule = \"layers\"", "`target.schedule` was in-place then and is layers now"),
        ("schedule = \"in-place\"\ninput = \"rows\"", "`target.input` was image then and is rows now"),
    ] {
        fs::write(&path, config.replace("schedule = \"in-place\"", other)).unwrap();
        unproven(&["emit", &out]).expect(1, &[named]);
        unproven(&["fit", "--resume", "-o", &out]).expect(1, &["cannot be gone on with"]);
    }
    fs::write(&path, config.replace("schedule = \"in-place\"", "schedule = \"rolling\"")).unwrap();
    unproven(&["emit", &out]).expect(1, &["schedule", "rolling"]);
    fs::write(&path, &config).unwrap();
    unproven(&["emit", &out]).expect(0, &[]);

    // A run of the same settings has the same schedule, and the same bytes.
    let copy = folder.path().join("copy").display().to_string();
    unproven(&["fit", "--config", &path.display().to_string(), "-o", &copy]).expect(0, &[]);
    assert_eq!(report(&copy)["ram"], report(&out)["ram"]);
}

#[test]
fn an_input_of_one_row_is_not_worth_pushing() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/onnx/features_to_chunks.onnx");
    for (input, is_told) in [("rows", true), ("image", false)] {
        let ran = run(&["inspect", model, "--input", input]).expect(0, &[]);
        assert_eq!(ran.err.contains("the input has one row only"), is_told, "{}", ran.err);
    }
}

/// What is asked for holds, `auto` too.
#[test]
fn a_run_layer_by_layer_is_not_gone_on_with_as_auto() {
    let example = Example::new();
    let (_folder, out) = scratch();
    unproven(&given(&out, &example, &["--flash", "1MiB", "--ram", "1MiB", "--schedule", "layers"])).expect(0, &[]);
    unproven(&["search", &out, "--resume"]).expect(0, &["nothing to do"]);
    let asked = unproven(&["search", &out, "--resume", "--schedule", "auto"]);
    asked.expect(2, &["begun with the schedule `layers`", "leave out --schedule"]);
}

/// A search in a folder that had one keeps its budget, and with it how the input comes; the schedule is settled anew.
#[test]
fn a_search_anew_keeps_how_the_input_comes() {
    let example = Example::new();
    let (_folder, out) = scratch();
    let limits = ["--flash", "1MiB", "--ram", "1MiB", "--schedule", "layers", "--input", "rows"];
    unproven(&given(&out, &example, &limits)).expect(0, &[]);
    unproven(&["search", &out, "--policy", "4/8", "--kernels", "small"]).expect(0, &[]);
    let ram = &report(&out)["ram"];
    assert_eq!((&ram["schedule"], &ram["input"]), (&"auto".into(), &"rows".into()));
    // Another budget is no other input.
    let budget = ["--flash", "512KiB", "--ram", "512KiB"];
    unproven(&[&["search", &out, "--policy", "4/8", "--kernels", "small"], &budget[..]].concat()).expect(0, &[]);
    assert_eq!(report(&out)["ram"]["input"], "rows");
    unproven(&["search", &out, "--policy", "4/8", "--kernels", "small", "--input", "image"]).expect(0, &[]);
    assert_eq!(report(&out)["ram"]["input"], "image");
}

/// The line says what chains take too much of, be it FLASH or not.
#[test]
fn chains_are_left_out_for_what_they_take_too_much_of() {
    let instructions = |schedule: &str| number(&inspected(&["--schedule", schedule])["uniform"][0]["instructions"]);
    let [rolling, in_place] = ["auto", "in-place"].map(instructions);
    assert!(in_place < rolling);
    let example = Example::new();
    let (_folder, out) = scratch();
    let between = format!("{:.6}", (rolling + in_place) as f64 / 2e6);
    let limits = ["--flash", "1MiB", "--ram", "1MiB", "--max-minstr", &between];
    let told = unproven(&given(&out, &example, &limits)).expect(0, &[]).err;
    assert!(told.contains(&format!("(chains take {} instructions more)", rolling - in_place)), "{told}");
    // What the plan takes is enough.
    let (_folder, out) = scratch();
    let just = format!("{:.6}", rolling as f64 / 1e6);
    unproven(&given(&out, &example, &["--flash", "1MiB", "--ram", "1MiB", "--max-minstr", &just])).expect(0, &[]);
    assert_eq!(report(&out)["ram"]["schedule"], "auto");
}

/// Where pushing rows takes too much, the refusal says that the whole image fits.
#[test]
fn a_refusal_of_pushed_rows_names_the_image_where_that_fits() {
    let example = Example::new();
    let (_folder, out) = scratch();
    let [flash, ram] = at_8_bits("in-place").map(|bytes| bytes.to_string());
    let refused = unproven(&given(&out, &example, &["--flash", &flash, "--ram", &ram, "--input", "rows"]));
    let refused = refused.expect(3, &["with the input as a whole image (--input image) it fits: FLASH "]);
    assert!(refused.err.contains("the given policy does not fit"), "{}", refused.err);
    let text = fs::read_to_string(Path::new(&out).join("report.md")).unwrap();
    assert!(text.contains("With the input as a whole image (`--input image`) it fits: FLASH "), "{text}");
}
