"""Sweeps: Optuna studies over a migration's settings, run by Hydra's multirun."""
