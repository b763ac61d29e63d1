//! `report.json` of schema 1, as releases wrote it that knew no task but classification.

use crate::task::{Metric, Task};
use bitesize_ir::Tail;
use serde_json::{Value, json};

/// What the text of schema 1 tells, with the keys of schema `present`, which is 2.
///
/// # Errors
/// What is wrong with it.
pub(super) fn upgraded(text: &str, present: u32) -> Result<Value, String> {
    let mut report: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    // A list of one number passes for a struct of one field.
    if !report.is_object() {
        return Err("it is no object".into());
    }
    report["schema"] = json!(present);
    report["task"] = json!(Task::Classify.name());
    report["metrics"] = json!([]);
    if let Some(model) = report["model"].as_object_mut() {
        let dropped = model.remove("softmax_dropped").is_some_and(|dropped| dropped == true);
        model.insert("tail".into(), json!(dropped.then(|| Tail::Softmax.name())));
    }
    let figure = |accuracy: &Value| {
        json!({
            "name": Metric::Top1.name(), "better": "higher", "samples": accuracy["samples"],
            "float": accuracy["float"], "integer": accuracy["integer"],
        })
    };
    let metric = Some(&report["accuracy"]).filter(|accuracy| accuracy.is_object()).map(figure);
    report["metric"] = json!(metric);
    for table in ["baselines", "pareto"] {
        for row in report[table].as_array_mut().into_iter().flatten() {
            if let Some(row) = row.as_object_mut() {
                let accuracy = row.get("accuracy").cloned();
                row.insert("metric".into(), json!(accuracy));
            }
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Report, SCHEMA};

    const TEXT: &str = r#"{
        "schema": 1, "version": "0.1.0", "seed": 3, "fits": true,
        "model": {"path": "m.onnx", "sha256": "aa", "parameters": 10, "macs": 20, "softmax_dropped": true},
        "target": {"name": "b", "core": "cortex-m4", "flash_bytes": 1, "ram_bytes": null},
        "accuracy": {"metric": "top1", "samples": 64, "float": 0.75, "integer": 0.5},
        "flash": {"total": 4, "weights": 1, "quantization": 1, "code": 2},
        "ram": null, "layers": null, "search": null, "tune": null, "verification": null, "chosen": "w8a8",
        "baselines": [{"name": "w8a8", "fits": true, "accuracy": 0.5, "reward": 1.0, "flash_bytes": 1, "ram_bytes": 2}],
        "diagnosis": null, "tensors": null, "data": ["d"], "preprocess": "value", "warnings": []
    }"#;

    #[test]
    fn a_report_of_schema_1_is_read_and_written_as_the_present_one() {
        let report = Report::from_json(TEXT).unwrap();
        assert_eq!((report.schema, report.task.as_str(), report.seed), (SCHEMA, "classify", 3));
        assert_eq!(report.model.tail.as_deref(), Some("Softmax"));
        let metric = report.metric.as_ref().unwrap();
        assert_eq!(
            (metric.name.as_str(), metric.float, metric.integer, metric.samples),
            ("top1", Some(0.75), Some(0.5), 64)
        );
        assert_eq!(report.baselines.as_ref().unwrap()[0].metric, Some(0.5));
        assert!(report.is_validated() && report.fidelity.is_none());
        assert_eq!(Report::from_json(&report.to_json()), Ok(report));
        let kept = Report::from_json(&TEXT.replace("\"softmax_dropped\": true", "\"softmax_dropped\": false")).unwrap();
        assert_eq!(kept.model.tail, None);
    }

    #[test]
    fn other_schemas_are_refused_by_their_number() {
        for schema in ["0", "3"] {
            let error = Report::from_json(&TEXT.replacen("1", schema, 1)).unwrap_err();
            assert!(error.contains(&format!("its schema is {schema}")), "{error}");
        }
        assert!(Report::from_json("{}").unwrap_err().contains("schema"));
        assert!(Report::from_json("[1]").unwrap_err().contains("no object"));
        // Tables and rows of another kind.
        let of_numbers = r#"{"schema": 1, "model": 3, "baselines": [1], "pareto": {"a": 1}, "accuracy": 2}"#;
        assert!(Report::from_json(of_numbers).is_err());
    }
}
