"""The shared training core: one loop, optimizers and schedules, evaluation, checkpoints, seeding."""
