//! How each stage's results come into a report.

use super::schema::{
    AccuracyReport, BaselineReport, ByOutput, DiagnosisReport, FidelityReport, FlashReport, InstructionsReport,
    LayerReport, MetricReport, ModelReport, ON_VALIDATION, RamReport, Report, SCHEMA, SearchReport, TargetReport,
    TensorReport,
};
use crate::deliver::contest::{SearchSummary, Winner};
use crate::deliver::finalists::Finalist;
use crate::deliver::measured::{CandidateFigures, Figures};
use crate::deliver::misfit::Misfit;
use crate::deliver::opened::Opened;
use crate::deliver::quality::TensorQuality;
use crate::deliver::validated::Validated;
use crate::target::{Platform, RamByWay, RamWays};
use crate::task::loss::Fidelity;
use crate::task::{Measured, Metric, Objective};
use bitesize_ir::Policy;
use bitesize_search::Verdict;
use bitesize_search::problem::Problem;
use std::num::NonZeroU32;

impl Report {
    /// A report of a network, its data and a target, everything else still to come.
    pub fn new(opened: &Opened, platform: &Platform) -> Self {
        let Opened { config, inputs, .. } = opened;
        let model = &inputs.model;
        let network = &model.network;
        let target = &platform.name;
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
            seed: config.seed,
            model: ModelReport {
                path: model.path.to_string_lossy().into_owned(),
                sha256: model.sha256.clone(),
                parameters: network.parameters(),
                macs: network.macs(),
                tail: network.tail.map(|tail| tail.name().into()),
                output_order: model.output_order.text(),
            },
            target: TargetReport {
                name: target.name.clone(),
                core: target.core.clone(),
                flash_bytes: target.flash_bytes,
                ram_bytes: target.ram_bytes,
                clock_mhz: target.clock_mhz.map(NonZeroU32::get),
                compiler: platform.core.compiler_and_flags(),
                kernels: platform.kernels().name().into(),
            },
            package: config.package.clone(),
            constraints: config.constraints(),
            fits: false,
            task: inputs.objective.task.name().into(),
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
            data: inputs.echo.clone(),
            preprocess: inputs.preprocess.describe(),
            warnings: Vec::new(),
        }
    }

    /// Adds the memory and the layers of a policy's widths on `platform`, whose core the problem has.
    pub fn add_memory(&mut self, platform: &Platform, problem: &Problem, policy: &Policy) {
        let (network, widths) = (problem.network(), problem.widths(policy));
        let (flash, ram) = (problem.model().flash(&widths), problem.model().ram(&widths));
        self.flash = Some(FlashReport {
            total: flash.total,
            weights: flash.weights,
            quantization: flash.quantization,
            code: flash.code,
        });
        let RamByWay { layers, image, rows } = RamWays::of(network, &platform.core).ram(&widths);
        self.ram = Some(RamReport {
            total: ram.total,
            arena: ram.arena,
            scratch: ram.scratch,
            stack: ram.stack,
            schedule: ram.plan.scheduling.name().into(),
            input: ram.plan.input.name().into(),
            layers_total: Some(layers),
            image_total: Some(image),
            rows_total: Some(rows),
            unlimited_peak: problem.model().unlimited_peak_bytes(),
            timeline: problem.model().picture(&ram.plan, &widths).lines().map(Into::into).collect(),
        });
        let predicted = problem.model().instructions_of_plan(&ram.plan, &widths);
        let layer = |(i, node): (usize, &bitesize_ir::Node)| LayerReport {
            name: node.name.clone(),
            op: node.op.name().into(),
            weight_bits: widths.weights[i].map(|b| b.bits()),
            activation_bits: widths.tensors[node.output.0].bits(),
            macs: node.op.macs(network.shape(node.output)),
            flash_bytes: flash.layers[i].total(),
            ram_bytes: ram.plan.alive[i] as u64,
            instructions: predicted.as_ref().map(|(_, of_nodes)| of_nodes[i]),
            counted_instructions: None,
        };
        let of_all = predicted.as_ref().map(|(all, _)| *all);
        self.instructions = of_all.map(|predicted| InstructionsReport::of(predicted, None, &self.target));
        self.layers = Some(network.nodes.iter().enumerate().map(layer).collect());
    }

    /// Takes away what was found out about the policy delivered, since another one is delivered now.
    pub fn forget_delivered(&mut self) {
        self.metric = None;
        self.metrics.clear();
        self.fidelity = None;
        self.accuracy = None;
        self.verification = None;
        self.diagnosis = None;
        self.search = None;
        self.baselines = None;
        self.pareto = None;
        self.reconstruction = None;
        self.tune = None;
        self.chosen = Some("policy".into());
    }

    /// Adds what was chosen and what it was compared with.
    pub fn add_choice(&mut self, winner: &Winner) {
        self.fits = true;
        self.chosen = Some(winner.finalist().name.clone());
        self.search = winner.search.as_ref().map(|s: &SearchSummary| SearchReport {
            strategy: s.strategy.into(),
            episodes: s.episodes,
            evaluations: s.evaluations,
            seconds: s.seconds,
            evaluation_seconds: s.evaluation_seconds,
            stop_reason: s.stop_reason.into(),
            reward: s.reward,
            probes: s.probes,
            trials: s.trials,
            reward_kind: s.reward_kind.name().into(),
            note: s.note.clone(),
        });
        if winner.search.is_some() {
            let row = |f: &Finalist| BaselineReport {
                name: f.name.clone(),
                fits: f.fits,
                accuracy: None,
                metric: None,
                reward: f.reward,
                flash_bytes: f.footprint.flash_bytes,
                ram_bytes: f.footprint.ram_bytes,
                instructions: Some(f.footprint.instructions).filter(|count| *count > 0),
                failed: f.failed.clone(),
            };
            self.baselines = Some(winner.finalists[1..].iter().map(row).collect());
        }
    }

    /// Adds how near what is delivered comes to the float network on the held-out samples, for runs without validation data.
    pub fn add_held_out(&mut self, objective: &Objective, fidelity: Fidelity) {
        self.fidelity = Some(fidelity_report("held-out", objective, fidelity));
    }

    /// Adds what the validation data say.
    pub fn add_validation(&mut self, validated: &Validated, winner: &Winner) {
        self.set_figures(&validated.figures, validated.of_delivered(winner));
        if validated.learned.is_some() {
            let before = validated.of_finalist(winner, winner.best).and_then(|found| found.measured.as_ref());
            let before = before.and_then(Measured::first).map(|(_, value)| value);
            if let Some(reconstruction) = self.reconstruction.as_mut().filter(|reconstruction| reconstruction.kept) {
                reconstruction.metric_before = before;
            }
            if let Some(tune) = self.tune.as_mut().filter(|tune| tune.kept) {
                tune.metric_before = before;
            }
        }
        for (i, row) in self.baselines.iter_mut().flatten().enumerate() {
            let found = validated.of_finalist(winner, i + 1).filter(|_| row.fits);
            let measured = found.and_then(|found| found.measured.as_ref());
            row.accuracy = measured.and_then(Measured::fraction);
            row.metric = measured.and_then(Measured::first).map(|(_, value)| value);
        }
    }

    /// Adds figures on the validation data: of float, and of what is `delivered`.
    pub fn set_figures(&mut self, figures: &Figures, delivered: Option<&CandidateFigures>) {
        let integer = delivered.and_then(|found| found.measured.as_ref());
        let mut rows = metric_rows(figures.float.as_ref(), integer).into_iter();
        self.metric = rows.next();
        self.metrics = rows.collect();
        self.fidelity =
            delivered.map(|found| fidelity_report(ON_VALIDATION, &figures.objective, found.fidelity.clone()));
        self.accuracy = figures.float.as_ref().and_then(|float| {
            let (metric, value) = float.first().filter(|(metric, _)| metric.is_fraction())?;
            let integer = integer.and_then(Measured::fraction);
            Some(AccuracyReport { metric: metric.name().into(), samples: float.samples, float: value, integer })
        });
    }

    /// Adds each tensor's quality at 8 bits.
    pub fn add_qualities(&mut self, qualities: &[TensorQuality]) {
        let row = |q: &TensorQuality| TensorReport {
            name: q.name.clone(),
            sqnr_db: q.sqnr_db.is_finite().then_some(q.sqnr_db),
            reason: q.reason.clone(),
        };
        self.tensors = Some(qualities.iter().map(row).collect());
    }

    /// Adds why nothing fits, or the given policy does not, with its memory.
    pub fn add_misfit(&mut self, misfit: &Misfit, platform: &Platform, problem: &Problem) {
        self.fits = false;
        if let Some((policy, _)) = &misfit.given {
            self.add_memory(platform, problem, policy);
        }
        let diagnosis = &misfit.diagnosis;
        self.diagnosis = Some(DiagnosisReport {
            proved: diagnosis.verdict == Verdict::Impossible,
            least_flash_bytes: diagnosis.least_flash.bytes,
            least_ram_bytes: diagnosis.least_ram.bytes,
            least_instructions: diagnosis.least_instructions.as_ref().map(|least| least.instructions),
            limit_reached: diagnosis.met_limit(),
            would_do_flash_bytes: diagnosis.would_do.flash_bytes,
            would_do_ram_bytes: diagnosis.would_do.ram_bytes,
            would_do_instructions: diagnosis.limits.instructions.map(|_| diagnosis.would_do.instructions),
            peak_node: diagnosis.peak.node.clone(),
            peak_last_node: diagnosis.peak.last_node.clone(),
            peak_scratch_bytes: diagnosis.peak.scratch_bytes,
            peak_tensors: diagnosis.peak.tensors.iter().map(|t| (t.name.clone(), t.bytes, t.bits.bits())).collect(),
            peak_rows: (diagnosis.peak.tensors.iter())
                .filter_map(|tensor| tensor.rows.map(|[kept, all]| (tensor.name.clone(), kept, all)))
                .collect(),
            rows_least_ram_bytes: misfit.rows_least_ram,
            image_fits_bytes: misfit.image_fits.map(|footprint| [footprint.flash_bytes, footprint.ram_bytes]),
            boards: misfit.boards.clone(),
        });
    }
}

/// A row for each figure, the task's metric first.
pub fn metric_rows(float: Option<&Measured>, integer: Option<&Measured>) -> Vec<MetricReport> {
    let row = |(metric, value): &(Metric, Option<f64>), samples: usize| MetricReport {
        name: metric.name().into(),
        better: if metric.is_higher_better() { "higher" } else { "lower" }.into(),
        float: *value,
        integer: integer.and_then(|integer| integer.of(*metric)),
        samples,
        by_output: float.and_then(|float| float.of_each(*metric)).map(|of_each| ByOutput {
            float: of_each.to_vec(),
            integer: integer.and_then(|integer| integer.of_each(*metric)).map(<[Option<f64>]>::to_vec),
        }),
    };
    float.map_or(Vec::new(), |float| float.values.iter().map(|value| row(value, float.samples)).collect())
}

/// `fidelity`, taken on `data`.
pub fn fidelity_report(data: &str, objective: &Objective, fidelity: Fidelity) -> FidelityReport {
    let Fidelity { samples, loss, agreement, rmse, rmse_by_output } = fidelity;
    let form = objective.form().name().into();
    FidelityReport { data: data.into(), samples, form, loss, agreement, rmse, rmse_by_output }
}
