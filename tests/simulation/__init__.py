"""The deterministic simulation: real workers and real SQL, simulated network and time."""
