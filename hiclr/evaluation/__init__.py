"""What an encoder is worth: frozen (neighbours, linear probe, clusters, under damage) or tuned, beside the floors."""

from hiclr.evaluation.branches import Branches, Seen, sweep
from hiclr.evaluation.calibration import Reliability, adaptive_reliability, confidence_of, fit_temperature, reliability
from hiclr.evaluation.clusters import Embedding, clamp_perplexity, neighbour_purity, silhouette, tsne
from hiclr.evaluation.corruptions import CORRUPTIONS, Corruption, body_parts, drop_frames, swap_sides
from hiclr.evaluation.distortion import bone_change, displacement, spectrum_change
from hiclr.evaluation.finetune import fine_tune, finetune_text, semi_supervised
from hiclr.evaluation.floors import chance, random_features, raw_coordinates, raw_nearest
from hiclr.evaluation.fusion import Scores, choose_weights, evaluate_fusion, fuse, fusion_table
from hiclr.evaluation.geometry import (
    Matched,
    alignment,
    cluster_agreement,
    effective_rank,
    geometry,
    match_clips,
    neighbour_change,
    over_runs,
    uniformity,
)
from hiclr.evaluation.guesses import Guesses, guess
from hiclr.evaluation.holdout import Holdout, hold_out
from hiclr.evaluation.keeping import predictions_path, results_path
from hiclr.evaluation.knn import knn_accuracy, knn_predict, knn_predictions, knn_votes, nearest
from hiclr.evaluation.labels import RULES, Labelled, draw_labels
from hiclr.evaluation.linear import class_scores, converged, linear_probe, rank_classes, top_k_accuracy
from hiclr.evaluation.longer import LONGER, TRANSFER, how_long, roughly
from hiclr.evaluation.maps import sample_note, tsne_maps
from hiclr.evaluation.predictions import Predictions, compare, load_predictions
from hiclr.evaluation.probes import ACTCLR, HICLR, MAMP, Probe, ProbeConfig, choose_rate, sgd_probe
from hiclr.evaluation.protocols import DEFAULT, PROTOCOLS, Outcome, Part
from hiclr.evaluation.published import BENCHMARKS, PUBLISHED, PublishedValue, benchmark_of, expected
from hiclr.evaluation.report import ALL, NOT_KEPT, evaluate, measure, named_protocols
from hiclr.evaluation.retrieval import Retrieval, few_shot, ntu_one_shot, one_shot, retrieve
from hiclr.evaluation.robustness import measure_robustness, pool_robustness, robustness_text
from hiclr.evaluation.rows import interval
from hiclr.evaluation.spaces import SEED_APART, SpaceRow, branch_features, measure_spaces
from hiclr.evaluation.statistics import (
    Interval,
    Paired,
    bootstrap,
    class_accuracy,
    confusion_counts,
    group_accuracy,
    mcnemar,
    mean_class_accuracy,
    most_confused,
    over_seeds,
    paired,
)
from hiclr.evaluation.supervised import RECIPES, FinetuneConfig
from hiclr.evaluation.taught import teach
from hiclr.evaluation.text import expected_text, table
from hiclr.evaluation.through import THROUGH, Through, through_training
from hiclr.evaluation.transfer import JointMap, carry, map_joints, transfer_to

__all__ = [
    "ACTCLR",
    "ALL",
    "BENCHMARKS",
    "CORRUPTIONS",
    "DEFAULT",
    "HICLR",
    "LONGER",
    "MAMP",
    "NOT_KEPT",
    "PROTOCOLS",
    "PUBLISHED",
    "RECIPES",
    "RULES",
    "SEED_APART",
    "THROUGH",
    "TRANSFER",
    "Branches",
    "Corruption",
    "Embedding",
    "FinetuneConfig",
    "Guesses",
    "Holdout",
    "Interval",
    "JointMap",
    "Labelled",
    "Matched",
    "Outcome",
    "Paired",
    "Part",
    "Predictions",
    "Probe",
    "ProbeConfig",
    "PublishedValue",
    "Reliability",
    "Retrieval",
    "Scores",
    "Seen",
    "SpaceRow",
    "Through",
    "adaptive_reliability",
    "alignment",
    "benchmark_of",
    "body_parts",
    "bone_change",
    "bootstrap",
    "branch_features",
    "carry",
    "chance",
    "choose_rate",
    "choose_weights",
    "clamp_perplexity",
    "class_accuracy",
    "class_scores",
    "cluster_agreement",
    "compare",
    "confidence_of",
    "confusion_counts",
    "converged",
    "displacement",
    "draw_labels",
    "drop_frames",
    "effective_rank",
    "evaluate",
    "evaluate_fusion",
    "expected",
    "expected_text",
    "few_shot",
    "fine_tune",
    "finetune_text",
    "fit_temperature",
    "fuse",
    "fusion_table",
    "geometry",
    "group_accuracy",
    "guess",
    "hold_out",
    "how_long",
    "interval",
    "knn_accuracy",
    "knn_predict",
    "knn_predictions",
    "knn_votes",
    "linear_probe",
    "load_predictions",
    "map_joints",
    "match_clips",
    "mcnemar",
    "mean_class_accuracy",
    "measure",
    "measure_robustness",
    "measure_spaces",
    "most_confused",
    "named_protocols",
    "nearest",
    "neighbour_change",
    "neighbour_purity",
    "ntu_one_shot",
    "one_shot",
    "over_runs",
    "over_seeds",
    "paired",
    "pool_robustness",
    "predictions_path",
    "random_features",
    "rank_classes",
    "raw_coordinates",
    "raw_nearest",
    "reliability",
    "results_path",
    "retrieve",
    "robustness_text",
    "roughly",
    "sample_note",
    "semi_supervised",
    "sgd_probe",
    "silhouette",
    "spectrum_change",
    "swap_sides",
    "sweep",
    "table",
    "teach",
    "through_training",
    "top_k_accuracy",
    "transfer_to",
    "tsne",
    "tsne_maps",
    "uniformity",
]
