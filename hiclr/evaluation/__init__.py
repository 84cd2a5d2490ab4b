"""What frozen features are worth: nearest neighbours, the linear probe, clusters, and the floors beside them."""

from hiclr.evaluation.clusters import Embedding, clamp_perplexity, neighbour_purity, silhouette, tsne
from hiclr.evaluation.floors import chance, random_features, raw_coordinates, raw_nearest
from hiclr.evaluation.fusion import Scores, choose_weights, evaluate_fusion, fuse, fusion_table
from hiclr.evaluation.knn import knn_accuracy, knn_predict, nearest
from hiclr.evaluation.linear import class_scores, converged, linear_probe, rank_classes, top_k_accuracy
from hiclr.evaluation.report import NOT_KEPT, PROTOCOLS, Part, evaluate, interval, results_path, table

__all__ = [
    "NOT_KEPT",
    "PROTOCOLS",
    "Embedding",
    "Part",
    "Scores",
    "chance",
    "choose_weights",
    "clamp_perplexity",
    "class_scores",
    "converged",
    "evaluate",
    "evaluate_fusion",
    "fuse",
    "fusion_table",
    "interval",
    "knn_accuracy",
    "knn_predict",
    "linear_probe",
    "nearest",
    "neighbour_purity",
    "random_features",
    "rank_classes",
    "raw_coordinates",
    "raw_nearest",
    "results_path",
    "silhouette",
    "table",
    "top_k_accuracy",
    "tsne",
]
