"""LoRA training that runs on a box which has never heard of Dagster: config, data, model, loop, record."""
