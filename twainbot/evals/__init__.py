"""Judging what a model said. From replies to scores and verdicts; running a model is resources/' business."""
