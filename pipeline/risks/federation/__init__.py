"""Federated training with somebody inside who does not keep to it."""
