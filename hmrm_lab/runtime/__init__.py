"""Files, tensors, processes and progress."""
