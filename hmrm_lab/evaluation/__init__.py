"""Evaluation: splits, epoch rules, leave-one-subject-out, metrics, intervals, cost."""
