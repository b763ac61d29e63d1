use super::*;
use crate::report::schema::{BaselineReport, DiagnosisReport, ModelReport, TargetReport, VerificationReport};

fn report() -> Report {
    Report {
        schema: 2,
        version: "0".into(),
        seed: 0,
        model: ModelReport {
            path: "model.onnx".into(),
            sha256: "00".into(),
            parameters: 1,
            macs: 1,
            tail: None,
            output_order: None,
        },
        target: TargetReport {
            name: "custom".into(),
            core: "cortex-m4".into(),
            flash_bytes: Some(1000),
            clock_mhz: None,
            ram_bytes: Some(100),
            compiler: "a-gcc 12 -O2".into(),
            kernels: "fast".into(),
        },
        package: Default::default(),
        constraints: None,
        fits: true,
        task: "classify".into(),
        metric: None,
        metrics: Vec::new(),
        fidelity: None,
        accuracy: None,
        flash: None,
        ram: None,
        instructions: None,
        layers: None,
        search: None,
        baselines: None,
        pareto: None,
        reconstruction: None,
        tune: None,
        verification: None,
        chosen: None,
        diagnosis: None,
        tensors: None,
        data: Vec::new(),
        preprocess: "value".into(),
        warnings: Vec::new(),
    }
}

/// Every table's rows have as many cells as its head.
#[track_caller]
fn check_tables(text: &str) {
    let mut cells = None;
    for line in text.lines() {
        let found = line.starts_with('|').then(|| line.replace("\\|", "").matches('|').count());
        assert!(found.is_none() || cells.is_none() || cells == found, "{line}\n{text}");
        cells = found;
    }
}

#[test]
fn a_compiler_s_many_lines_stand_below_the_table() {
    let row = |runner: &str, detail: &str| VerificationReport {
        runner: runner.into(),
        status: "failed".into(),
        detail: detail.into(),
        samples: 0,
        mismatches: 0,
        instructions: None,
        predicted_instructions: None,
        stack_bytes: None,
        flash_bytes: None,
        ram_bytes: None,
        compiler: None,
    };
    let detail = "failed: `cc` failed (exit status: 1)\n    weights.c:1:1: error: a | b\n      ^~~~";
    let verification = Some(vec![row("host-c", detail), row("qemu-m4", "passed")]);
    let text = Report { verification, ..report() }.to_markdown();
    check_tables(&text);
    assert!(text.contains("| host-c | failed: `cc` failed (exit status: 1) | 0 |"), "{text}");
    assert!(text.contains("\nhost-c in full:\n") && text.contains("        weights.c:1:1: error: a | b\n"), "{text}");
}

#[test]
fn instructions_are_told_with_the_time_that_they_take_at_least() {
    let told = |core: &str, clock_mhz: Option<u32>, counted: Option<u64>| {
        let target = TargetReport { core: core.into(), clock_mhz, ..report().target };
        let instructions = Some(InstructionsReport::of(8_080_000, counted, &target));
        let model = ModelReport { macs: 4_000_000, ..report().model };
        let text = Report { target, instructions, model, ..report() }.to_markdown();
        let line = text.lines().find(|line| line.starts_with("Instructions")).map(String::from);
        line.expect("a report with instructions tells them")
    };
    assert_eq!(
        told("cortex-m4", None, None),
        "Instructions of an inference: 8080000 predicted, 2.02 for each multiply-accumulate."
    );
    assert_eq!(
        told("cortex-m4", Some(100), Some(8_000_000)),
        "Instructions of an inference: 8080000 predicted, 8000000 counted (predicted +1.0 %), 2.00 for each \
         multiply-accumulate; at least 80.0 ms at 100 MHz: as if each took one cycle and memory none."
    );
    let constraints = Constraints { instructions: Some(8_050_000), ..Constraints::default() };
    let target = report().target;
    let instructions = Some(InstructionsReport::of(8_040_000, Some(8_060_000), &target));
    let text = Report { constraints: Some(constraints), instructions, ..report() }.to_markdown();
    assert!(text.contains("what was counted passes it by 10000."), "{text}");
    // Not at least: it can issue two at once.
    let seven = told("cortex-m7", Some(400), Some(8_000_000));
    assert!(
        seven.contains("; 20.0 ms at 400 MHz and one instruction a cycle") && !seven.contains("at least"),
        "{seven}"
    );
}

#[test]
fn the_peak_names_the_scratch_and_names_with_bars_stay_in_their_cells() {
    let diagnosis = DiagnosisReport {
        proved: true,
        least_flash_bytes: 1,
        least_ram_bytes: 2,
        least_instructions: None,
        limit_reached: false,
        would_do_flash_bytes: 3,
        would_do_ram_bytes: 4,
        would_do_instructions: None,
        peak_node: "conv".into(),
        peak_last_node: None,
        peak_scratch_bytes: 77,
        peak_tensors: vec![("a|b".into(), 10, 8)],
        peak_rows: Vec::new(),
        rows_least_ram_bytes: Some(1),
        image_fits_bytes: Some([1, 2]),
        boards: Vec::new(),
    };
    let told = |diagnosis: &DiagnosisReport| {
        let text = Report { fits: false, diagnosis: Some(diagnosis.clone()), ..report() }.to_markdown();
        check_tables(&text);
        text
    };
    let text = told(&diagnosis);
    assert!(text.contains("RAM peaks during `conv` with:"), "{text}");
    assert!(
        text.contains("\nWith the input pushed in rows (`--input rows`) the least RAM is 1 B (0.0 KiB).\n"),
        "{text}"
    );
    assert!(text.contains("| a\\|b | 10 | 8 |\n| (kernel scratch) | 77 | |\n"), "{text}");
    // Of a chain its ends, and how many rows it keeps.
    let peak_rows = vec![("a|b".into(), 3, 28)];
    let chain = DiagnosisReport { peak_last_node: Some("last".into()), peak_rows, ..diagnosis };
    let text = told(&chain);
    assert!(text.contains("RAM peaks during `conv` to `last`, in turns with:"), "{text}");
    assert!(text.contains("| a\\|b (3 of 28 rows) | 10 | 8 |\n"), "{text}");
    let text = told(&DiagnosisReport { peak_node: String::new(), ..chain });
    assert!(text.contains("RAM peaks while the input's rows come with:"), "{text}");
}

#[test]
fn a_baseline_that_failed_says_why() {
    let row = |failed: Option<&str>| BaselineReport {
        name: "uniform-2".into(),
        fits: true,
        accuracy: None,
        metric: None,
        instructions: None,
        reward: None,
        flash_bytes: 1,
        ram_bytes: 2,
        failed: failed.map(Into::into),
    };
    let baselines = Some(vec![row(None), row(Some("layer `x`: too steep"))]);
    let text = Report { baselines, ..report() }.to_markdown();
    check_tables(&text);
    assert!(text.contains("| uniform-2 | yes | failed | - | 1 | 2 |"), "{text}");
    assert!(text.contains("`uniform-2` failed: layer `x`: too steep"), "{text}");
}
