"""Forefill: predictive token shaping for Kubernetes."""
