"""Learning from labels: splits, probes, calibration, evaluation, the gate. No torch."""
