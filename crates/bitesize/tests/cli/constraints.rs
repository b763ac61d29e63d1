//! Pins, allowed widths and the limit of packed weights.

use super::{Example, fit_args, run, scratch, unproven};
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn constraints_are_kept_and_reported() {
    let (_folder, out) = scratch();
    let example = Example::new();
    let first = first_layer(&example);
    let pin = format!("{first}=8/*");
    let flags = ["--weight-bytes", "50%", "--activations", "8", "--pin", &pin];
    unproven(&fit_args(&out, &example, &flags)).expect(0, &[]);
    let file = |name: &str| fs::read_to_string(Path::new(&out).join(name)).unwrap();
    let report: Value = serde_json::from_str(&file("report.json")).unwrap();
    assert_eq!((&report["target"]["flash_bytes"], &report["target"]["ram_bytes"]), (&Value::Null, &Value::Null));
    let limit = report["constraints"]["weight_bytes"].as_u64().unwrap();
    assert!(report["flash"]["weights"].as_u64().unwrap() <= limit, "{report}");
    assert_eq!(report["constraints"]["pins"][0], *pin);
    let layers = report["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| layer["activation_bits"] == 8));
    assert_eq!(layers[0]["weight_bits"], 8);
    assert!(file("config.toml").contains(&format!("weight_bytes = {limit}")));
    assert!(file("report.md").contains("activations of 8 bits"));
    unproven(&["fit", "--resume", "-o", &out]).expect(0, &["finished"]);
    let other = [&flags[..2], &["--activations", "4,8", "--resume"]].concat();
    unproven(&fit_args(&out, &example, &other)).expect(1, &["search.constraints.activations"]);
}

#[test]
fn what_cannot_be_kept_is_told() {
    let (folder, _) = scratch();
    let example = Example::new();
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (&["--weight-bytes", "20%"], 3, &["does not fit", "weights      at most", "proved", "boards that would do"]),
        (&["--weight-bytes", "50%", "--weights", "8"], 3, &["does not fit"]),
        (&["--weight-bytes", "50%", "--pin", "a=8/8", "--pin", "b=4/4"], 2, &["no row `a`", "no row `b`"]),
        (&["--weight-bytes", "0%"], 2, &["per cent"]),
        (&["--weight-bytes", "50%", "--activations", "3"], 2, &["list of the widths"]),
        (&["--activations", "8"], 2, &["--weight-bytes"]),
    ];
    for (number, (flags, code, words)) in cases.into_iter().enumerate() {
        let out = folder.path().join(format!("case{number}")).display().to_string();
        unproven(&fit_args(&out, &example, flags)).expect(code, words);
    }
}

/// The name of the first row.
fn first_layer(example: &Example) -> String {
    let told: Value = serde_json::from_str(&run(&["inspect", &example.model, "--json"]).out).unwrap();
    told["layers"][0]["name"].as_str().unwrap().to_owned()
}
