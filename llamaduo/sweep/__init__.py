"""Sweeps: an Optuna study over a migration's settings, run by Hydra's multirun."""
