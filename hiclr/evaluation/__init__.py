"""What frozen features are worth: nearest neighbours, the linear probe, clusters, and the floors beside them."""

from hiclr.evaluation.clusters import Embedding, clamp_perplexity, neighbour_purity, silhouette, tsne
from hiclr.evaluation.corruptions import CORRUPTIONS, Corruption, body_parts, drop_frames, swap_sides
from hiclr.evaluation.finetune import fine_tune, finetune_text, semi_supervised
from hiclr.evaluation.floors import chance, random_features, raw_coordinates, raw_nearest
from hiclr.evaluation.fusion import Scores, choose_weights, evaluate_fusion, fuse, fusion_table
from hiclr.evaluation.knn import knn_accuracy, knn_predict, nearest
from hiclr.evaluation.labels import RULES, Labelled, draw_labels
from hiclr.evaluation.linear import class_scores, converged, linear_probe, rank_classes, top_k_accuracy
from hiclr.evaluation.report import NOT_KEPT, PROTOCOLS, Part, evaluate, interval, results_path, table
from hiclr.evaluation.robustness import measure_robustness, pool_robustness, robustness_text
from hiclr.evaluation.supervised import RECIPES, FinetuneConfig
from hiclr.evaluation.transfer import JointMap, carry, map_joints, transfer_to

__all__ = [
    "CORRUPTIONS",
    "NOT_KEPT",
    "PROTOCOLS",
    "RECIPES",
    "RULES",
    "Corruption",
    "Embedding",
    "FinetuneConfig",
    "JointMap",
    "Labelled",
    "Part",
    "Scores",
    "body_parts",
    "carry",
    "chance",
    "choose_weights",
    "clamp_perplexity",
    "class_scores",
    "converged",
    "draw_labels",
    "drop_frames",
    "evaluate",
    "evaluate_fusion",
    "fine_tune",
    "finetune_text",
    "fuse",
    "fusion_table",
    "interval",
    "knn_accuracy",
    "knn_predict",
    "linear_probe",
    "map_joints",
    "measure_robustness",
    "nearest",
    "neighbour_purity",
    "pool_robustness",
    "random_features",
    "rank_classes",
    "raw_coordinates",
    "raw_nearest",
    "results_path",
    "robustness_text",
    "semi_supervised",
    "silhouette",
    "swap_sides",
    "table",
    "top_k_accuracy",
    "transfer_to",
    "tsne",
]
