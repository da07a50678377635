"""Training: one loop, the tasks it runs, and the data it runs on."""

from hilum.training.loop import train
from hilum.training.metric import train_metric
from hilum.training.metric_recipes import METRIC_RECIPES, MetricRecipe
from hilum.training.moco_recipes import RECIPES, MocoRecipe
from hilum.training.prediction import predict
from hilum.training.pretraining import pretrain
from hilum.training.report_recipes import REPORT_RECIPES, ReportRecipe
from hilum.training.reports import pretrain_reports
from hilum.training.schedule import TrainSettings
from hilum.training.supervised import train_supervised
from hilum.training.supervised_recipes import SUPERVISED_RECIPES, SupervisedRecipe
from hilum.training.task import Task

__all__ = [
    "METRIC_RECIPES",
    "RECIPES",
    "REPORT_RECIPES",
    "SUPERVISED_RECIPES",
    "MetricRecipe",
    "MocoRecipe",
    "ReportRecipe",
    "SupervisedRecipe",
    "Task",
    "TrainSettings",
    "predict",
    "pretrain",
    "pretrain_reports",
    "train",
    "train_metric",
    "train_supervised",
]
