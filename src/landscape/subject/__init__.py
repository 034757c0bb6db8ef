"""The only rooms that touch a network or its data: objective, probe, batches, guest."""
