"""What the pods of a workload usually offer: learned from their reports, fitted by night, inherited by new pods."""
