"""Evaluation: protocols, epoch rules, folds, metrics, significance, the leak audit, cost."""
