"""What is particular to the embedded backends: group commit, faults of disks and processes, clocks, notifications."""
