"""A training run on disk: its folder, its log, and how it is begun, watched, stopped and continued."""
